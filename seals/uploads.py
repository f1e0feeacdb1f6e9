"""Documents that were uploaded for an application which is not handed in yet: kept apart, for some days, for one account.

They are no record: nothing was decided on them. Handing in copies them to where documents stay; what is given up or
forgotten is removed, so that nobody's draft stays on the node.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crypto.errors import BadInput, NotFound, TooLarge, XinyinError
from formats.dates import shown_time
from policies.limits import DRAFT_BYTES_PER_ACCOUNT, DRAFT_DAYS, DRAFTS_PER_ACCOUNT
from store.db import utc_now
from store.ids import new_id

_ID = re.compile(r"draft_[0-9a-zA-Z]{8,64}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff/\\]")
MAX_DOCUMENTS = 20


class NoSuchUpload(NotFound):
    """It was handed in, given up, is too old, or is another person's."""

    code = "no-such-draft"

    def __init__(self) -> None:
        super().__init__(
            "This draft is not there any more: it was handed in, given up, or is too old. Start a new application.",
            "该草稿已不存在：可能已提交、已放弃或已过期。请重新发起申请。",
        )


@dataclass(frozen=True)
class UploadedDocument:
    """One file as it came; ``name`` is what its sender calls it."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Upload:
    """A draft: its documents in order, and what was filled in so far.

    :ivar values: the form's fields by name, as text
    :ivar amends: the application that it corrects (补正); None for a new one
    """

    id: str
    account: str
    created_at: str
    documents: tuple[UploadedDocument, ...]
    values: dict[str, str]
    amends: str | None = None

    @property
    def title(self) -> str:
        return self.values.get("title") or (self.documents[0].name.removesuffix(".pdf") if self.documents else "")


class Uploads:
    """A directory of drafts, one directory each."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def create(
        self,
        account: str,
        files: Sequence[tuple[str, bytes]],
        *,
        values: Mapping[str, str] | None = None,
        amends: str | None = None,
    ) -> Upload:
        """Keep uploaded files for ``account``. :raises BadInput: none, too many, or too many drafts"""
        self.tidy()
        if len(self.list(account)) >= DRAFTS_PER_ACCOUNT:
            raise BadInput(
                f"You have {DRAFTS_PER_ACCOUNT} drafts; hand in or give up one of them first.",
                f"您已有 {DRAFTS_PER_ACCOUNT} 份草稿；请先提交或放弃其中的草稿。",
            )
        upload = Upload(new_id("draft"), account, shown_time(utc_now()), (), dict(values or {}), amends)
        (self.directory / upload.id).mkdir(mode=0o700, parents=True)
        try:
            return self.add(upload, files)
        except XinyinError:
            self.discard(upload)
            raise

    def add(self, upload: Upload, files: Sequence[tuple[str, bytes]]) -> Upload:
        """Further files for a draft; one that is in it already is not added again.

        :raises BadInput: none, or too many; :raises TooLarge: over what an account may lay down
        """
        documents = {one.sha256: one for one in upload.documents}
        new: dict[str, bytes] = {}
        for name, data in files:
            digest = hashlib.sha256(data).hexdigest()
            if digest not in documents:
                documents[digest], new[digest] = UploadedDocument(file_name(name), digest, len(data)), data
        if not 1 <= len(documents) <= MAX_DOCUMENTS:
            raise BadInput(f"Choose 1 to {MAX_DOCUMENTS} PDF files.", f"请选择 1 至 {MAX_DOCUMENTS} 个 PDF 文件。")
        kept = sum(one.size for draft in self.list(upload.account) for one in draft.documents)
        if kept + sum(map(len, new.values())) > DRAFT_BYTES_PER_ACCOUNT:
            raise TooLarge(
                f"Your drafts would be over {DRAFT_BYTES_PER_ACCOUNT >> 20} MB together; hand in or give up one of them first.",
                f"您的草稿合计将超过 {DRAFT_BYTES_PER_ACCOUNT >> 20} MB；请先提交或放弃其中的草稿。",
            )
        for digest, data in new.items():
            _write(self._file(upload, digest), data)
        return self.save(replace(upload, documents=tuple(documents.values())))

    def remove(self, upload: Upload, n: int) -> Upload:
        """Without document ``n`` (from 1), whose fields go with it. :raises BadInput: it is the only one"""
        if len(upload.documents) < 2 or not 1 <= n <= len(upload.documents):
            raise BadInput(
                "An application needs a document; give up the whole draft instead.",
                "申请至少要有一个文件；如不再需要，请放弃整份草稿。",
            )
        gone = upload.documents[n - 1]
        documents = tuple(one for one in upload.documents if one is not gone)
        with suppress(FileNotFoundError):
            self._file(upload, gone.sha256).unlink()
        return self.save(replace(upload, documents=documents, values=_renumbered(upload.values, n)))

    def save(self, upload: Upload) -> Upload:
        """Keep what was filled in. :raises NoSuchUpload: it was handed in or given up a moment ago"""
        described = {**vars(upload), "documents": [vars(one) for one in upload.documents]}
        try:
            _write(self.directory / upload.id / "draft.json", json.dumps(described, ensure_ascii=False).encode())
        except FileNotFoundError as exc:
            raise NoSuchUpload from exc
        return upload

    def get(self, account: str, upload_id: str) -> Upload:
        """:raises NoSuchUpload: none of this account's"""
        found = self._read(upload_id) if _ID.match(upload_id) else None
        if found is None or found.account != account:
            raise NoSuchUpload
        return found

    def list(self, account: str) -> list[Upload]:
        """The drafts of an account, newest first."""
        names = sorted((path.name for path in self.directory.glob("draft_*")), reverse=True)
        return [one for one in map(self._read, names) if one is not None and one.account == account]

    def document(self, upload: Upload, n: int) -> UploadedDocument:
        """Document ``n``, from 1. :raises NoSuchUpload: there is none"""
        if not 1 <= n <= len(upload.documents):
            raise NoSuchUpload
        return upload.documents[n - 1]

    def data(self, upload: Upload, n: int) -> bytes:
        """Its bytes. :raises NoSuchUpload: there is none"""
        try:
            return self._file(upload, self.document(upload, n).sha256).read_bytes()
        except FileNotFoundError as exc:
            raise NoSuchUpload from exc

    def discard(self, upload: Upload) -> None:
        """Remove a draft with its files."""
        shutil.rmtree(self.directory / upload.id, ignore_errors=True)

    def tidy(self, *, older_than: float = DRAFT_DAYS * 86_400.0) -> int:
        """Remove drafts that nobody touched for so many seconds; how many."""
        limit, removed = time.time() - older_than, 0
        for path in self.directory.glob("draft_*"):
            with suppress(FileNotFoundError):
                if max(path.stat().st_mtime, *(p.stat().st_mtime for p in path.glob("draft.json")), 0.0) < limit:
                    shutil.rmtree(path, ignore_errors=True)
                    removed += 1
        return removed

    def _file(self, upload: Upload, digest: str) -> Path:
        return self.directory / upload.id / f"{digest}.pdf"

    def _read(self, name: str) -> Upload | None:
        try:
            described: dict[str, Any] = json.loads((self.directory / name / "draft.json").read_text("utf-8"))
            documents = tuple(UploadedDocument(**one) for one in described.pop("documents"))
            return Upload(**described, documents=documents)
        except (OSError, ValueError, TypeError, KeyError):
            return None


def file_name(name: str) -> str:
    """A file's name as it may be shown: one line, no path, nothing that turns the direction of reading."""
    return _CONTROL.sub("", name.replace("\\", "/").rsplit("/", 1)[-1]).strip()[-120:] or "document.pdf"


def _renumbered(values: Mapping[str, str], gone: int) -> dict[str, str]:
    """Fields ``NAME-N`` with the numbers behind the removed document moved up."""
    kept = {}
    for key, value in values.items():
        stem, dash, number = key.rpartition("-")
        if not (dash and number.isdigit()):
            kept[key] = value
        elif int(number) != gone:
            kept[f"{stem}-{int(number) - (int(number) > gone)}"] = value
    return kept


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{secrets.token_hex(6)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.replace(temporary, path)
