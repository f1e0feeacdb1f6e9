"""The path of a sealed document; seals are in :mod:`seals.registry`, what was sealed in :mod:`seals.impressions`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.suites import Suite, default_scheme
from formats.canonical import canonical_digest
from formats.x509 import Certificate
from hsm.errors import KeyStateForbids
from seals.impressions import Impressions, impression_json
from seals.models import ImpressionRow, SealKeyRow, SealRow
from seals.placement import AnyPlacement, KeywordPlacement
from seals.ports import Actor, Generation
from seals.schemas import NoCertificate, NoSuchSuite, Page, no_such_seal
from seals.sealing import SealedPdf, SealingMaterial, seal_pdf
from seals.workflow.book import Bound
from seals.workflow.service import ApplicationService
from store.ids import new_id
from store.intents import Attempt, Outcome, Result

_CERTIFICATE_KEPT_S = 5.0

# Asked for every sealed document: made once, and on the tables, which costs half of what the ORM does.
_SEALS, _SEAL_KEYS, _IMPRESSIONS = (cast(sa.Table, row.__table__) for row in (SealRow, SealKeyRow, ImpressionRow))
_SEAL_AND_KEYS = (
    sa.select(_SEALS, _SEAL_KEYS.c.suite, _SEAL_KEYS.c.role_id)
    .outerjoin(_SEAL_KEYS, _SEAL_KEYS.c.seal_id == _SEALS.c.id)
    .where(sa.or_(_SEALS.c.id == sa.bindparam("p_id"), _SEALS.c.es_id == sa.bindparam("p_id")))
    .where(_SEALS.c.region == sa.bindparam("p_region"))
)
_NEW_IMPRESSION = sa.insert(_IMPRESSIONS)

Chain = list[Certificate]


@dataclass(frozen=True)
class SealUse:
    """A decided use of a seal: which key, which form, under which rule. Made by :meth:`SealService.plan`."""

    seal: SealRow
    suite: Suite
    format: str
    level: str
    generation: Generation
    matter: str
    application: str | None
    account: str
    rule: str


class SealService(Impressions):
    """What the outside asks of seals: the registry, and their use."""

    @cached_property
    def applications(self) -> ApplicationService:
        """Applications to seal, to make seals and to issue licences, step by step."""
        return ApplicationService(
            self.db,
            self.audit,
            self.authoriser,
            self.blobs,
            self.intents,
            self.region,
            sealing=self,
            matters=self.book.matters,
            now=self._now,
        )

    def register(self, actor: Actor, **wanted: Any) -> Page[dict[str, Any]]:
        """The register of use 用印登记, as :meth:`ApplicationService.register`."""
        return self.applications.register(actor, **wanted)

    @cached_property
    def _chains(self) -> dict[str, tuple[Certificate, Chain, float]]:
        """By key generation: certificate, its chain, and when they were last looked up."""
        return {}

    # -- sealing --------------------------------------------------------------------------------------------------------

    def apply(
        self,
        actor: Actor,
        document: bytes,
        *,
        seal_id: str,
        format: str | None = None,
        suite: str | None = None,
        level: str = "B",
        placement: AnyPlacement | None,
        matter: str = "default",
        application: str | None = None,
        idempotency_key: str | None = None,
        attended: bool = True,
        reason: str | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """Seal a PDF: authorise, intend, sign, commit. The impression as plain JSON, and the sealed document.

        :param placement: None takes the place that the application was signed off with
        :param application: what it was signed off for counts, for one use of each document; it then is the idempotency key too
        :raises ApplicationChanged: the document or its place is not what was signed off
        :raises NotAllowed: the rules say no; :raises SealNotInForce: suspended, revoked, expired
        :raises NoSuchSuite: no key for that, or format and suite do not go together
        :raises XinyinError: by name, whatever :func:`seals.sealing.seal_pdf` finds wrong with document or place
        """
        digest = hashlib.sha256(document).hexdigest()
        bound = self.book.bound(application, digest, placement) if application is not None else None
        if bound is not None:
            format, suite, level = bound.format or format, bound.suite or suite, bound.level or level
            placement = bound.placement or placement

        def once() -> Result:
            use = self.plan(
                actor,
                seal_id=seal_id,
                format=format,
                suite=suite,
                level=level,
                matter=matter,
                application=application,
                attended=attended,
                document_sha256=digest,
            )
            where = placement or KeywordPlacement(use.seal.owner_name)
            return self._perform(
                actor, use, document, where, digest, reason=reason, idempotency_key=idempotency_key, bound=bound
            )

        try:
            result = once()
        except KeyStateForbids:  # the key retired between the plan and its use: the one that took over seals
            result = once()
        return result.result, self._artefact(result)

    def _perform(
        self,
        actor: Actor,
        use: SealUse,
        document: bytes,
        placement: AnyPlacement,
        digest: str,
        *,
        reason: str | None,
        idempotency_key: str | None,
        bound: Bound | None,
    ) -> Result:
        """Intend, sign, commit: one use that was decided."""
        request = {
            "document": digest,
            "seal": use.seal.id,
            "format": use.format,
            "suite": use.suite.value,
            "level": use.level,
            "placement": repr(placement),
            "matter": use.matter,
            "application": use.application,
            "reason": reason,
        }
        self.blobs.put(document)

        def work(attempt: Attempt) -> Outcome:
            sealed = self.seal_within(attempt, use, document, placement, reason=reason)
            return Outcome(artefact=sealed.data, value=sealed)

        def commit(session: Session, outcome: Outcome, attempt: Attempt) -> dict[str, Any]:
            assert outcome.blob is not None
            row = self.record_use(session, use, attempt, outcome.value, source=document, document_sha256=outcome.blob)
            if use.application is not None:
                self._take(session, bound, use, row)
            return impression_json(row)

        return self.intents.perform(
            # A document of an application is one intent, whoever asks for it.
            account=actor.id if bound is None else bound.application,
            operation="seal.apply",
            key=idempotency_key if bound is None else bound.key,
            request_digest=canonical_digest(request),
            subject={"document": digest, "seal": use.seal.id},
            generation_ids=[use.generation.id],
            work=work,
            commit=commit,
        )

    def plan(
        self,
        actor: Actor,
        *,
        seal_id: str,
        format: str | None,
        suite: str | None,
        level: str,
        matter: str = "default",
        application: str | None = None,
        attended: bool = True,
        document_sha256: str | None = None,
        rule: str | None = None,
    ) -> SealUse:
        """Decide a use of a seal; nothing is written yet.

        :param rule: the rule by which another room (a licence being issued) has already allowed it
        """
        seal, roles = self._seal_and_roles(seal_id)
        chosen, form = _form(roles, format, suite)
        if rule is None:
            context = self.applications.circumstances(
                application,
                purpose="use-seal",
                department=seal.owner_uscc,
                seal_id=seal.id,
                document_sha256=document_sha256,
            )
            context = {"matter": matter, **context, "attended": attended, "format": form, "level": level}
            matter = context["matter"]  # an application is for one matter: that of the application counts
            rule = self.authoriser.require(actor, "seal.apply", self._facts(seal), context).rule
        return SealUse(seal, chosen, form, level, self.keys.active(roles[chosen]), matter, application, actor.id, rule)

    def seal_within(
        self, attempt: Attempt, use: SealUse, document: bytes, placement: AnyPlacement, *, reason: str | None = None
    ) -> SealedPdf:
        """The signing step of an attempt: the seal's state is looked at here, at the time of the signature."""
        with self.db.read() as session:
            self._check_in_force(session, use.seal.id)
        certificate, chain = self._certified(use)
        material = SealingMaterial(
            signer=self.keys.signer(use.generation.id, attempt),
            scheme=default_scheme(use.suite),
            certificate=certificate,
            chain=chain,
            picture=self._picture(use.seal.id),
            es_id=use.seal.es_id,
            seal_name=use.seal.name,
        )
        return seal_pdf(
            document,
            material,
            placement,
            when=self._now(),
            format=use.format,  # type: ignore[arg-type]
            level=use.level,  # type: ignore[arg-type]
            reason=reason,
            timestamps=self.ca,
            revocation=self.ca,
        )

    def record(
        self,
        session: Session,
        use: SealUse,
        attempt: Attempt,
        sealed: SealedPdf,
        *,
        source: bytes,
        document_sha256: str,
    ) -> ImpressionRow:
        """The row of an impression, in the transaction that commits it; a seal that was stopped meanwhile seals nothing.

        :param source: the document as it came
        :param document_sha256: of the sealed file
        """
        self._check_in_force(session, use.seal.id)
        row = {
            "id": new_id("impression"),
            "region": self.region,
            "seal_id": use.seal.id,
            "intent_id": attempt.intent_id,
            "attempt": attempt.number,
            "generation_id": use.generation.id,
            "certificate_sha256": self._certified(use)[0].sha256,
            "suite": use.suite.value,
            "format": use.format,
            "level": use.level,
            "input_sha256": hashlib.sha256(source).hexdigest(),
            "document_sha256": document_sha256,
            "revision_sha256": _signed_revision(sealed.data, source),
            "field": sealed.field_name,
            "page": sealed.page,
            "writer": sealed.writer,
            "matter": use.matter,
            "application_id": use.application,
            "account": use.account,
            "rule": use.rule,
            "status": "valid",
            "created_at": self._now(),
        }
        session.connection().execute(_NEW_IMPRESSION, row)
        return ImpressionRow(**row)

    def record_use(
        self,
        session: Session,
        use: SealUse,
        attempt: Attempt,
        sealed: SealedPdf,
        *,
        source: bytes,
        document_sha256: str,
    ) -> ImpressionRow:
        """:meth:`record`, with the leaf that a seal was applied: for rooms whose own leaf does not say so."""
        row = self.record(session, use, attempt, sealed, source=source, document_sha256=document_sha256)
        self._audit_impression(session, use, row)
        return row

    def _take(self, session: Session, bound: Bound | None, use: SealUse, row: ImpressionRow) -> None:
        """Mark the document of the application as sealed; what it replaces ends with the last one, in the same transaction."""
        application = self.book.row(session, str(use.application))
        if not self.book.take(session, application, bound, row):
            return
        subject = {"application": application.id, "seal": use.seal.id}
        data = {"matter": use.matter, "round": application.round, "content": application.content_sha256}
        self.audit.append(session, kind="application.sealed", actor=use.account, subject=subject, data=data, rule=use.rule)
        told = {"status": application.status, "impression": row.id, "document": row.document_sha256}
        self.outbox.add(
            session, "application.sealed", subject, told, department=application.department, matter=application.matter
        )
        if application.replaces:
            old = session.get_one(ImpressionRow, application.replaces, with_for_update=True)
            if old.status == "valid":
                self._end(session, old, use.seal, use.account, use.rule, f"由申请 {application.id} 更正", row.id)

    def _audit_impression(self, session: Session, use: SealUse, row: ImpressionRow) -> None:
        self.audit.append(
            session,
            kind="seal.applied",
            actor=use.account,
            subject={"impression": row.id, "seal": use.seal.id, "document": row.document_sha256}
            | ({"application": use.application} if use.application else {}),
            data={
                "input": row.input_sha256,
                "revision": row.revision_sha256,
                "generation": row.generation_id,
                "certificate": row.certificate_sha256,
                "suite": row.suite,
                "format": row.format,
                "level": row.level,
                "matter": row.matter,
                "application": row.application_id,
                "intent": row.intent_id,
                "attempt": row.attempt,
            },
            rule=use.rule,
        )

    def _seal_and_roles(self, seal_id: str) -> tuple[SealRow, dict[Suite, str]]:
        """The seal, as a row of its columns, and its key role for each suite. :raises NoSuchSeal: none"""
        with self.db.read() as session:
            rows = session.connection().execute(_SEAL_AND_KEYS, {"p_id": seal_id, "p_region": self.region}).all()
        if not rows:
            raise no_such_seal()
        return cast(SealRow, rows[0]), {Suite(row.suite): row.role_id for row in rows if row.suite}

    def _certified(self, use: SealUse) -> tuple[Certificate, Chain]:
        """The newest certificate of the key that is good and valid now, and its chain (issuer first). Asked again after five
        seconds: a certificate that was revoked by itself, without its seal, signs no longer than that.
        """
        kept, moment = self._chains.get(use.generation.id), monotonic()
        if kept is not None and moment - kept[2] < _CERTIFICATE_KEPT_S and kept[0].valid_at(self._now()):
            return kept[0], kept[1]
        for certificate in self.ca.usable(use.generation.id, es_id=use.seal.es_id)[:1]:
            chain = kept[1] if kept is not None and kept[0] == certificate else [*self.ca.chain(certificate)][1:]
            self._chains[use.generation.id] = certificate, chain, moment
            return certificate, chain
        raise NoCertificate(
            "The seal's key has no certificate that is valid now; have it renewed.", "印章密钥没有当前有效的证书；请更新证书。"
        )

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _artefact(self, result: Result) -> bytes:
        if result.artefact is not None:
            return result.artefact
        assert result.blob is not None
        return self.blobs.get(result.blob)


