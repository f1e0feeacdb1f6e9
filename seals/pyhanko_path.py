"""The way round: files outside the common case, through pyHanko, pikepdf and pdfium in a child process.

These libraries meet damaged and hostile files here, so they run in one child that is kept warm, has limits of its own, and
may crash or hang without harm: the caller then gets a named error. Keys never go there; the child prepares a document with an
empty signature value, and the caller fills it.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crypto.errors import XinyinError
from formats.pdf.errors import (
    CertifiedAgainstChanges,
    ChangesNotPermitted,
    DamagedAndSigned,
    DamagedBeyondRepair,
    DynamicForm,
    NoSuchPage,
    NotAPdf,
    OffThePage,
    PasswordNeeded,
    PdfTooLarge,
    UnsupportedEncryption,
)
from formats.pdf.geometry import Box
from formats.pdf.objects import Buffer
from formats.pdf.signing import Prepared

MAX_DOCUMENT = 256 << 20
"""Bytes of a document that goes this way; the libraries read it whole, and more than once."""

CHILDREN = 3
_JOBS_PER_CHILD = 200
_NAMED: dict[str, type[XinyinError]] = {
    kind.__name__: kind
    for kind in (
        CertifiedAgainstChanges,
        ChangesNotPermitted,
        DamagedAndSigned,
        DamagedBeyondRepair,
        DynamicForm,
        NoSuchPage,
        NotAPdf,
        OffThePage,
        PasswordNeeded,
        UnsupportedEncryption,
    )
}


class _Child:
    """The child process; one job at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._jobs = 0

    def ask(self, request: Mapping[str, Any], *blobs: Buffer) -> tuple[dict[str, Any], bytes]:
        """One job.

        :raises XinyinError: what the child found, by name
        :raises DamagedBeyondRepair: it crashed or took too long
        """
        if sum(len(blob) for blob in blobs) > MAX_DOCUMENT:
            raise PdfTooLarge("size in bytes of a file that is built in an unusual way", MAX_DOCUMENT)
        with self._lock:
            try:
                answer, data = self._exchange(request, blobs)
            except (OSError, ValueError, EOFError) as exc:
                self._stop()
                raise DamagedBeyondRepair("reading it crashed or took too long") from exc
        if "error" in answer:
            kind = _NAMED.get(str(answer["error"]))
            raise kind(*answer.get("arguments", [])) if kind else DamagedBeyondRepair(str(answer.get("reason", "")))
        return answer, data

    def _exchange(self, request: Mapping[str, Any], blobs: tuple[Buffer, ...]) -> tuple[dict[str, Any], bytes]:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        head = json.dumps({**request, "lengths": [len(blob) for blob in blobs]}).encode("utf-8")
        process.stdin.write(len(head).to_bytes(8, "big") + head)
        for blob in blobs:
            process.stdin.write(blob)
        process.stdin.flush()
        self._jobs += 1
        answer = json.loads(_exactly(process.stdout, int.from_bytes(_exactly(process.stdout, 8), "big")))
        return answer, _exactly(process.stdout, int(answer.pop("length", 0)))

    def _started(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():
            # After a fork the parent's child is not ours.
            self._process, self._owner = None, os.getpid()
        if self._process is not None and (self._jobs >= _JOBS_PER_CHILD or self._process.poll() is not None):
            self._stop()
        if self._process is None:
            root = Path(__file__).resolve().parent.parent
            self._process = subprocess.Popen(
                [sys.executable, "-m", "seals.pyhanko_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=root,
                close_fds=True,
            )
            self._jobs = 0
        return self._process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()

    def close(self) -> None:
        """End the child; the next job starts another."""
        self._stop()


def _exactly(stream: Any, count: int) -> bytes:
    data: bytes = stream.read(count)
    if len(data) != count:
        raise EOFError
    return data


_children: queue.LifoQueue[_Child] = queue.LifoQueue()
"""Idle children. The last one back is the first to be used, so that one is warm and the others start only under load."""

for _ in range(CHILDREN):
    _children.put(_Child())


def _ask(request: Mapping[str, Any], *blobs: Buffer) -> tuple[dict[str, Any], bytes]:
    child = _children.get()
    try:
        return child.ask(request, *blobs)
    finally:
        _children.put(child)


@atexit.register
def close() -> None:
    """End idle children; the next job starts another."""
    for child in list(_children.queue):
        child.close()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A prepared document, or (``prepared`` None) a repaired one to start over with."""

    prepared: Prepared | None
    document: bytes
    field: str
    page: int
    rect: Box


def prepare(document: Buffer, request: Mapping[str, Any], picture: bytes, *, may_repair: bool) -> Outcome:
    """A signature field with an empty value, written by pyHanko; ``request`` as :mod:`seals.pyhanko_worker` reads it."""
    answer, data = _ask({"job": "prepare", "may_repair": may_repair, **request}, document, picture)
    if answer.get("repaired"):
        return Outcome(None, data, "", 0, (0.0, 0.0, 0.0, 0.0))
    start, end = answer["gap"]
    base = len(document)
    if data[:base] != document[:]:
        raise DamagedBeyondRepair("the earlier revision would have changed")
    prepared = Prepared(document, [bytearray(data[base:])], (start - base, end - base))
    left, bottom, right, top = answer["rect"]
    return Outcome(prepared, b"", request["field"], answer["page"], (left, bottom, right, top))


def add_validation_material(document: bytes, certificates: Any, ocsps: Any, crls: Any) -> bytes:
    """The document with a revision that holds validation material, written by pyHanko."""
    lists = {
        name: [base64.b64encode(der).decode("ascii") for der in items]
        for name, items in (("certs", certificates), ("ocsps", ocsps), ("crls", crls))
    }
    return _ask({"job": "store", **lists}, document)[1]


def find_text(document: Buffer, text: str, occurrence: int | None) -> tuple[int, float, float] | None:
    """Page (from 1) and middle (user space) of a text, found by pdfium; None where it does not occur that often."""
    answer, _ = _ask({"job": "find", "text": text, "occurrence": occurrence}, document)
    return (answer["page"], answer["x"], answer["y"]) if answer.get("page") else None
