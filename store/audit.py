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

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import Conflict, NotFound, XinyinError
from crypto.keys import PublicKey, Signer
from formats import merkle
from formats.auditlog import LogReport, consistency_document, export_lines, proof_document
from formats.canonical import canonical_json, rfc3339
from formats.checkpoint import Checkpoint, parse_note, signed_note
from store.crashpoints import crash_point
from store.db import Database, utc_now
from store.ids import new_id
from store.models import AuditCheckpointRow, AuditHeadRow, AuditLeafRow, AuditNodeRow, AuditSubjectRow

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
        :param rule: the policy rule that allowed it; one that was met in another's place (``policies.authorise.Ruling``) adds
            ``on_behalf_of`` and ``delegation`` to the subject
        :raises NotCanonical: ``data`` has no canonical JSON
        """
        leaf_id, at = new_id("leaf"), self._now()
        subject = {**subject, **getattr(rule, "standing_in", {})}
        rule = str(rule) if rule is not None else None
        body = canonical_json(
            {
                "v": 1,
                "id": leaf_id,
                "region": self.region,
                "at": rfc3339(at),
                "kind": kind,
                "actor": actor,
                "rule": rule,
                "subject": subject,
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
        edge = merkle.CompactRange.read(head.size, self.reader(session))
        if edge.root().hex() != head.root:
            raise damaged("the stored hashes do not give the root that the log last had")
        nodes: list[dict[str, Any]] = []
        for row in waiting:
            hashed = merkle.leaf_hash(row.body.encode())
            if hashed.hex() != row.leaf_hash:
                raise damaged(f"the leaf {row.id} was changed before it was numbered")
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
            last = self.last_checkpoint(session)
            if head is None or head.size == (last.size if last else 0):
                if head is not None and last is not None and head.root != last.root:
                    raise damaged(f"the {last.size} leaves are no longer those of the checkpoint signed over them")
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
        node = self.reader(session)
        statements = [parse_note(last.note)[0]] if last else []
        witnessed = self.witnessed()
        if witnessed:
            statements.append(witnessed)
        for old in statements:
            if old.size > head.size:
                raise damaged(f"a checkpoint was signed over {old.size} leaves, and only {head.size} are there")
            if merkle.CompactRange.read(old.size, node).root() != old.root:
                raise damaged(f"the first {old.size} leaves are no longer those of the checkpoint signed over them")
        if merkle.CompactRange.read(head.size, node).root().hex() != head.root:
            raise damaged("the stored hashes do not give the root that the log last had")

    def _keep_witness(self, row: AuditCheckpointRow | None) -> None:
        if self.witness is None or row is None:
            return
        witnessed = self.witnessed()
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
            last = self.last_checkpoint(session)
        size = head.size if head else 0
        checkpoint = parse_note(last.note)[0] if last else None
        unsigned_since = head.updated_at if head and size > (last.size if last else 0) else None
        late = [moment for moment in (oldest, unsigned_since) if moment is not None and self._now() - moment > self.alarm_after]
        return LogState(size, count, oldest, checkpoint, bool(late))

    def history(self, subject: str, *, limit: int = 100, before: str | None = None) -> list[Entry]:
        """What the log says about one object, newest first; ``before`` is the identifier of the last leaf already seen."""
        return self.entries(subject=subject, limit=limit, before=before)

    def entry_in(self, session: Session, leaf_id: str) -> Entry | None:
        """A leaf as it was written, in the caller's transaction; None if there is none, or it is not what was hashed."""
        row = session.get(AuditLeafRow, leaf_id)
        if row is None or row.region != self.region or merkle.leaf_hash(row.body.encode()).hex() != row.leaf_hash:
            return None
        return read_entry(row)

    def entries(
        self,
        *,
        subject: str | None = None,
        kind: str | None = None,
        actor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Entry]:
        """The leaves that fit every filter given, newest first.

        :param subject: an object that they speak of, by identifier or digest
        :param kind: what happened (``seal.applied``), or all of a room (``seal``)
        :param actor: who did it, by account identifier
        :param since: from this moment on; ``until``: before this one
        :param before: the identifier of the last leaf already seen
        """
        leaf = AuditLeafRow
        statement = sa.select(leaf).where(leaf.region == self.region).order_by(leaf.id.desc()).limit(limit)
        if subject is not None:
            speaks_of = sa.select(AuditSubjectRow.leaf_id).where(AuditSubjectRow.value == subject)
            statement = statement.where(leaf.id.in_(speaks_of))
        if kind is not None:
            statement = statement.where(leaf.kind == kind if "." in kind else leaf.kind.startswith(f"{kind}.", autoescape=True))
        if actor is not None:
            statement = statement.where(leaf.actor == actor)
        if since is not None:
            statement = statement.where(leaf.at >= since)
        if until is not None:
            statement = statement.where(leaf.at < until)
        if before is not None:
            statement = statement.where(leaf.id < before)
        with self.db.read() as session:
            return [read_entry(row) for row in session.scalars(statement)]

    def entry(self, leaf_id: str) -> Entry:
        """One leaf. :raises NoSuchLeaf: there is none"""
        with self.db.read() as session:
            return read_entry(self._leaf(session, leaf_id))

    def kinds(self) -> list[str]:
        """What has happened at all, for a list to choose from."""
        with self.db.read() as session:
            found = session.scalars(sa.select(AuditLeafRow.kind).where(AuditLeafRow.region == self.region).distinct())
            return sorted(found)

    def notes(self, *, limit: int = 20) -> list[str]:
        """The newest signed checkpoints, newest first."""
        newest = sa.select(AuditCheckpointRow.note).where(AuditCheckpointRow.region == self.region)
        with self.db.read() as session:
            return list(session.scalars(newest.order_by(AuditCheckpointRow.size.desc()).limit(limit)))

    def witnessed(self) -> Checkpoint | None:
        """What the copy outside the database says; None where there is none. :raises BadCheckpoint: it cannot be read"""
        if self.witness is None or not self.witness.exists():
            return None
        return parse_note(self.witness.read_text(encoding="utf-8"))[0]

    def has(self, session: Session, kind: str) -> bool:
        """Whether any leaf of this kind was written."""
        found = sa.select(AuditLeafRow.id).where(AuditLeafRow.region == self.region, AuditLeafRow.kind == kind).limit(1)
        return session.scalar(found) is not None

    # -- prove ----------------------------------------------------------------------------------------------------------

    def prove(self, leaf_id: str, *, since: str | None = None) -> dict[str, Any]:
        """That a leaf is in the log of the newest checkpoint (and that this one extends ``since``, an earlier signed note).

        The result is the JSON object that :func:`formats.auditlog.verify_proof` checks, and it was checked with it.

        :raises LeafPending: the leaf has no number, or no checkpoint covers it yet
        :raises NoSuchLeaf: there is none
        :raises LogDamaged: the stored hashes do not give such a proof
        """
        with self.db.read() as session:
            row = self._leaf(session, leaf_id)
            last = self.last_checkpoint(session)
            if row.seq is None or last is None or row.seq >= last.size:
                raise LeafPending(
                    "This leaf is recorded and not under a signed checkpoint yet; ask again in a minute.",
                    "该记录已写入，尚未纳入签名检查点；请一分钟后再试。",
                )
            said, node = parse_note(last.note)[0], self.reader(session)
            inclusion = merkle.inclusion_proof(row.seq, said.size, node)
            earlier = None
            if since is not None:
                earlier = (since, self._extends(since, said, node))
            if not merkle.verify_inclusion(merkle.leaf_hash(row.body.encode()), row.seq, said.size, inclusion, said.root):
                raise damaged(f"leaf {row.seq} is not the one that was signed")
            return proof_document(row.seq, row.body, inclusion, last.note, earlier)

    def consistency(self, since: str) -> dict[str, Any]:
        """That the log as it is now extends ``since``, an earlier signed note: nothing before it was changed or removed.

        The result is the JSON object that :func:`formats.auditlog.verify_consistency_proof` checks.

        :raises LeafPending: nothing is signed yet
        :raises LogDamaged: the log does not extend it
        """
        with self.db.read() as session:
            last = self.last_checkpoint(session)
            if last is None:
                raise _nothing_signed()
            said = parse_note(last.note)[0]
            return consistency_document(since, last.note, self._extends(since, said, self.reader(session)))

    def _extends(self, since: str, said: Checkpoint, node: merkle.NodeReader) -> list[bytes]:
        """The proof that ``said`` extends the note ``since``, checked. :raises LogDamaged: it does not"""
        old = parse_note(since)[0]
        if old.origin != self.origin or old.size > said.size:
            raise damaged(f"the checkpoint over {old.size} leaves that was given is not in the past of this log")
        proof = merkle.consistency_proof(old.size, said.size, node)
        if not merkle.verify_consistency(old.size, said.size, old.root, said.root, proof):
            raise damaged(f"it does not extend the checkpoint over {old.size} leaves that was given")
        return list(proof)

    def _leaf(self, session: Session, leaf_id: str) -> AuditLeafRow:
        row = session.get(AuditLeafRow, leaf_id)
        if row is None or row.region != self.region:
            raise NoSuchLeaf(f"There is no audit leaf {leaf_id[:64]}.", f"没有审计记录 {leaf_id[:64]}。")
        return row

    def export(self) -> Iterator[str]:
        """The lines of the log up to its newest checkpoint, for a file (:mod:`formats.auditlog`); one snapshot throughout.

        :raises LeafPending: nothing is signed yet
        """
        with self.db.read() as session:
            last = self.last_checkpoint(session)
            if last is None:
                raise _nothing_signed()
            yield from export_lines(self.origin, last.note, self._in_order(session, last.size))

    def _in_order(self, session: Session, size: int) -> Iterator[tuple[int, str] | str]:
        notes = {row.size: row.note for row in self.checkpoint_rows(session)}
        for row in self.leaf_rows(session):
            if row.seq is None or row.seq >= size:
                break
            yield row.seq, row.body
            if row.seq + 1 in notes:
                yield notes[row.seq + 1]

    # -- verify ---------------------------------------------------------------------------------------------------------

    def verify(self, keys: Sequence[PublicKey], *, progress: Callable[[int], None] | None = None) -> LogReport:
        """Recompute the whole log from its rows; compare it with every checkpoint, the head, the witness file and the results.

        :param keys: every audit-checkpoint key that ever signed and is still trusted
        :param progress: told how many leaves have been read, once every thousand
        """
        from store.auditcheck import check  # it is made of this module's own parts

        return check(self, keys, progress or (lambda read: None))

    def leaf_rows(self, session: Session) -> Iterator[AuditLeafRow]:
        """Every numbered leaf in order, a thousand at a time; objects are let go of after each."""
        statement = (
            sa.select(AuditLeafRow)
            .where(AuditLeafRow.region == self.region, AuditLeafRow.seq.is_not(None))
            .order_by(AuditLeafRow.seq)
            .execution_options(yield_per=_BATCH)
        )
        yield from session.scalars(statement)

    def checkpoint_rows(self, session: Session) -> Iterator[AuditCheckpointRow]:
        """Every checkpoint, smallest first."""
        yield from session.scalars(
            sa.select(AuditCheckpointRow).where(AuditCheckpointRow.region == self.region).order_by(AuditCheckpointRow.size)
        )

    def last_checkpoint(self, session: Session) -> AuditCheckpointRow | None:
        """The newest checkpoint; None before the first."""
        return session.scalars(
            sa.select(AuditCheckpointRow)
            .where(AuditCheckpointRow.region == self.region)
            .order_by(AuditCheckpointRow.size.desc())
            .limit(1)
        ).one_or_none()

    def reader(self, session: Session) -> merkle.NodeReader:
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
                raise damaged(f"the hash of subtree {index} at level {level} is missing")
            return bytes.fromhex(value)

        return node


def leaves_of(session: Session) -> list[str]:
    """Identifiers of the leaves appended in this session's transaction."""
    return list(session.info.get(_LEAVES, ()))


def read_entry(row: AuditLeafRow) -> Entry:
    """A leaf as people read it."""
    body = json.loads(row.body)
    return Entry(row.id, row.seq, row.at, row.kind, row.actor, row.rule, body["subject"], body["data"])


def _nothing_signed() -> LeafPending:
    return LeafPending("The log has no signed checkpoint yet; ask again in a minute.", "日志尚无签名检查点；请一分钟后再试。")


def damaged(why: str) -> LogDamaged:
    """The error that says so and what to do."""
    return LogDamaged(
        f"The audit log is damaged: {why}. Run `xinyin audit verify`, keep the database as it is, and tell the auditor.",
        "审计日志已受损；请运行 `xinyin audit verify`，保持数据库原状，并告知审计员。",
        why=why,
    )
