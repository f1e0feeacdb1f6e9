"""The audit log: who did what to which object under which rule, provably whole.

Three steps, so that no row is hot in the path of a signature:

1. :meth:`AuditLog.append` writes a leaf, without a number, in the transaction of what it tells of.
2. :meth:`AuditLog.sequence`, run by one process at a time, numbers leaves in batches and hashes them into a Merkle tree
   (RFC 6962).
3. It then signs a checkpoint of size and root, outside any transaction (a token may take its time), and copies it to a witness
   file, so that a database put back to an earlier day does not agree with what was said since.

A leaf holds digests, never documents. Until it is numbered it shows as pending; too long a delay is an alarm.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import Conflict, NotFound, XinyinError
from crypto.keys import PublicKey, Signer
from formats import merkle
from formats.auditlog import LogChecker, LogReport, export_lines, proof_document
from formats.canonical import canonical_json, rfc3339
from formats.checkpoint import Checkpoint, parse_note, signed_note, verify_note
from store.crashpoints import crash_point
from store.db import Database, utc_now
from store.ids import new_id
from store.models import AuditCheckpointRow, AuditHeadRow, AuditLeafRow, AuditNodeRow, AuditSubjectRow, IntentRow

ALARM_AFTER = timedelta(minutes=2)
_BATCH = 1000
_LEAVES = "xinyin-audit-leaves"
_NEW_LEAF = sa.insert(cast(sa.Table, AuditLeafRow.__table__))
_NEW_SUBJECT = sa.insert(cast(sa.Table, AuditSubjectRow.__table__))


class CheckpointSigner(Protocol):
    """The audit-checkpoint key, which ``hsm`` fills."""

    @property
    def key_id(self) -> str:
        """The key generation's identifier."""
        ...

    @property
    def public_key(self) -> PublicKey: ...

    def sign_checkpoint(self, body: bytes) -> bytes:
        """Signature over ``body`` under the suite's default scheme."""
        ...


@dataclass(frozen=True)
class CheckpointKey:
    """A :class:`CheckpointSigner` made of any signer."""

    key_id: str
    signer: Signer

    @property
    def public_key(self) -> PublicKey:
        return self.signer.public_key

    def sign_checkpoint(self, body: bytes) -> bytes:
        return self.signer.sign(body)


class LogDamaged(XinyinError):
    """The log does not continue what its last checkpoint said."""

    code = "audit-log-damaged"


class LeafPending(Conflict):
    """The leaf is written and waits for the sequencer."""

    code = "audit-leaf-pending"


class NoSuchLeaf(NotFound):
    """No leaf has this identifier."""

    code = "no-such-leaf"


@dataclass(frozen=True)
class Entry:
    """A leaf as people read it; ``seq`` is None while it is pending."""

    id: str
    seq: int | None
    at: datetime
    kind: str
    actor: str
    rule: str | None
    subject: dict[str, str]
    data: dict[str, Any]


@dataclass(frozen=True)
class LogState:
    """How the log stands: numbered leaves, leaves that wait, since when, and whether that is too long."""

    size: int
    pending: int
    oldest_pending: datetime | None
    checkpoint: Checkpoint | None
    alarm: bool