def _form(own: Collection[Suite], format: str | None, suite: str | None) -> tuple[Suite, str]:
    """Suite and format, the defaults filled in: PAdES with RSA, else with P-256; gm where SM2 is the only suite.

    :param own: the suites that the seal has a key in
    """
    wanted = suite or ("sm2" if (format or "").startswith("gm") else None)
    fitting = [Suite.RSA, Suite.P256] if format == "pades" else [Suite.RSA, Suite.P256, Suite.SM2]
    chosen = (
        next((s for s in fitting if s in own), None) if wanted is None else next((s for s in own if s.value == wanted), None)
    )
    if chosen is None:
        have = ", ".join(sorted(s.value for s in own))
        raise NoSuchSuite(
            f"The seal has keys for {have}; choose one of them (and gm for sm2, pades for the others).",
            f"该印章的密钥为 {have}；请从中选择（sm2 用 gm，其他用 pades）。",
            suites=sorted(s.value for s in own),
        )
    form = format or ("gm" if chosen is Suite.SM2 else "pades")
    if (chosen is Suite.SM2) != form.startswith("gm"):
        raise NoSuchSuite(
            f"Format {form} does not go with {chosen.value}: gm and gm35275 take sm2, pades takes rsa and p256.",
            f"格式 {form} 不适用于 {chosen.value}：gm、gm35275 用 sm2，pades 用 rsa、p256。",
        )
    return chosen, form


_BYTE_RANGE = re.compile(rb"/ByteRange\s*\[\s*0+\s+\d+\s+(\d+)\s+(\d+)\s*\]")


def _signed_revision(sealed: bytes, source: bytes) -> str:
    """SHA-256 of the file up to the end of what the new signature covers: the first /ByteRange behind the document as it came.

    A damaged file was written anew before it was sealed: only unsigned files are, so the first one is ours there too.
    """
    found = _BYTE_RANGE.search(sealed, len(source) if sealed.startswith(source) else 0)
    end = int(found[1]) + int(found[2]) if found else len(sealed)
    return hashlib.sha256(memoryview(sealed)[:end]).hexdigest()
