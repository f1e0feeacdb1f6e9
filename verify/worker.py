"""Verification in processes of their own: a document that hangs, eats memory or crashes a parser takes only that with it.

Processes are started with ``exec`` (never forked from threads), kept and reused, because starting one costs half a second, and
replaced after a number of documents, because one that a document took over could lie about the next.
"""

from __future__ import annotations

import atexit
import base64
import hashlib
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, cast

from crypto.errors import XinyinError
from formats.x509 import Certificate
from verify import confined
from verify.channel import ChannelClosed, receive, send
from verify.reasons import Reason, reason
from verify.schemas import StatusRef, Verdict, VerificationContext
from verify.service import unreadable, verify_bytes

WALL_SECONDS = 60.0
CPU_SECONDS = 40
MEMORY_BYTES = 2 << 30
DOCUMENTS_A_PROCESS = 200
_PROVIDERS = ("revocation", "seals", "licences", "impressions", "recognition", "statuses", "seen")


class _Process:
    """One parser process and the pipe to it."""

    def __init__(self, memory_bytes: int) -> None:
        self.process = confined.start("verify.child", memory_bytes)
        self.trust = ""
        self.documents = 0
        self.overdue = False

    @property
    def outgoing(self) -> BinaryIO:
        return cast(BinaryIO, self.process.stdin)

    @property
    def incoming(self) -> BinaryIO:
        return cast(BinaryIO, self.process.stdout)

    def end(self) -> int:
        """Kill it if it lives; its exit status."""
        return confined.end(self.process)

    def kill_overdue(self) -> None:
        self.overdue = True
        self.process.kill()


class IsolatedVerifier:
    """A pool of parser processes. Safe to use from many threads; one document at a time in each process.

    :param size: how many processes at most
    :param wall_seconds: after which a verification is stopped (time spent in registers counts)
    :param memory_bytes: address space of a process
    """

    def __init__(
        self,
        size: int = 2,
        *,
        wall_seconds: float = WALL_SECONDS,
        cpu_seconds: int = CPU_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        documents_a_process: int = DOCUMENTS_A_PROCESS,
    ) -> None:
        self.wall_seconds = wall_seconds
        self.cpu_seconds = cpu_seconds
        self.memory_bytes = memory_bytes
        self.documents_a_process = documents_a_process
        self._slots: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(size):
            self._slots.put(None)
        self._size = size
        self._busy: set[_Process] = set()
        atexit.register(self.close)

    def verify(self, data: bytes, *, name: str, context: VerificationContext) -> dict[str, Any]:
        """As :func:`verify.service.verify_bytes`, in a process of its own; a crash or a time-out is a verdict too."""
        limit = context.policy.limits.file_bytes
        if len(data) > limit:
            return unreadable(name, reason("too-large", size=len(data), limit=limit), context)
        slot = self._slots.get()
        kept: _Process | None = None
        process: _Process | None = None
        try:
            process = slot if slot is not None and slot.process.poll() is None else _Process(self.memory_bytes)
            self._busy.add(process)
            verdict, kept = self._run(process, data, name, context)
            return verdict
        finally:
            if process is not None:
                self._busy.discard(process)
            self._slots.put(kept)

    def warm(self) -> None:
        """Start the first process now rather than with the first document."""
        slot = self._slots.get()
        self._slots.put(slot or _Process(self.memory_bytes))

    def close(self) -> None:
        """End all processes; a document that is being read gets the verdict ``parser-crashed``."""
        atexit.unregister(self.close)
        for busy in list(self._busy):
            busy.process.kill()
        for _ in range(self._size):
            try:
                slot = self._slots.get_nowait()
            except queue.Empty:
                return
            if slot is not None:
                slot.end()
            self._slots.put(None)

    def _run(
        self, process: _Process, data: bytes, name: str, context: VerificationContext
    ) -> tuple[dict[str, Any], _Process | None]:
        timer = threading.Timer(self.wall_seconds, process.kill_overdue)
        timer.daemon = True
        timer.start()
        try:
            verdict = self._exchange(process, data, name, context)
        except ChannelClosed:
            status = process.end()
            return unreadable(name, _why(process, status), context), None
        except BaseException:
            process.end()
            raise
        finally:
            timer.cancel()
        process.documents += 1
        if process.documents >= self.documents_a_process or process.overdue:
            process.end()
            return verdict, None
        return verdict, process

    def _exchange(self, process: _Process, data: bytes, name: str, context: VerificationContext) -> dict[str, Any]:
        """Send document and rules, answer questions, take the verdict. :raises ChannelClosed: it ended or talked nonsense"""
        trust = context.trust.to_json()
        digest = hashlib.sha256(trust.encode()).hexdigest()
        request: dict[str, Any] = {
            "name": name,
            "at": context.at.isoformat() if context.at else None,
            "offline": context.offline,
            "matter": context.matter,
            "policy": context.policy.source,
            "cpu_seconds": self.cpu_seconds,
            "providers": [name for name in _PROVIDERS if getattr(context, name)],
            "challenge": context.challenge,
            "glance": context.glance,
            "trust": digest,
        }
        if process.trust != digest:
            request["trust_json"] = trust
            process.trust = digest
        send(process.outgoing, request, data)
        while True:
            frame, _ = receive(process.incoming, 0)
            if "verdict" in frame:
                return _checked(frame["verdict"], context)
            send(process.outgoing, {"answer": _answer(frame, context)})