class AuditLog:
    """The log of one region.

    :param witness: a file for the newest signed checkpoint, kept outside the database
    """

    def __init__(
        self,
        db: Database,
        region: str,
        *,
        witness: Path | None = None,
        alarm_after: timedelta = ALARM_AFTER,
        now: Any = utc_now,
    ) -> None:
        self.db = db
        self.region = region
        self.origin = f"{region}.xinyin/audit"
        self.witness = witness
        self.alarm_after = alarm_after
        self._now = now

    # -- write ----------------------------------------------------------------------------------------------------------

    def append(
        self,
        session: Session,
        *,
        kind: str,
        actor: str,
        subject: Mapping[str, str],
        data: Mapping[str, Any],
        rule: str | None = None,
    ) -> str:
        """Write a leaf in the caller's transaction; its identifier.

        :param kind: what happened, ``room.verb`` (``seal.applied``)
        :param subject: the objects it speaks of, by name (``{"seal": "seal_…", "impression": "…"}``)
        :param data: plain JSON without floats: digests, numbers, codes; never a document, never personal data
        :param rule: the policy rule that allowed it
        :raises NotCanonical: ``data`` has no canonical JSON
        """
        leaf_id, at = new_id("leaf"), self._now()
        body = canonical_json(
            {
                "v": 1,
                "id": leaf_id,
                "region": self.region,
                "at": rfc3339(at),
                "kind": kind,
                "actor": actor,
                "rule": rule,
                "subject": dict(subject),
                "data": dict(data),
            }
        )
        connection = session.connection()
        connection.execute(
            _NEW_LEAF,
            {
                "id": leaf_id,
                "region": self.region,
                "at": at,
                "kind": kind,
                "actor": actor,
                "rule": rule,
                "body": body,
                "leaf_hash": merkle.leaf_hash(body.encode()).hex(),
            },
        )
        if subject:
            rows = [{"value": value, "leaf_id": leaf_id, "name": name} for name, value in subject.items()]
            connection.execute(_NEW_SUBJECT, rows)
        session.info.setdefault(_LEAVES, []).append(leaf_id)
        return leaf_id

    def sequence(self, signer: CheckpointSigner, *, batch: int = _BATCH) -> Checkpoint | None:
        """Number every leaf that waits, then sign a checkpoint if the log grew; the checkpoint, or None with nothing to do.

        Killed anywhere it can be called again: leaves are numbered once, a missing checkpoint is made up for.

        :raises LogDamaged: what is stored does not continue the last checkpoint; nothing is signed then
        """
        while self.db.run(lambda session: self._number(session, batch)) == batch:
            pass
        crash_point("audit.numbered")
        return self._sign(signer)

    def _number(self, session: Session, batch: int) -> int:
        """Number up to ``batch`` leaves in one transaction; how many."""
        head = session.scalars(
            sa.select(AuditHeadRow).where(AuditHeadRow.region == self.region).with_for_update()
        ).one_or_none()
        if head is None:
            head = AuditHeadRow(region=self.region, size=0, root=merkle.EMPTY_ROOT.hex(), updated_at=self._now())
            session.add(head)
        waiting = session.scalars(
            sa.select(AuditLeafRow)
            .where(AuditLeafRow.region == self.region, AuditLeafRow.seq.is_(None))
            .order_by(AuditLeafRow.at, AuditLeafRow.id)
            .limit(batch)
        ).all()
        if not waiting:
            return 0
        edge = merkle.CompactRange.read(head.size, self._reader(session))
        if edge.root().hex() != head.root:
            raise _damaged("the stored hashes do not give the root that the log last had")
        nodes: list[dict[str, Any]] = []
        for row in waiting:
            hashed = merkle.leaf_hash(row.body.encode())
            if hashed.hex() != row.leaf_hash:
                raise _damaged(f"the leaf {row.id} was changed before it was numbered")
            row.seq = edge.size
            nodes += [
                {"region": self.region, "level": level, "index": index, "hash": value.hex()}
                for level, index, value in edge.append(hashed)
            ]
        if nodes:
            session.execute(sa.insert(AuditNodeRow), nodes)
        head.size, head.root, head.updated_at = edge.size, edge.root().hex(), self._now()
        session.flush()
        crash_point("audit.numbered-uncommitted")
        return len(waiting)

    def _sign(self, signer: CheckpointSigner) -> Checkpoint | None:
        with self.db.read() as session:
            head = session.get(AuditHeadRow, self.region)
            last = self._last_checkpoint(session)
            if head is None or head.size == (last.size if last else 0):
                self._keep_witness(last)
                return None
            self._check_extends(session, head, last)
        checkpoint = Checkpoint(self.origin, head.size, bytes.fromhex(head.root), self._now().replace(microsecond=0))
        note = signed_note(checkpoint, signer.public_key, signer.sign_checkpoint(checkpoint.body()))
        crash_point("audit.checkpoint-signed")
        row = self.db.run(lambda session: self._store_checkpoint(session, checkpoint, signer.key_id, note))
        crash_point("audit.checkpoint-stored")
        self._keep_witness(row)
        return parse_note(row.note)[0]

    def _store_checkpoint(self, session: Session, checkpoint: Checkpoint, key_id: str, note: str) -> AuditCheckpointRow:
        existing = session.get(AuditCheckpointRow, (self.region, checkpoint.size))
        if existing is not None:  # another sequencer signed the same size; the tree is the same
            return existing
        row = AuditCheckpointRow(
            region=self.region, size=checkpoint.size, root=checkpoint.root.hex(), at=checkpoint.time, key_id=key_id, note=note
        )
        session.add(row)
        return row

    def _check_extends(self, session: Session, head: AuditHeadRow, last: AuditCheckpointRow | None) -> None:
        """Before anything is signed: the tree contains what was signed before, here and in the witness file."""
        node = self._reader(session)
        statements = [parse_note(last.note)[0]] if last else []
        witnessed = self._witnessed()
        if witnessed:
            statements.append(witnessed)
        for old in statements:
            if old.size > head.size:
                raise _damaged(f"a checkpoint was signed over {old.size} leaves, and only {head.size} are there")
            if merkle.CompactRange.read(old.size, node).root() != old.root:
                raise _damaged(f"the first {old.size} leaves are no longer those of the checkpoint signed over them")
        if merkle.CompactRange.read(head.size, node).root().hex() != head.root:
            raise _damaged("the stored hashes do not give the root that the log last had")

    def _witnessed(self) -> Checkpoint | None:
        if self.witness is None or not self.witness.exists():
            return None
        return parse_note(self.witness.read_text(encoding="utf-8"))[0]

    def _keep_witness(self, row: AuditCheckpointRow | None) -> None:
        if self.witness is None or row is None:
            return
        witnessed = self._witnessed()
        if witnessed is not None and witnessed.size >= row.size:
            return
        temporary = self.witness.with_name(f".{self.witness.name}.{secrets.token_hex(8)}.tmp")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(row.note)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.witness)

    # -- read -----------------------------------------------------------------------------------------------------------

    def state(self) -> LogState:
        """Size, what is pending, and whether the sequencer is late."""
        with self.db.read() as session:
            head = session.get(AuditHeadRow, self.region)
            count, oldest = session.execute(
                sa.select(sa.func.count(), sa.func.min(AuditLeafRow.at)).where(
                    AuditLeafRow.region == self.region, AuditLeafRow.seq.is_(None)
                )
            ).one()
            last = self._last_checkpoint(session)
        size = head.size if head else 0
        checkpoint = parse_note(last.note)[0] if last else None
        unsigned_since = head.updated_at if head and size > (last.size if last else 0) else None
        late = [moment for moment in (oldest, unsigned_since) if moment is not None and self._now() - moment > self.alarm_after]
        return LogState(size, count, oldest, checkpoint, bool(late))

    def history(self, subject: str, *, limit: int = 100, before: str | None = None) -> list[Entry]:
        """What the log says about one object, newest first; ``before`` is the identifier of the last leaf already seen."""
        statement = (
            sa.select(AuditLeafRow)
            .where(
                AuditLeafRow.id.in_(sa.select(AuditSubjectRow.leaf_id).where(AuditSubjectRow.value == subject)),
                AuditLeafRow.region == self.region,
            )
            .order_by(AuditLeafRow.id.desc())
            .limit(limit)
        )
        if before:
            statement = statement.where(AuditLeafRow.id < before)
        with self.db.read() as session:
            return [_entry(row) for row in session.scalars(statement)]

    def entries(self, *, kind: str | None = None, limit: int = 100, before: str | None = None) -> list[Entry]:
        """The newest leaves, newest first."""
        statement = (
            sa.select(AuditLeafRow).where(AuditLeafRow.region == self.region).order_by(AuditLeafRow.id.desc()).limit(limit)
        )
        if kind:
            statement = statement.where(AuditLeafRow.kind == kind)
        if before:
            statement = statement.where(AuditLeafRow.id < before)
        with self.db.read() as session:
            return [_entry(row) for row in session.scalars(statement)]

    # -- prove ----------------------------------------------------------------------------------------------------------

    def prove(self, leaf_id: str, *, since: str | None = None) -> dict[str, Any]:
        """That a leaf is in the log of the newest checkpoint (and that this one extends ``since``, an earlier signed note).

        The result is the JSON object that :func:`formats.auditlog.verify_proof` checks, and it was checked with it.

        :raises LeafPending: the leaf has no number, or no checkpoint covers it yet
        :raises NoSuchLeaf: there is none
        :raises LogDamaged: the stored hashes do not give such a proof
        """
        with self.db.read() as session:
            row = session.get(AuditLeafRow, leaf_id)
            last = self._last_checkpoint(session)
            if row is None or row.region != self.region:
                raise NoSuchLeaf(f"There is no audit leaf {leaf_id[:64]}.", f"没有审计记录 {leaf_id[:64]}。")
            if row.seq is None or last is None or row.seq >= last.size:
                raise LeafPending(
                    "This leaf is recorded and not under a signed checkpoint yet; ask again in a minute.",
                    "该记录已写入，尚未纳入签名检查点；请一分钟后再试。",
                )
            said, node = parse_note(last.note)[0], self._reader(session)
            inclusion = merkle.inclusion_proof(row.seq, said.size, node)
            earlier = None
            if since is not None:
                old = parse_note(since)[0]
                if old.origin != self.origin or old.size > said.size:
                    raise _damaged(f"the checkpoint over {old.size} leaves that was given is not in the past of this log")
                earlier = (since, merkle.consistency_proof(old.size, said.size, node))
                if not merkle.verify_consistency(old.size, said.size, old.root, said.root, earlier[1]):
                    raise _damaged(f"it does not extend the checkpoint over {old.size} leaves that was given")
            if not merkle.verify_inclusion(merkle.leaf_hash(row.body.encode()), row.seq, said.size, inclusion, said.root):
                raise _damaged(f"leaf {row.seq} is not the one that was signed")
            return proof_document(row.seq, row.body, inclusion, last.note, earlier)

    def export(self) -> Iterator[str]:
        """The lines of the log up to its newest checkpoint, for a file (:mod:`formats.auditlog`); one snapshot throughout.

        :raises LeafPending: nothing is signed yet
        """
        with self.db.read() as session:
            last = self._last_checkpoint(session)
            if last is None:
                raise LeafPending(
                    "The log has no signed checkpoint yet; ask again in a minute.", "日志尚无签名检查点；请一分钟后再试。"
                )
            yield from export_lines(self.origin, last.note, self._in_order(session, last.size))

    def _in_order(self, session: Session, size: int) -> Iterator[tuple[int, str] | str]:
        notes = {row.size: row.note for row in self._checkpoints(session)}
        for row in self._leaves(session):
            if row.seq is None or row.seq >= size:
                break
            yield row.seq, row.body
            if row.seq + 1 in notes:
                yield notes[row.seq + 1]

    # -- verify ---------------------------------------------------------------------------------------------------------

    def verify(self, keys: Sequence[PublicKey]) -> LogReport:
        """Recompute the whole log from its rows; compare it with every checkpoint, the head, the witness file and the results.

        Finds rows that were edited, removed, added or moved, columns that contradict what was hashed, forged checkpoints, a
        database put back behind its witness, results without their leaf, and leaves that wait too long.

        :param keys: every audit-checkpoint key that ever signed and is still trusted
        """
        checker = LogChecker(self.origin, keys)
        with self.db.read() as session:
            checkpoints = {row.size: row for row in self._checkpoints(session)}
            for chunk in self._chunks(session):
                subjects = self._subjects(session, chunk)
                for row in chunk:
                    assert row.seq is not None
                    checker.leaf(row.seq, row.body, row.leaf_hash)
                    self._compare_columns(checker, row, subjects.get(row.id, set()))
                    if checker.size in checkpoints:
                        self._check_row(checker, checkpoints.pop(checker.size))
            for checkpoint in checkpoints.values():
                self._check_row(checker, checkpoint)
            report = checker.finish()
            self._check_head(session, checker, report)
            self._check_witness(session, checker, keys)
            self._check_results(session, checker)
        state = self.state()
        report.pending = state.pending
        if state.alarm:
            checker.find(
                "sequencer-late",
                f"{state.pending} leaves wait to be numbered, the oldest since {state.oldest_pending}; start `xinyin worker`.",
                f"{state.pending} 条记录等待编号，最早为 {state.oldest_pending}；请启动 `xinyin worker`。",
            )
        return report

    def _check_row(self, checker: LogChecker, row: AuditCheckpointRow) -> None:
        said = checker.checkpoint(row.note)
        if said is not None and (said.size, said.root.hex(), said.time) != (row.size, row.root, row.at):
            checker.find(
                "checkpoint-columns",
                f"The row of the checkpoint over {row.size} leaves contradicts what was signed.",
                f"含 {row.size} 条记录的检查点，其数据行与签名内容不符。",
                row.size,
            )

    def _compare_columns(self, checker: LogChecker, row: AuditLeafRow, subjects: set[tuple[str, str]]) -> None:
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

    def _check_head(self, session: Session, checker: LogChecker, report: LogReport) -> None:
        head = session.get(AuditHeadRow, self.region)
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
            stored = merkle.CompactRange.read(size, self._reader(session)).root().hex()
        except LogDamaged:
            stored = ""
        if stored != root:
            checker.find(
                "nodes-differ", "Stored subtree hashes were changed; proofs fail.", "存储的中间摘要已被改动，无法出具证明。"
            )

    def _check_witness(self, session: Session, checker: LogChecker, keys: Sequence[PublicKey]) -> None:
        if self.witness is None or not self.witness.exists():
            return
        try:
            said, key = verify_note(self.witness.read_text(encoding="utf-8"), keys)
        except (XinyinError, UnicodeDecodeError):
            checker.find("witness-unreadable", "The witness file holds no checkpoint.", "见证文件中没有检查点。")
            return
        if key is None or said.origin != self.origin:
            checker.find("witness-forged", "No trusted key signed the witness file.", "见证文件没有可信密钥的签名。")
        elif said.size > checker.size:
            checker.find(
                "rolled-back",
                f"The witness file knows {said.size} leaves, the database {checker.size}: it was put back to an earlier day.",
                f"见证文件记载 {said.size} 条记录，数据库仅有 {checker.size} 条：数据库被恢复到较早的状态。",
                checker.size,
            )
        elif merkle.CompactRange.read(said.size, self._reader(session)).root() != said.root:
            checker.find("witness-differs", "The log does not contain what the witness file holds.", "日志与见证文件不符。")

    def _check_results(self, session: Session, checker: LogChecker) -> None:
        """Every result that was handed out has its leaf."""
        statement = (
            sa.select(IntentRow.id)
            .outerjoin(AuditLeafRow, AuditLeafRow.id == IntentRow.leaf_id)
            .where(IntentRow.region == self.region, IntentRow.status == "done", AuditLeafRow.id.is_(None))
            .limit(100)
        )
        for intent in session.scalars(statement):
            checker.find("result-without-leaf", f"The result {intent} has no audit leaf.", f"结果 {intent} 没有审计记录。")

    def _leaves(self, session: Session) -> Iterator[AuditLeafRow]:
        """Every numbered leaf in order, a thousand at a time; objects are let go of after each."""
        statement = (
            sa.select(AuditLeafRow)
            .where(AuditLeafRow.region == self.region, AuditLeafRow.seq.is_not(None))
            .order_by(AuditLeafRow.seq)
            .execution_options(yield_per=_BATCH)
        )
        yield from session.scalars(statement)

    def _chunks(self, session: Session) -> Iterator[list[AuditLeafRow]]:
        leaves = self._leaves(session)
        while chunk := list(itertools.islice(leaves, _BATCH)):
            yield chunk

    def _subjects(self, session: Session, chunk: list[AuditLeafRow]) -> dict[str, set[tuple[str, str]]]:
        found: dict[str, set[tuple[str, str]]] = {}
        statement = sa.select(AuditSubjectRow.leaf_id, AuditSubjectRow.name, AuditSubjectRow.value).where(
            AuditSubjectRow.leaf_id.in_([row.id for row in chunk])
        )
        for leaf_id, name, value in session.execute(statement):
            found.setdefault(leaf_id, set()).add((name, value))
        return found

    def _checkpoints(self, session: Session) -> Iterator[AuditCheckpointRow]:
        yield from session.scalars(
            sa.select(AuditCheckpointRow).where(AuditCheckpointRow.region == self.region).order_by(AuditCheckpointRow.size)
        )

    def _last_checkpoint(self, session: Session) -> AuditCheckpointRow | None:
        return session.scalars(
            sa.select(AuditCheckpointRow)
            .where(AuditCheckpointRow.region == self.region)
            .order_by(AuditCheckpointRow.size.desc())
            .limit(1)
        ).one_or_none()

    def _reader(self, session: Session) -> merkle.NodeReader:
        """Reads subtree hashes: level 0 from the leaves, the others from their own table."""

        def node(level: int, index: int) -> bytes:
            if level == 0:
                value = session.scalar(
                    sa.select(AuditLeafRow.leaf_hash).where(AuditLeafRow.region == self.region, AuditLeafRow.seq == index)
                )
            else:
                row = session.get(AuditNodeRow, (self.region, level, index))
                value = row.hash if row else None
            if value is None:
                raise _damaged(f"the hash of subtree {index} at level {level} is missing")
            return bytes.fromhex(value)

        return node


def leaves_of(session: Session) -> list[str]:
    """Identifiers of the leaves appended in this session's transaction."""
    return list(session.info.get(_LEAVES, ()))


def _entry(row: AuditLeafRow) -> Entry:
    body = json.loads(row.body)
    return Entry(row.id, row.seq, row.at, row.kind, row.actor, row.rule, body["subject"], body["data"])


def _damaged(why: str) -> LogDamaged:
    return LogDamaged(
        f"The audit log is damaged: {why}. Run `xinyin audit verify`, keep the database as it is, and tell the auditor.",
        "审计日志已受损；请运行 `xinyin audit verify`，保持数据库原状，并告知审计员。",
        why=why,
    )
