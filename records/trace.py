"""Who sealed this document, when, with which key, under which rule, approved by whom; and what proves it.

Starts from a file or from an identifier, ends with the uses of seals that are behind it. Each use is told from the log and the
registers, which are held against one another: rows that were edited are named, the leaf is proved to be in the signed log, the
key is looked at as it was at that time.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import NotFound, XinyinError
from formats.dates import shown_time
from hsm.models import KeyGenerationRow, KeyRoleRow
from licences.models import LicenceRow
from people.models import AccountRow
from records.agreement import BY_NAME, differences_of
from records.words import CHECKS, SENTENCES
from seals.models import ImpressionRow, SealRow
from store.audit import AuditLog, Entry, LeafPending
from store.blobs import Blobs
from store.db import Database
from store.models import KeyUseRow

if TYPE_CHECKING:
    from ca.schemas import CertificateRecord
    from ca.service import CertificateAuthorityService
    from policies.authorise import Authoriser, Principal
    from seals.service import SealService

_MOST_USES = 50
_BYTE_RANGE = re.compile(rb"/ByteRange\s*\[\s*0+\s+\d{1,10}\s+(\d{1,10})\s+(\d{1,10})\s*\]")
_MOST_SIGNATURES = 200
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class NothingOnRecord(NotFound):
    """Nothing here goes by that identifier."""

    code = "nothing-on-record"


@dataclass(frozen=True)
class Tracer:
    """Answers for one node. Only who may read the audit log may ask (rule ``read-the-log``)."""

    db: Database
    region: str
    audit: AuditLog
    authoriser: Authoriser
    seals: SealService
    ca: CertificateAuthorityService
    blobs: Blobs

    def file(self, actor: Principal, data: bytes) -> dict[str, Any]:
        """The uses of seals behind a file: the sealed document itself, one with material added behind a signature, or the
        original that was sealed. A file that nobody sealed here, or that was changed since, has none.
        """
        self._authorise(actor)
        digest = hashlib.sha256(data).hexdigest()
        asked = {"kind": "file", "sha256": digest, "bytes": len(data)}
        with self.db.read() as session:
            rows = self._impressions(session, ImpressionRow.revision_sha256.in_({digest, *_revisions(data)}))
            found = "sealed" if rows else "original"
            rows = rows or self._impressions(session, ImpressionRow.input_sha256 == digest)
            return self._answer(session, asked, found if rows else "unknown", rows)

    def find(self, actor: Principal, reference: str) -> dict[str, Any]:
        """The uses of seals behind an impression, application, licence, document digest, leaf or request.

        :param reference: its identifier; a document's SHA-256 in hex; a licence's identifier
        :raises NothingOnRecord: nothing here goes by it
        """
        self._authorise(actor)
        reference = reference.strip()
        with self.db.read() as session:
            rows = self._by_reference(session, reference)
            if not rows:
                about = self._objects_of_leaf(reference) or [reference]
                if about != [reference]:
                    rows = list({row.id: row for one in about for row in self._by_reference(session, one)}.values())
                if not rows and not self.audit.history(about[0], limit=1):
                    raise _nothing(reference)
            return self._answer(session, {"kind": "id", "id": reference}, "sealed" if rows else "unsealed", rows)

    # -- finding --------------------------------------------------------------------------------------------------------

    def _authorise(self, actor: Principal) -> None:
        self.authoriser.require(actor, "audit.read", {"region": self.region})

    def _impressions(self, session: Session, *conditions: Any) -> list[ImpressionRow]:
        statement = sa.select(ImpressionRow).where(ImpressionRow.region == self.region, *conditions)
        return list(session.scalars(statement.order_by(ImpressionRow.id).limit(_MOST_USES)))

    def _by_reference(self, session: Session, reference: str) -> list[ImpressionRow]:
        find = partial(self._impressions, session)
        if _DIGEST.match(reference.lower()):
            digest = reference.lower()
            wanted = (ImpressionRow.document_sha256, ImpressionRow.revision_sha256, ImpressionRow.input_sha256)
            return find(sa.or_(*(column == digest for column in wanted)))
        licences = sa.select(LicenceRow.impression_id).where(
            sa.or_(LicenceRow.id == reference, LicenceRow.identifier == reference)
        )
        return find(
            sa.or_(
                ImpressionRow.id == reference,
                ImpressionRow.application_id == reference,
                ImpressionRow.intent_id == reference,
                ImpressionRow.id.in_(licences),
            )
        )

    def _objects_of_leaf(self, reference: str) -> list[str]:
        if not reference.startswith("leaf_"):
            return []
        try:
            return list(self.audit.entry(reference).subject.values())
        except NotFound as exc:
            raise _nothing(reference) from exc

    # -- telling --------------------------------------------------------------------------------------------------------

    def _answer(self, session: Session, asked: dict[str, Any], status: str, rows: list[ImpressionRow]) -> dict[str, Any]:
        file = asked.get("sha256")
        uses = [_Use(self, session, row).told(file) for row in rows]
        if any(not check["ok"] for use in uses for check in use["checks"]):
            status = "doubtful"
        message, message_zh = SENTENCES[status]
        return {"status": status, "message": message, "message_zh": message_zh, "asked": asked, "uses": uses}


class _Use:
    """One use of a seal, told from its row and the rows around it."""

    def __init__(self, tracer: Tracer, session: Session, row: ImpressionRow) -> None:
        self.tracer = tracer
        self.session = session
        self.row = row
        self.seal = session.get_one(SealRow, row.seal_id)
        self.generation = session.get(KeyGenerationRow, row.generation_id)
        self.certificate = self._certificate()
        history = tracer.audit.history(row.id)
        self.leaf = next((e for e in history if e.kind in BY_NAME["impression"].made), None)
        self.ended = next((e for e in history if e.kind in BY_NAME["impression"].changed), None)
        self.checks: list[dict[str, Any]] = []

    def told(self, file: str | None) -> dict[str, Any]:
        """Everything about it as plain JSON; ``file`` is the digest of the file that was asked about."""
        row, leaf = self.row, self.leaf
        actor, rule_id = (leaf.actor, leaf.rule or "") if leaf else (row.account, row.rule)  # the log prevails over the row
        rule = self.tracer.authoriser.rules.get(rule_id)
        proof = self._proof()
        self._check_rows()
        self._check_document(file)
        self._check_key()
        return {
            "id": row.id,
            "status": row.status,
            "at": shown_time(leaf.at if leaf else row.created_at),
            "who": self._person(actor),
            "seal": {"id": self.seal.id, "es_id": self.seal.es_id, "name": self.seal.name, "status": self.seal.status},
            "document": {
                "sha256": row.document_sha256,
                "original_sha256": row.input_sha256,
                "signed_sha256": row.revision_sha256,
                "page": row.page,
                "field": row.field,
            },
            "matter": row.matter,
            "form": {"format": row.format, "suite": row.suite, "level": row.level},
            "rule": {"id": rule_id, "en": rule.en if rule else "", "zh": rule.zh if rule else ""},
            "application": self._application(),
            "licence": self._licence(),
            "key": self._key(),
            "certificate": self._shown_certificate(),
            "ended": self._step(self.ended) if self.ended else None,
            "leaf": {"id": self.leaf.id, "seq": self.leaf.seq} if self.leaf else None,
            "proof": proof,
            "checks": self.checks,
        }

    # -- around it ------------------------------------------------------------------------------------------------------

    def _person(self, account: str) -> dict[str, Any]:
        found = self.session.get(AccountRow, account)
        if found is None:
            return {"id": account, "name": account, "kind": account}
        return {"id": account, "name": found.display_name, "kind": found.kind}

    def _step(self, leaf: Entry) -> dict[str, Any]:
        """A leaf as a step in somebody's life: what, when, who, on whose approval."""
        return {
            "kind": leaf.kind,
            "at": shown_time(leaf.at),
            "who": self._person(leaf.actor),
            "rule": leaf.rule,
            "approval": leaf.data.get("approval"),
            "leaf": leaf.id,
        }

    def _application(self) -> dict[str, Any] | None:
        if self.row.application_id is None:
            return None
        leaves = [e for e in reversed(self.tracer.audit.history(self.row.application_id)) if e.kind.startswith("application.")]
        self._check("signed-off", _signed_off_by_another([one for one in leaves if one.at <= self.row.created_at]))
        return {"id": self.row.application_id, "steps": [self._step(e) for e in leaves]}

    def _licence(self) -> dict[str, Any] | None:
        found = self.session.scalars(sa.select(LicenceRow).where(LicenceRow.impression_id == self.row.id)).first()
        return None if found is None else {"id": found.id, "identifier": found.identifier, "type": found.type_id}

    def _key(self) -> dict[str, Any] | None:
        found = self.generation
        if found is None:
            return None
        role = self.session.get_one(KeyRoleRow, found.role_id)
        life = [e for e in reversed(self.tracer.audit.history(found.id)) if e.kind.startswith("key.")]
        return {
            "id": found.id,
            "number": found.number,
            "status": found.state,
            "role": {"id": role.id, "name": role.name, "purpose": role.purpose, "suite": role.suite},
            "custody": found.custody,
            "token": found.token_label,
            "life": [self._step(e) for e in life],
        }

    def _certificate(self) -> CertificateRecord | None:
        records = self.tracer.ca.records(generation_id=self.row.generation_id, limit=1000)
        return next((one for one in records if one.certificate.sha256 == self.row.certificate_sha256), None)

    def _shown_certificate(self) -> dict[str, Any] | None:
        found = self.certificate
        if found is None:
            return None
        told: dict[str, Any] = found.to_dict()
        wanted = ("serial", "subject", "issuer", "not_before", "not_after", "status", "reason", "revoked_at", "origin")
        return {key: told[key] for key in wanted} | {"sha256": found.certificate.sha256}

    # -- checks ---------------------------------------------------------------------------------------------------------

    def _check(self, code: str, ok: bool, **values: str) -> None:
        said, said_zh = (text.format(**values) for text in CHECKS[code][ok])
        self.checks.append({"code": code, "ok": ok, "message": said, "message_zh": said_zh})

    def _proof(self) -> dict[str, Any] | None:
        """The inclusion proof of its leaf; None while no checkpoint covers it."""
        if self.leaf is None:
            self._check("on-record", False)
            return None
        try:
            proof = self.tracer.audit.prove(self.leaf.id)
        except LeafPending:
            self._check("on-record-soon", True)
            return None
        except XinyinError:
            self._check("on-record", False)
            return None
        self._check("on-record", True)
        return proof

    def _check_rows(self) -> None:
        """The rows that this answer was told from say what the log says."""
        asked = [("impression", self.row.id), ("seal", self.row.seal_id), ("key", self.row.generation_id)]
        asked += [("certificate", self.certificate.id)] if self.certificate else []
        asked += [("application", self.row.application_id)] if self.row.application_id else []
        asked += [("account", self.row.account)] if self.session.get(AccountRow, self.row.account) else []
        wrong = [one.finding() for name, id_ in asked for one in differences_of(self.session, BY_NAME[name], [id_])]
        for found in wrong:
            self.checks.append({"code": found.code, "ok": False, "message": found.message, "message_zh": found.message_zh})
        if not wrong:
            self._check("rows", True)

    def _check_document(self, file: str | None) -> None:
        try:
            kept = hashlib.sha256(self.tracer.blobs.get(self.row.document_sha256)).hexdigest() == self.row.document_sha256
        except XinyinError:
            kept = False
        self._check("document-kept", kept)
        if file is not None:
            code = "same-file" if file == self.row.document_sha256 else "same-original"
            self._check(code if file in (self.row.document_sha256, self.row.input_sha256) else "same-signed-part", True)

    def _check_key(self) -> None:
        at, key, certificate = self.row.created_at, self.generation, self.certificate
        used = sa.select(KeyUseRow.id).where(
            KeyUseRow.intent_id == self.row.intent_id,
            KeyUseRow.attempt == self.row.attempt,
            KeyUseRow.generation_id == self.row.generation_id,
        )
        self._check("key-used", self.session.scalars(used.limit(1)).first() is not None)
        ends = [moment for moment in (key.retired_at, key.destroyed_at) if moment] if key else []
        in_force = key is not None and key.activated_at is not None and key.activated_at <= at and all(at <= e for e in ends)
        self._check("key-in-force", in_force)
        fits = certificate is not None and key is not None and certificate.certificate.public_key.spki == key.public_key
        self._check("certificate", bool(fits and certificate and certificate.not_before <= at <= certificate.not_after))


