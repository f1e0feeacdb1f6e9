"""The audit log as files that anyone checks offline, without a database: the export and the proof.

**Export**: one JSON object a line. The first is ``{"format": "xinyin-audit-log", "version": 1, "origin", "head"}`` with the
newest signed checkpoint; then ``{"seq", "leaf"}`` in order from 0, ``leaf`` being the very text that is hashed; each signed
checkpoint stands as ``{"checkpoint"}`` behind the leaf that completes it.

**Proof**: one JSON object ``{"format": "xinyin-audit-proof", "version": 1, "index", "leaf", "inclusion", "checkpoint",
"consistency"}``: the leaf's text, its path (RFC 6962 §2.1.1, hex) to the root of the signed checkpoint, and, where an earlier
checkpoint was given, ``{"from": that checkpoint, "proof"}`` (§2.1.2).

**Consistency**: one JSON object ``{"format": "xinyin-audit-consistency", "version": 1, "checkpoint", "consistency"}``, the same
without a leaf: the log of ``checkpoint`` extends the earlier one.

:class:`LogChecker` is the one judge of both these files and the live database. Besides the tree it checks the officers'
approvals again, signature by signature (:mod:`formats.approvallog`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from crypto.errors import BadInput
from crypto.keys import PublicKey, UnsupportedKey
from formats import merkle
from formats.approvallog import PREFIXES, ApprovalAuditor
from formats.approvals import check_evidence, moment
from formats.canonical import rfc3339
from formats.checkpoint import BadCheckpoint, Checkpoint, verify_note
from formats.x509 import Certificate

LOG_FORMAT = "xinyin-audit-log"
PROOF_FORMAT = "xinyin-audit-proof"
CONSISTENCY_FORMAT = "xinyin-audit-consistency"
_PROOF_FIELDS = {"format", "version", "index", "leaf", "inclusion", "checkpoint", "consistency"}
_MAX_LINE = 4 * 1024 * 1024
_MAX_FINDINGS = 1000


class BadAuditFile(BadInput):
    """A file that is neither an export nor a proof of an audit log."""

    code = "bad-audit-file"


@dataclass(frozen=True)
class Finding:
    """Something wrong with a log; ``seq`` is the first leaf that it touches, where that is known."""

    code: str
    message: str
    message_zh: str
    seq: int | None = None


@dataclass
class LogReport:
    """What a check found. ``ok`` is True where there are no findings.

    ``checkpoint`` is the newest one that agrees with the leaves and carries a trusted signature; ``unsigned`` counts numbered
    leaves after it, ``pending`` leaves that are not numbered yet (live database only).
    """

    origin: str
    size: int = 0
    root: str = merkle.EMPTY_ROOT.hex()
    checkpoint: Checkpoint | None = None
    checkpoints: int = 0
    unsigned: int = 0
    pending: int = 0
    leaf: dict[str, Any] | None = None
    """The leaf of a proof."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings


