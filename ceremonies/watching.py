"""Watched folders: a PDF that is put into one becomes an application to seal, and comes out sealed or with the reason why not.

Taking a file is a rename into ``.taken/TOKEN/``: the token is the idempotency key of the application, the application carries
the seal's intents, and what comes out is written under a temporary name first. So a worker that is killed anywhere goes on as
before, and no document is applied for or sealed twice. The rules decide as they do for everybody: the folder's account puts the
application (经办); it is signed off by people on their pages, or by the rule of an instant matter (秒批).
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ceremonies.watch_config import WatchConfig
from crypto.errors import BadInput, Conflict, Forbidden, Misconfigured, XinyinError
from people.schemas import Account, Actor
from policies.limits import DOCUMENT_BYTES
from seals.schemas import ApplicationChanged
from seals.uploads import file_name
from seals.workflow.drafts import NewDocument
from store.crashpoints import crash_point
from store.ids import new_id
from store.intents import StillRunning
from store.locks import alone

if TYPE_CHECKING:
    from ceremonies.node import Node

log = logging.getLogger("xinyin.worker")

_AT_ONCE = 50
_LOOK_AGAIN_S = 5.0
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".filepart", ".swp")

_ENDED = {
    "refused": ("The application was refused", "申请未获批准"),
    "withdrawn": ("The application was withdrawn", "申请已撤回"),
    "returned": (
        "The application was returned to be mended; mend the document and hand it in again",
        "申请被退回补正；请补正后重新提交",
    ),
}


@dataclass(frozen=True)
class _Parties:
    """Who puts the applications, who uses the seal, and which one, as they are now."""

    handler: Account
    sealer: Account
    seal: dict[str, Any]


class WatchedFolder:
    """One folder of one node.

    :raises OSError: a folder cannot be made or used
    """

    def __init__(self, node: Node, config: WatchConfig) -> None:
        self.node = node
        self.config = config
        self._sizes: dict[str, tuple[int, int, float]] = {}
        self._look_at: dict[str, float] = {}
        for folder in (config.inbox, config.outbox, config.failed, config.taken):
            folder.mkdir(parents=True, exist_ok=True)

    def work(self) -> int:
        """Take what is ready, and bring everything taken one step further; how many came to an end.

        :raises XinyinError: account or seal are not there: then nothing is taken, so that no document fails for it
        """
        with alone(self.config.taken / ".lock", wait=False) as free:
            if not free:
                return 0
            ready, taken = self._ready(), self._taken()
            if not ready and not taken:
                return 0
            handler, sealer = self._account(self.config.account), self._account(self.config.sealer)
            seal = self.node.seals.show(handler, self.config.seal)
            for path in ready:
                taken.append(self._take(path))
            return sum(self._advance(folder, _Parties(handler, sealer, seal)) for folder in taken)

    def _account(self, name: str) -> Account:
        found = self.node.accounts.get(name)
        if found.status != "active":
            raise Misconfigured(f"The account {name} of a watched folder is disabled.", f"监视文件夹所用账户 {name} 已停用。")
        return found

    def _taken(self) -> list[Path]:
        return sorted(folder for folder in self.config.taken.iterdir() if folder.is_dir())

    def waiting(self) -> int:
        """How many documents were taken and wait for people."""
        return len(self._taken())

    # -- taking ---------------------------------------------------------------------------------------------------------

    def _ready(self) -> list[Path]:
        """Files that nobody has changed for a while, oldest first."""
        now, ready, seen = time.monotonic(), [], {}
        for entry in os.scandir(self.config.inbox):
            if entry.name.startswith((".", "~$")) or entry.name.lower().endswith(_UNFINISHED) or entry.is_dir():
                continue
            found = entry.stat(follow_symlinks=False)
            size, changed, since = self._sizes.get(entry.name, (-1, -1, now))
            if (size, changed) != (found.st_size, found.st_mtime_ns):
                since = now
            seen[entry.name] = (found.st_size, found.st_mtime_ns, since)
            if now - since >= self.config.stable_seconds:
                ready.append((found.st_mtime_ns, Path(entry.path)))
        self._sizes = seen
        return [path for _, path in sorted(ready)[:_AT_ONCE]]

    def _take(self, path: Path) -> Path:
        folder = self.config.taken / new_id("watch")
        folder.mkdir()
        os.rename(path, folder / path.name)
        self._sizes.pop(path.name, None)
        crash_point("watch.taken")
        return folder

    # -- one document ---------------------------------------------------------------------------------------------------

    def _advance(self, folder: Path, parties: _Parties) -> int:
        """1 where the document came to its end."""
        now = time.monotonic()
        if self._look_at.get(folder.name, 0.0) > now:
            return 0
        self._look_at[folder.name] = now + _LOOK_AGAIN_S
        source = folder
        try:
            found = next((path for path in folder.iterdir() if not path.name.startswith(".")), None)
            if found is None:  # killed before it was taken, or after it was done with
                self._forget(folder)
                return 0
            source = found
            done = self._follow(folder, source, parties)
        except XinyinError as exc:
            if _lasts(exc):
                self._fail(folder, source, exc.message, exc.message_zh)
                return 1
            log.warning("watch %s: %s waits: %s %s", self.config.name, source.name, exc.code, exc.message)
            return 0
        except Exception:  # one document that nobody foresaw must not keep the others waiting
            log.exception("watch %s: %s waits", self.config.name, source.name)
            return 0
        return int(done)

    def _follow(self, folder: Path, source: Path, parties: _Parties) -> bool:
        """Bring the document's application further; whether it came to its end."""
        handler = parties.handler
        application = self._application(parties, folder, source)
        if application["status"] == "signed-off":
            application = self._seal(parties.sealer, application)
        status = application["status"]
        if status in ("sealed", "delivered"):
            self._hand_out(handler, folder, source, application)
            return True
        if status in _ENDED:
            if status == "returned":
                self.node.seals.applications.withdraw(handler, application["id"], reason="watched folder")
            en, zh = _ENDED[status]
            why = application["returned_reason"] or application["reason"] or ""
            self._fail(folder, source, f"{en}: {why}", f"{zh}：{why}", application["id"])
            return True
        return False

    def _application(self, parties: _Parties, folder: Path, source: Path) -> dict[str, Any]:
        """The application of this document as it stands; put now if it was not.

        Which one it is says the record of what was put under the folder's token, not a file beside the document: whoever may
        write into the folder could name there any application that was signed off, and have it sealed.
        """
        applications, handler, seal = self.node.seals.applications, parties.handler, parties.seal
        known = applications.put_under(handler, _key(folder))
        if known is not None:
            return applications.show(handler, known)
        document = NewDocument(
            file_name(source.name),
            _read(source),
            self.config.placement,
            format=self.config.format,
            suite=self.config.suite,
            level=self.config.level,
        )
        made = applications.submit(
            handler,
            purpose="use-seal",
            department=self.config.department or seal["owner_uscc"],
            matter=self.config.matter,
            seal_id=seal["id"],
            documents=[document],
            copies=self.config.copies,
            title=os.path.splitext(file_name(source.name))[0][:300],
            facts=self.config.facts,
            idempotency_key=_key(folder),
        )
        crash_point("watch.submitted")
        return made

    def _seal(self, sealer: Actor, application: dict[str, Any]) -> dict[str, Any]:
        """用印, where the rules let the folder's account; a seal keeper does it on the page where they do not."""
        try:
            return self.node.seals.applications.seal(sealer, application["id"], attended=False)
        except ApplicationChanged:
            raise
        except (Forbidden, Conflict) as exc:
            log.info("watch %s: %s is not sealed yet: %s", self.config.name, application["id"], exc.message)
            return application

    # -- coming out -----------------------------------------------------------------------------------------------------

    def _hand_out(self, handler: Actor, folder: Path, source: Path, application: dict[str, Any]) -> None:
        _, sealed = self.node.seals.applications.document(handler, application["id"], 1, sealed=True)
        document = application["documents"][0]
        path = _free(self.config.outbox, source.name, folder.name, sealed)
        told = {
            "application": application["id"],
            "status": application["status"],
            "source": file_name(source.name),
            "title": application["title"],
            "seal": application["seal"],
            "matter": application["matter"],
            "sha256": document["sha256"],
            "sealed_sha256": document["sealed_sha256"],
            "impression": document["impression_id"],
            "track_code": application["track_code"],
        }
        _write(path, sealed)
        crash_point("watch.written")
        _write(path.with_name(path.name + ".json"), json.dumps(told, ensure_ascii=False, indent=2).encode() + b"\n")
        source.unlink()
        self._forget(folder)

    def _fail(self, folder: Path, source: Path, message: str, message_zh: str, application: str | None = None) -> None:
        """The document goes to the folder of what failed, beside a text that says why and what to do."""
        lines = [message_zh, message, *([application] if application else [])]
        told = ("\n".join(lines) + "\n").encode()
        path = _free(self.config.failed, source.name, folder.name, told=told)
        _write(path.with_name(path.name + ".txt"), told)
        os.rename(source, path)
        self._forget(folder)
        log.warning("watch %s: %s was not sealed: %s", self.config.name, source.name, message)

    def _forget(self, folder: Path) -> None:
        for left in folder.glob(".*"):  # what an earlier version noted here
            left.unlink()
        folder.rmdir()
        self._look_at.pop(folder.name, None)


