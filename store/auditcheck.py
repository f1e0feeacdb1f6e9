"""Whether a live audit log is whole: everything recomputed from its rows.

Finds rows that were edited, removed, added or moved, columns that contradict what was hashed, forged checkpoints, a database
put back behind its witness, results without their leaf, and leaves that wait too long. What the other tables say beside the
log is compared by :mod:`records.agreement`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import XinyinError
from crypto.keys import PublicKey
from formats import merkle
from formats.auditlog import LogChecker, LogReport
from formats.canonical import rfc3339
from formats.checkpoint import verify_note
from store.audit import AuditLog, LogDamaged
from store.models import AuditCheckpointRow, AuditHeadRow, AuditLeafRow, AuditSubjectRow, IntentRow

_CHUNK = 1000


def check(log: AuditLog, keys: Sequence[PublicKey], progress: Callable[[int], None]) -> LogReport:
    """The report over the whole of ``log``, in one snapshot; memory does not grow with it.

    :param keys: every audit-checkpoint key that ever signed and is still trusted
    :param progress: told how many leaves have been read
    """
    checker = LogChecker(log.origin, keys)
    with log.db.read() as session:
        checkpoints = {row.size: row for row in log.checkpoint_rows(session)}
        for chunk in _chunks(log.leaf_rows(session)):
            subjects = _subjects(session, chunk)
            for row in chunk:
                assert row.seq is not None
                checker.leaf(row.seq, row.body, row.leaf_hash)
                _compare_columns(checker, row, subjects.get(row.id, set()))
                if checker.size in checkpoints:
                    _check_row(checker, checkpoints.pop(checker.size))
            progress(checker.size)
        for checkpoint in checkpoints.values():
            _check_row(checker, checkpoint)
        report = checker.finish()
        _check_head(log, session, checker, report)
        _check_witness(log, session, checker, keys)
        _check_results(log, session, checker)
    state = log.state()
    report.pending = state.pending
    if state.alarm:
        checker.find(
            "sequencer-late",
            f"{state.pending} leaves wait to be numbered, the oldest since {state.oldest_pending}; start `xinyin worker`.",
            f"{state.pending} 条记录等待编号，最早为 {state.oldest_pending}；请启动 `xinyin worker`。",
        )
    return report


def _check_row(checker: LogChecker, row: AuditCheckpointRow) -> None:
    said = checker.checkpoint(row.note)
    if said is not None and (said.size, said.root.hex(), said.time) != (row.size, row.root, row.at):
        checker.find(
            "checkpoint-columns",
            f"The row of the checkpoint over {row.size} leaves contradicts what was signed.",
            f"含 {row.size} 条记录的检查点，其数据行与签名内容不符。",
            row.size,
        )


def _compare_columns(checker: LogChecker, row: AuditLeafRow, subjects: set[tuple[str, str]]) -> None:
    """Queries read the columns, proofs the body: a contradiction would let a page tell another story than the proof."""
    try:
        body = json.loads(row.body)
        said = (body["id"], body["region"], body["at"], body["kind"], body["actor"], body["rule"])
        agree = said == (row.id, row.region, rfc3339(row.at), row.kind, row.actor, row.rule)
        agree = agree and set(body["subject"].items()) == subjects
    except (ValueError, KeyError, TypeError, AttributeError):
        agree = False
    if not agree:
        checker.find(
            "leaf-columns",
            f"The columns of leaf {row.seq} contradict what was hashed.",
            f"第 {row.seq} 号记录的数据列与其摘要内容不符。",
            row.seq,
        )


def _check_head(log: AuditLog, session: Session, checker: LogChecker, report: LogReport) -> None:
    head = session.get(AuditHeadRow, log.region)
    size, root = (head.size, head.root) if head else (0, merkle.EMPTY_ROOT.hex())
    if (size, root) != (report.size, report.root):
        checker.find(
            "head-differs",
            f"The log says that it has {size} leaves, and {report.size} are there with another root.",
            f"日志记载共 {size} 条记录，实际为 {report.size} 条且根摘要不同。",
            min(size, report.size),
        )
        return
    try:
        stored = merkle.CompactRange.read(size, log.reader(session)).root().hex()
    except LogDamaged:
        stored = ""
    if stored != root:
        checker.find(
            "nodes-differ", "Stored subtree hashes were changed; proofs fail.", "存储的中间摘要已被改动，无法出具证明。"
        )


def _check_witness(log: AuditLog, session: Session, checker: LogChecker, keys: Sequence[PublicKey]) -> None:
    if log.witness is None or not log.witness.exists():
        return
    try:
        said, key = verify_note(log.witness.read_text(encoding="utf-8"), keys)
    except (XinyinError, UnicodeDecodeError):
        checker.find("witness-unreadable", "The witness file holds no checkpoint.", "见证文件中没有检查点。")
        return
    if key is None or said.origin != log.origin:
        checker.find("witness-forged", "No trusted key signed the witness file.", "见证文件没有可信密钥的签名。")
    elif said.size > checker.size:
        checker.find(
            "rolled-back",
            f"The witness file knows {said.size} leaves, the database {checker.size}: it was put back to an earlier day.",
            f"见证文件记载 {said.size} 条记录，数据库仅有 {checker.size} 条：数据库被恢复到较早的状态。",
            checker.size,
        )
    elif merkle.CompactRange.read(said.size, log.reader(session)).root() != said.root:
        checker.find("witness-differs", "The log does not contain what the witness file holds.", "日志与见证文件不符。")


def _check_results(log: AuditLog, session: Session, checker: LogChecker) -> None:
    """Every result that was handed out has its leaf."""
    statement = (
        sa.select(IntentRow.id)
        .outerjoin(AuditLeafRow, AuditLeafRow.id == IntentRow.leaf_id)
        .where(IntentRow.region == log.region, IntentRow.status == "done", AuditLeafRow.id.is_(None))
        .limit(100)
    )
    for intent in session.scalars(statement):
        checker.find("result-without-leaf", f"The result {intent} has no audit leaf.", f"结果 {intent} 没有审计记录。")


def _chunks(leaves: Iterator[AuditLeafRow]) -> Iterator[list[AuditLeafRow]]:
    while chunk := list(itertools.islice(leaves, _CHUNK)):
        yield chunk


def _subjects(session: Session, chunk: list[AuditLeafRow]) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    statement = sa.select(AuditSubjectRow.leaf_id, AuditSubjectRow.name, AuditSubjectRow.value).where(
        AuditSubjectRow.leaf_id.in_([row.id for row in chunk])
    )
    for leaf_id, name, value in session.execute(statement):
        found.setdefault(leaf_id, set()).add((name, value))
    return found