class LogChecker:
    """Fed with leaves and checkpoints in order, says whether they are one whole, signed log.

    :param keys: the audit-checkpoint keys that are trusted
    """

    def __init__(self, origin: str, keys: Sequence[PublicKey]) -> None:
        self.report = LogReport(origin)
        self._keys = keys
        self._approvals = ApprovalAuditor(origin.partition(".")[0], self.find)
        self._edge = merkle.CompactRange()
        self._next = 0
        self._broken = False
        self._last: Checkpoint | None = None

    @property
    def size(self) -> int:
        return self._edge.size

    def find(self, code: str, message: str, message_zh: str, seq: int | None = None) -> None:
        """Note something wrong; a thousand findings are enough to know."""
        if len(self.report.findings) < _MAX_FINDINGS:
            self.report.findings.append(Finding(code, message, message_zh, seq))

    def leaf(self, seq: int, body: str, recorded_hash: str | None = None) -> None:
        """The next leaf. ``recorded_hash`` is the hash kept beside it, if any: it tells which leaf was edited."""
        if seq > self._next:
            missing = f"{self._next}" if seq == self._next + 1 else f"{self._next}–{seq - 1}"
            self.find(
                "leaf-missing",
                f"Leaf {missing} is missing: leaf {seq} stands in its place.",
                f"缺少第 {missing} 号记录：该处为第 {seq} 号记录。",
                self._next,
            )
        elif seq < self._next:
            self.find("leaf-repeated", f"Leaf {seq} is there twice.", f"第 {seq} 号记录重复出现。", seq)
        self._next = seq + 1
        hashed = merkle.leaf_hash(body.encode("utf-8", "surrogatepass"))
        if recorded_hash is not None and hashed.hex() != recorded_hash:
            self.find(
                "leaf-edited",
                f"Leaf {seq} was edited: it no longer has its hash.",
                f"第 {seq} 号记录已被改动，与其摘要不符。",
                seq,
            )
        self._edge.append(hashed)
        if any(prefix in body for prefix in PREFIXES):
            said = _object(body)
            if said is not None:
                self._approvals.leaf(seq, said)

    def checkpoint(self, note: str) -> Checkpoint | None:
        """A signed checkpoint, given when as many leaves as it counts have been fed."""
        self.report.checkpoints += 1
        try:
            said, key = verify_note(note, self._keys)
        except BadCheckpoint as exc:
            self.find("checkpoint-unreadable", exc.message, exc.message_zh, self._edge.size)
            return None
        if said.origin != self.report.origin:
            self.find(
                "checkpoint-foreign", f"A checkpoint is of another log: {said.origin}.", f"检查点属于另一日志：{said.origin}。"
            )
            return None
        if key is None:
            self.find(
                "checkpoint-forged",
                f"No trusted key signed the checkpoint over {said.size} leaves; if its key is new, renew your list of keys.",
                f"含 {said.size} 条记录的检查点没有可信密钥的签名；如密钥较新，请更新信任列表。",
                said.size,
            )
            return None
        self._compare(said)
        return said

    def finish(self) -> LogReport:
        """The report, with size and root of all leaves that were fed."""
        self.report.size = self._edge.size
        self.report.root = self._edge.root().hex()
        self.report.unsigned = self._edge.size - (self.report.checkpoint.size if self.report.checkpoint else 0)
        return self.report

    def _compare(self, said: Checkpoint) -> None:
        before = self.report.checkpoint.size if self.report.checkpoint else 0
        if said.size > self._edge.size:
            self.find(
                "log-cut",
                f"A checkpoint was signed over {said.size} leaves, and only {self._edge.size} are there: leaves were removed.",
                f"签名的检查点含 {said.size} 条记录，现仅有 {self._edge.size} 条：有记录被删除。",
                self._edge.size,
            )
        elif said.root != self._edge.root() and not self._broken:
            self._broken = True  # every later root differs too; once is enough
            self.find(
                "root-differs",
                f"Leaves {before} to {said.size - 1} are not those that the checkpoint of {rfc3339(said.time)} was signed over:"
                " one was edited, removed, added or moved.",
                f"第 {before} 至 {said.size - 1} 号记录与 {rfc3339(said.time)} 的检查点不符：有记录被改动、删除、增加或移位。",
                before,
            )
        elif self._last is not None and said.time < self._last.time:
            self.find("checkpoint-order", "Checkpoints do not follow one another in time.", "检查点时间顺序有误。", said.size)
        elif not self._broken:
            self.report.checkpoint = said
        self._last = said


def export_lines(origin: str, head: str, entries: Iterable[tuple[int, str] | str]) -> Iterator[str]:
    """The lines of an export: ``entries`` are ``(seq, leaf text)`` and, each in its place, checkpoint notes."""
    yield _line({"format": LOG_FORMAT, "version": 1, "origin": origin, "head": head})
    for entry in entries:
        yield _line({"checkpoint": entry}) if isinstance(entry, str) else _line({"seq": entry[0], "leaf": entry[1]})


def proof_document(
    index: int,
    leaf: str,
    inclusion: Sequence[bytes],
    checkpoint: str,
    consistency: tuple[str, Sequence[bytes]] | None = None,
) -> dict[str, Any]:
    """The proof as a JSON object; ``consistency`` is an earlier checkpoint's note with the proof from it."""
    return {
        "format": PROOF_FORMAT,
        "version": 1,
        "index": index,
        "leaf": leaf,
        "inclusion": [item.hex() for item in inclusion],
        "checkpoint": checkpoint,
        "consistency": None
        if consistency is None
        else {"from": consistency[0], "proof": [item.hex() for item in consistency[1]]},
    }


def consistency_document(earlier: str, checkpoint: str, proof: Sequence[bytes]) -> dict[str, Any]:
    """That ``checkpoint`` extends ``earlier`` (both signed notes), as a JSON object."""
    return {
        "format": CONSISTENCY_FORMAT,
        "version": 1,
        "checkpoint": checkpoint,
        "consistency": {"from": earlier, "proof": [item.hex() for item in proof]},
    }