def _signed_off_by_another(leaves: list[Entry]) -> bool:
    """Whether the last round of an application was signed off, by nobody who handled it or for whom it was handled."""
    opened = [n for n, one in enumerate(leaves) if one.kind in ("application.submitted", "application.amended")]
    signed = [one for one in leaves[opened[-1] :] if one.kind == "application.signed-off"] if opened else []

    def hands(one: Entry) -> set[str]:
        return {one.actor, *filter(None, [one.subject.get("on_behalf_of")])}

    handlers = {hand for n in opened for hand in hands(leaves[n])}
    return bool(signed) and not handlers & hands(signed[-1])


def _revisions(data: bytes) -> set[str]:
    """SHA-256 of the file up to the end of what each of its signatures covers. One pass, whatever the file says."""
    ends = {int(found[1]) + int(found[2]) for found in list(_BYTE_RANGE.finditer(data))[:_MOST_SIGNATURES]}
    view, digest, done, found = memoryview(data), hashlib.sha256(), 0, set()
    for end in sorted(end for end in ends if end <= len(data)):
        digest.update(view[done:end])
        done = end
        found.add(digest.hexdigest())
    return found


def _nothing(reference: str) -> NothingOnRecord:
    return NothingOnRecord(
        f"Nothing here goes by {reference[:80]}; give a file, or the ID of a sealed document, application or licence.",
        f"记录中没有 {reference[:80]}；请提供文件，或用印记录、申请、证照的编号。",
    )