def verify_many(documents: Iterable[tuple[str, bytes]], prepare: Callable[[], VerificationContext]) -> list[dict[str, Any]]:
    """Verdicts on a few named documents, one after another in one parser process that ends with them.

    Windows has no such limits on processes: there they are read in this one.

    :param prepare: makes the context; it opens registers while the process starts
    """
    if sys.platform == "win32":
        context = prepare()
        return [verify_bytes(data, name=name, context=context) for name, data in documents]
    verifier = IsolatedVerifier(1)
    verifier.warm()
    try:
        context = prepare()
        return [verifier.verify(data, name=name, context=context) for name, data in documents]
    finally:
        verifier.close()


def _why(process: _Process, status: int) -> Reason:
    slow = process.overdue or status == -signal.SIGXCPU
    return reason("too-complex" if slow else "parser-crashed")


def _checked(verdict: Any, context: VerificationContext) -> dict[str, Any]:
    """The process may have been taken over: what it says must at least have the shape; what we know ourselves we put in."""
    try:
        Verdict(verdict["verdict"])
        if verdict["answer"]["decision"] not in ("accept", "check", "refuse"):
            raise ChannelClosed
        verdict["trust"]["problems"] = [p.to_dict() for p in context.trust.problems]
    except (KeyError, TypeError, ValueError) as exc:
        raise ChannelClosed from exc
    return cast(dict[str, Any], verdict)


def _answer(frame: dict[str, Any], context: VerificationContext) -> Any:
    """Answer one question of the process. A register that fails answers nothing: the verdict then says "unknown"."""
    questions: dict[str, Callable[..., Any]] = {
        "seals": lambda es_id, at: _plain(context.seals and context.seals.status(str(es_id), datetime.fromisoformat(at))),
        "licences": lambda ident, at: _plain(
            context.licences and context.licences.status(str(ident), datetime.fromisoformat(at))
        ),
        "impressions": lambda digest: _plain(context.impressions and context.impressions.status(str(digest))),
        "recognition": lambda type_code, region, matter, at: _recognition(type_code, region, matter, at, context),
        "revocation": lambda cert, issuer: _evidence(cert, issuer, context),
        "statuses": lambda uri, index, at: _token_state(str(uri), int(index), datetime.fromisoformat(at), context),
        "seen": lambda token, until: _first(str(token), str(until), context),
    }
    try:
        return questions[frame["ask"]](*frame["arguments"])
    except XinyinError:
        return None
    except (KeyError, TypeError, ValueError) as exc:
        raise ChannelClosed from exc


def _token_state(uri: str, index: int, at: datetime, context: VerificationContext) -> dict[str, Any] | None:
    """Which addresses are followed is the provider's to say, whatever a document or its reader asks for."""
    found = context.statuses.state(StatusRef(uri, index), at) if context.statuses is not None else None
    if found is None:
        return None
    fetched = found.fetched.isoformat() if found.fetched else None
    return {**asdict(found), "as_of": found.as_of.isoformat(), "fetched": fetched}


def _first(token: str, until: str, context: VerificationContext) -> bool:
    """A code is remembered for a day at most, whatever the process says."""
    latest = datetime.now(UTC) + timedelta(days=1)
    return context.seen is not None and context.seen.first(
        bytes.fromhex(token)[:64], min(datetime.fromisoformat(until), latest)
    )


def _evidence(cert: str, issuer: str, context: VerificationContext) -> list[str]:
    if context.revocation is None or context.offline:
        return []
    pair = (Certificate.parse(base64.b64decode(one, validate=True)) for one in (cert, issuer))
    return [base64.b64encode(der).decode("ascii") for der in context.revocation.evidence(*pair)]


def _recognition(type_code: Any, region: Any, matter: Any, at: str, context: VerificationContext) -> dict[str, Any] | None:
    if context.recognition is None:
        return None
    found = context.recognition.judge(str(type_code), str(region), str(matter), datetime.fromisoformat(at))
    return found.to_dict() if found else None


def _plain(status: Any) -> dict[str, Any] | None:
    """A status as JSON values."""
    if not status:
        return None
    values = asdict(status)
    values["since"] = status.since.isoformat() if status.since else None
    return values