def verify_stream(stream: TextIO, keys: Sequence[PublicKey]) -> LogReport:
    """Check an export, a proof of either kind, or a bare signed checkpoint, in memory that does not grow with the log.

    :raises BadAuditFile: it is none of these
    """
    first = stream.readline(_MAX_LINE)
    header = _object(first)
    if header is not None and header.get("format") == LOG_FORMAT:
        return _verify_export(header, stream, keys)
    text = first + stream.read(_MAX_LINE)
    document = _object(text)
    if document is not None and document.get("format") == PROOF_FORMAT:
        return verify_proof(document, keys)
    if document is not None and document.get("format") == CONSISTENCY_FORMAT:
        return verify_consistency_proof(document, keys)
    try:
        said, _ = verify_note(text, ())
    except BadCheckpoint as exc:
        raise _bad("neither an export, a proof nor a checkpoint can be recognised in it") from exc
    checker = LogChecker(said.origin, keys)
    _, key = verify_note(text, keys)
    if key is None:
        checker.checkpoint(text)
    report = checker.report
    report.checkpoints, report.size, report.root = 1, said.size, said.root.hex()
    report.checkpoint = said if key is not None else None
    return report


def verify_proof(document: dict[str, Any], keys: Sequence[PublicKey]) -> LogReport:
    """Check a proof: the leaf is in the log of the signed checkpoint, which extends the earlier one where there is one.

    :raises BadAuditFile: not the form of a proof
    """
    index, leaf, path, note, earlier = _proof_fields(document)
    try:
        said, _ = verify_note(note, ())
    except BadCheckpoint as exc:
        raise _bad("its checkpoint cannot be read") from exc
    checker = LogChecker(said.origin, keys)
    report = checker.report
    report.size, report.root, report.checkpoints, report.leaf = said.size, said.root.hex(), 1, _object(leaf)
    if verify_note(note, keys)[1] is None:
        checker.checkpoint(note)
    elif not merkle.verify_inclusion(merkle.leaf_hash(leaf.encode()), index, said.size, path, said.root):
        checker.find("not-included", "The leaf is not in the log that was signed.", "该记录不在已签名的日志中。", index)
    else:
        report.checkpoint = said
        _check_approval(checker, index, report.leaf or {})
    if earlier is not None:
        _check_extends(checker, said, earlier, keys)
    return report


def _check_approval(checker: LogChecker, index: int, leaf: dict[str, Any]) -> None:
    """A proof that speaks of an approval: its signatures hold. Whose keys those are only the whole log tells."""
    if leaf.get("kind") == "approval.used":
        try:
            misfits = check_evidence(leaf["data"], region=leaf["region"], at=moment(leaf["at"]))
        except (KeyError, TypeError, ValueError):
            misfits = check_evidence({}, region="", at=datetime.now(UTC))
        for misfit in misfits:
            checker.find(misfit.code, misfit.message, misfit.message_zh, index)


def verify_consistency_proof(document: dict[str, Any], keys: Sequence[PublicKey]) -> LogReport:
    """Check that one signed checkpoint extends another.

    :raises BadAuditFile: not the form of such a proof
    """
    try:
        if document["version"] != 1 or set(document) != {"format", "version", "checkpoint", "consistency"}:
            raise ValueError("version or fields")
        note, earlier = document["checkpoint"], _consistency(document["consistency"])
        said, key = verify_note(note, keys)
    except BadCheckpoint as exc:
        raise _bad("its checkpoint cannot be read") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise _bad("it does not have the form of a proof") from exc
    if earlier is None:
        raise _bad("it names no earlier checkpoint")
    checker = LogChecker(said.origin, keys)
    report = checker.report
    report.size, report.root, report.checkpoints = said.size, said.root.hex(), 2
    if key is None:
        checker.checkpoint(note)
    else:
        report.checkpoint = said
    _check_extends(checker, said, earlier, keys)
    return report


