"""Signed checkpoints of a log: the text of C2SP tlog-checkpoint in a C2SP signed note.

The body is ``origin``, the number of leaves, the base64 root and one extension line ``time RFC3339``, each ended by a newline.
A signature line is ``— NAME base64(4-byte key id ‖ signature)``. Our suites have no type number in that specification, so the
key id is made as it lays down for other types: SHA-256(NAME ‖ 0x0A ‖ 0xFF ‖ "xinyin/SCHEME" ‖ 0x0A ‖ SubjectPublicKeyInfo), the
first four bytes. The signature is over the body, under the suite's default scheme.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from crypto.errors import BadInput
from crypto.keys import PublicKey
from crypto.suites import default_scheme
from formats.canonical import rfc3339

_ORIGIN = re.compile(r"[\x21-\x2a\x2c-\x7e]{1,200}\Z")  # no space, no plus sign: they delimit names in signed notes
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,18})\Z")
_MAX_NOTE = 64 * 1024
_DASH = "— "


class BadCheckpoint(BadInput):
    """A text that is no checkpoint."""

    code = "bad-checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """What a log says about itself at ``time``: it has ``size`` leaves and this ``root`` (32 bytes)."""

    origin: str
    size: int
    root: bytes
    time: datetime

    def body(self) -> bytes:
        """The bytes that are signed."""
        root = base64.b64encode(self.root).decode("ascii")
        return f"{self.origin}\n{self.size}\n{root}\ntime {rfc3339(self.time)}\n".encode()


def key_id(name: str, key: PublicKey) -> bytes:
    """The four bytes that a signature line of this key begins with."""
    scheme = default_scheme(key.suite).name
    return hashlib.sha256(name.encode() + b"\n\xffxinyin/" + scheme.encode() + b"\n" + key.spki).digest()[:4]


def signed_note(checkpoint: Checkpoint, key: PublicKey, signature: bytes) -> str:
    """The checkpoint with its signature line; the key goes by the log's name."""
    line = base64.b64encode(key_id(checkpoint.origin, key) + signature).decode("ascii")
    return f"{checkpoint.body().decode()}\n{_DASH}{checkpoint.origin} {line}\n"


def parse_note(text: str) -> tuple[Checkpoint, list[tuple[str, bytes, bytes]]]:
    """The checkpoint and its signature lines as ``(name, key id, signature)``.

    :raises BadCheckpoint: anything but exactly that form
    """
    if len(text) > _MAX_NOTE:
        raise _bad("it is too long")
    body, separator, tail = text.partition("\n\n")
    lines = body.split("\n")
    if not separator or not text.endswith("\n") or len(lines) < 3 or not _ORIGIN.match(lines[0]) or not _NUMBER.match(lines[1]):
        raise _bad("its lines are not those of a checkpoint")
    root = _base64(lines[2])
    if len(root) != 32:
        raise _bad("its root has not 32 bytes")
    time = _time(lines[3:])
    checkpoint = Checkpoint(lines[0], int(lines[1]), root, time)
    if checkpoint.body() != f"{body}\n".encode():
        raise _bad("it is not in its one canonical form")
    return checkpoint, [_signature_line(line) for line in tail.removesuffix("\n").split("\n")]


def verify_note(text: str, keys: Iterable[PublicKey]) -> tuple[Checkpoint, PublicKey | None]:
    """The checkpoint and the first of ``keys`` that signed it, or None where none did.

    :raises BadCheckpoint: the text is no checkpoint
    """
    checkpoint, signatures = parse_note(text)
    for key in keys:
        wanted = key_id(checkpoint.origin, key)
        for name, found, signature in signatures:
            if name == checkpoint.origin and found == wanted and key.verify(checkpoint.body(), signature):
                return checkpoint, key
    return checkpoint, None


def _time(extensions: list[str]) -> datetime:
    if len(extensions) != 1 or not extensions[0].startswith("time ") or not extensions[0].endswith("Z"):
        raise _bad("it does not say its time")
    try:
        return datetime.fromisoformat(extensions[0].removeprefix("time ")).astimezone(UTC)
    except ValueError as exc:
        raise _bad("its time cannot be read") from exc


def _signature_line(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    value = _base64(encoded)
    if not line.startswith(_DASH) or not _ORIGIN.match(name) or len(value) < 5:
        raise _bad("a signature line cannot be read")
    return name, value[:4], value[4:]


def _base64(text: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _bad("its base64 cannot be read") from exc
    if base64.b64encode(value).decode("ascii") != text:  # left-over bits: two texts for one value
        raise _bad("its base64 is not canonical")
    return value


def _bad(why: str) -> BadCheckpoint:
    return BadCheckpoint(
        f"This is no signed checkpoint of an audit log: {why}.", "这不是审计日志的签名检查点，或其格式有误。", why=why
    )