def _lasts(exc: XinyinError) -> bool:
    """Whether another try would meet the same refusal; busy, no signer, a full disk pass."""
    return 400 <= exc.status < 500 and exc.status not in (401, 429) and not isinstance(exc, StillRunning)


def _read(path: Path) -> bytes:
    """:raises BadInput: no ordinary file, or too large"""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise BadInput(
            "This is no ordinary file; put a PDF itself into the folder.", "这不是普通文件；请放入 PDF 文件本身。"
        ) from exc
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BadInput(
                "This is no ordinary file; put a PDF itself into the folder.", "这不是普通文件；请放入 PDF 文件本身。"
            )
        data = file.read(DOCUMENT_BYTES + 1) if found.st_size <= DOCUMENT_BYTES else b""
    if not 0 < len(data) <= DOCUMENT_BYTES:
        raise BadInput(
            f"The file is empty or larger than {DOCUMENT_BYTES >> 20} MiB; hand in a smaller PDF.",
            f"文件为空或超过 {DOCUMENT_BYTES >> 20} MiB；请提交较小的 PDF。",
        )
    return data


def _key(folder: Path) -> str:
    """The idempotency key of a taken document's application."""
    return f"watch:{folder.name}"


def _free(folder: Path, name: str, token: str, data: bytes | None = None, told: bytes | None = None) -> Path:
    """A path under that name, or one with the token's end in it where another file has the name. Nothing is written over,
    neither there nor under the name of what is written beside it.

    :param data, told: a file, or a text beside it, with this very content is ours, written before this process was killed
    """
    stem, suffix = os.path.splitext(file_name(name))
    stem, suffix = _short(stem, 160), _short(suffix, 20)
    path = folder / f"{stem}{suffix}"
    beside = path.with_name(path.name + (".json" if told is None else ".txt"))
    if _is(path, data) or not (os.path.lexists(path) or (os.path.lexists(beside) and not _is(beside, told))):
        return path
    return path.with_name(f"{stem}-{token[-8:]}{suffix}")


def _is(path: Path, data: bytes | None) -> bool:
    """Whether there is an ordinary file with this content."""
    return data is not None and path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def _short(text: str, most: int) -> str:
    """As much of a name as fits into ``most`` bytes of UTF-8: with what is added, a file's name has 255."""
    return text.encode()[:most].decode("utf-8", "ignore")


def _write(path: Path, data: bytes) -> None:
    """Write a whole file or none; whoever shares the folder cannot lead it elsewhere by a link under the temporary name."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