def load_keys(data: bytes) -> list[PublicKey]:
    """Public keys to trust, from PEM (``PUBLIC KEY`` or ``CERTIFICATE``, any number) or one in DER.

    :raises BadAuditFile: no key can be read
    """
    blocks = re.findall(rb"-----BEGIN (PUBLIC KEY|CERTIFICATE)-----\s(.+?)-----END \1-----", data, re.S)
    parts = [(kind, _pem(body)) for kind, body in blocks] or [(b"PUBLIC KEY", data), (b"CERTIFICATE", data)]
    keys = []
    for kind, der in parts:
        try:
            keys.append(PublicKey.from_spki(der) if kind == b"PUBLIC KEY" else Certificate.parse(der).public_key)
        except (BadInput, UnsupportedKey):
            continue
    if not keys:
        raise _bad("no public key can be read; give PEM or DER of a key or certificate")
    return keys


def _verify_export(header: dict[str, Any], stream: TextIO, keys: Sequence[PublicKey]) -> LogReport:
    origin, head = header.get("origin"), header.get("head")
    if header.get("version") != 1 or len(header) != 4 or not isinstance(origin, str) or not isinstance(head, str):
        raise _bad("its first line is not that of an export")
    checker = LogChecker(origin, keys)
    last = None
    while line := stream.readline(_MAX_LINE):
        entry = _object(line)
        if entry is None:
            checker.find(
                "line-unreadable",
                f"The line after leaf {checker.size} cannot be read.",
                f"第 {checker.size} 号记录之后的一行无法读取。",
            )
            break
        if set(entry) == {"checkpoint"} and isinstance(entry["checkpoint"], str):
            last = entry["checkpoint"]
            checker.checkpoint(last)
        elif set(entry) == {"seq", "leaf"} and type(entry["seq"]) is int and isinstance(entry["leaf"], str):
            checker.leaf(entry["seq"], entry["leaf"])
        else:
            checker.find(
                "line-unreadable",
                f"The line after leaf {checker.size} is no leaf.",
                f"第 {checker.size} 号记录之后的一行不是记录。",
            )
    if last != head:
        checker.find(
            "export-cut",
            "The file does not end with the checkpoint that its first line names.",
            "文件末尾不是首行所述的检查点，文件不完整。",
        )
    report = checker.finish()
    if report.unsigned:
        checker.find(
            "export-unsigned",
            "Leaves at the end are under no checkpoint.",
            "末尾的记录没有检查点。",
            report.size - report.unsigned,
        )
    return report


def _check_extends(checker: LogChecker, said: Checkpoint, earlier: tuple[str, list[bytes]], keys: Sequence[PublicKey]) -> None:
    try:
        old, key = verify_note(earlier[0], keys)
    except BadCheckpoint as exc:
        raise _bad("its earlier checkpoint cannot be read") from exc
    same_log = key is not None and old.origin == said.origin
    if not same_log or not merkle.verify_consistency(old.size, said.size, old.root, said.root, earlier[1]):
        checker.find(
            "not-an-extension",
            f"The log of {said.size} leaves does not extend the earlier one of {old.size}: its past was rewritten.",
            f"含 {said.size} 条记录的日志不是先前含 {old.size} 条记录的日志的延续：历史已被改写。",
            old.size,
        )


def _proof_fields(document: dict[str, Any]) -> tuple[int, str, list[bytes], str, tuple[str, list[bytes]] | None]:
    try:
        # An unknown field may be a known one misspelt: a check that somebody counts on would silently not happen.
        if document["version"] != 1 or set(document) != _PROOF_FIELDS:
            raise ValueError("version or fields")
        index, leaf, note, consistency = (document[name] for name in ("index", "leaf", "checkpoint", "consistency"))
        if type(index) is not int or not isinstance(leaf, str) or not isinstance(note, str):
            raise TypeError("fields")
        path = [bytes.fromhex(item) for item in document["inclusion"]]
        earlier = _consistency(consistency)
        leaf.encode("utf-8")
    except (KeyError, TypeError, ValueError) as exc:
        raise _bad("it does not have the form of a proof") from exc
    return index, leaf, path, note, earlier


def _consistency(value: Any) -> tuple[str, list[bytes]] | None:
    """:raises KeyError, TypeError, ValueError: neither null nor an earlier checkpoint with its proof"""
    if value is None:
        return None
    return str(value["from"]), [bytes.fromhex(item) for item in value["proof"]]


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def _pem(body: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        return b""


def _bad(why: str) -> BadAuditFile:
    return BadAuditFile(
        f"This file cannot be checked as a part of an audit log: {why}.",
        "该文件无法作为审计日志的导出、证明或检查点进行核验。",
        why=why,
    )
