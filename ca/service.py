"""The node's certificate authority: founding, issuing, status, timestamps, outside CAs. Used over HTTP and in process."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ca import lint as linting
from ca.errors import CertificateStateRefused, KeyNotInUse, NoSuchAuthority, no_such_certificate
from ca.issuing import Issuing
from ca.models import AuthorityRow, CertificateRow
from ca.outbound import HttpStatusClient
from ca.outside import OutsideCertificates, StatusUnavailable
from ca.ports import Generation, Keys, StatusClient
from ca.profiles import profile as profile_named
from ca.register import Register, parsed, record
from ca.revocation import Revocation
from ca.schemas import Authority, CaConfig, CertificateRecord, RefreshReport
from ca.timestamps import Timestamps
from crypto.errors import BadInput, XinyinError
from crypto.suites import DigestAlgorithm, Suite
from formats.x509 import Certificate, Subject
from store.audit import AuditLog
from store.db import Database, utc_now

CONTENT_TYPES = {
    "crl": "application/pkix-crl",
    "certificate": "application/pkix-cert",
    "ocsp": "application/ocsp-response",
    "timestamp": "application/timestamp-reply",
}
"""Media types of the bytes served (RFC 2585 §4, RFC 6960 appendix C, RFC 3161 §3.4)."""

FILTERS = frozenset({"es_id", "profile", "status", "generation_id", "authority", "origin"})


class CertificateAuthorityService:
    """Everything others ask of the CA; its parts are :mod:`ca.issuing`, ``revocation``, ``timestamps`` and ``outside``.

    :param client: asks outside CAs; by default over HTTP, at the hosts that imported certificates name and no others
    :param private_network: those hosts may lie on private addresses: several development nodes on one machine

    It fills the sealing path's ``RevocationSource`` (``ocsp_for``, ``crl_for``) and ``TimestampSource`` (``timestamp_token``).
    """

    def __init__(
        self,
        db: Database,
        keys: Keys,
        config: CaConfig,
        *,
        audit: AuditLog | None = None,
        client: StatusClient | None = None,
        private_network: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.keys = keys
        self.config = config
        self.audit = audit
        self.now = now
        self.register = Register(db, config.region)
        self.issuing = Issuing(self.register, keys, config, audit, now)
        self.revocation = Revocation(self.register, keys, self.issuing, config, audit, now)
        self.timestamps = Timestamps(self.register, keys, config, client, now)
        self.outside = OutsideCertificates(self.register, keys, audit, client, now)
        if client is None:
            self.outside.client = self.timestamps.client = HttpStatusClient(self._outside_hosts, private_network)

    def _outside_hosts(self) -> frozenset[str]:
        tsa = urlsplit(self.config.outside_timestamps or "").netloc.lower()
        return self.outside.hosts() | ({tsa} if tsa else frozenset())

    # --- founding ---

    def found(self, progress: Callable[[str], None] = lambda step: None) -> None:
        """Make what is missing: a root and an issuing CA a suite with their first CRLs, OCSP delegates, timestamp units, the
        seal maker. Run again, it goes on where it stopped. The root token must be logged in.
        """
        for suite in self.config.suites:
            root = self._authority("root", suite, None, progress)
            issuing = self._authority("issuing", suite, root, progress)
            self._unit("ocsp", "ocsp", "OCSP 应答", issuing, progress)
        for suite in self._stamping_suites():
            self._unit("tsa", "tsa", "时间戳单元", self.register.current("issuing", suite), progress)
        maker = Suite.SM2 if Suite.SM2 in self.config.suites else self.config.suites[0]
        self._unit("seal_maker", "seal-maker", "电子印章制章人", self.register.current("issuing", maker), progress)
        self.refresh()

    def _stamping_suites(self) -> list[Suite]:
        return [s for s in self.config.suites if s in (Suite.RSA, Suite.SM2)] or [self.config.suites[0]]

    def _authority(self, kind: str, suite: Suite, parent: Authority | None, progress: Callable[[str], None]) -> Authority:
        made = [a for a in self.register.authorities(kind) if a.suite is suite and a.status == "active"]
        if made:
            return made[-1]
        progress(f"{kind} CA {suite}")
        generation = self._first_key(f"{kind}_ca", suite, f"{kind} CA {suite}")
        authority = self.issuing.found_authority(kind, suite, generation, parent)
        self.revocation.sign_crl(authority)
        return authority

    def _unit(self, purpose: str, kind: str, words: str, issuer: Authority, progress: Callable[[str], None]) -> None:
        """A service of the node with a role, an active key and a certificate."""
        generation = self._first_key(purpose, issuer.suite, f"{kind} {issuer.suite}")
        if self.certificates(generation.id):
            return
        progress(f"{kind} {issuer.suite}")
        subject = self.issuing.infrastructure_subject(words, issuer.suite, generation.number)
        self.issue(profile=kind, generation=generation, subject=subject)

    def _first_key(self, purpose: str, suite: Suite, name: str) -> Generation:
        """The role's active key; role and key are made when missing (making them again gives those that are there)."""
        role_id = self.register.role(purpose, suite)
        if role_id is None:
            role_id = self.keys.create_role(purpose, suite, name).id
            self.register.keep_role(purpose, suite, role_id)
        with suppress(XinyinError):
            return self.keys.active(role_id)
        generation = self.keys.stage(role_id)
        self.keys.activate(generation.id)
        return self.keys.active(role_id)

    def succeed_issuing(self, suite: Suite, generation: Generation) -> Authority:
        """A new issuing CA for a staged or active key of the same role; the old one signs no more certificates, but goes on
        answering for those it signed. The root token must be logged in. Asked again after a crash, it finishes.
        """
        return self._succeed("issuing", suite, generation)

    def succeed_root(self, suite: Suite, generation: Generation) -> Authority:
        """A new root for a staged or active key of the same role; the old one goes on signing its own list. Its issuing CA is
        to be succeeded next. The root token must be logged in.
        """
        return self._succeed("root", suite, generation)

    def _succeed(self, kind: str, suite: Suite, generation: Generation) -> Authority:
        made = next((a for a in self.register.authorities(kind) if a.generation_id == generation.id), None)
        if made is None:
            self._check_same_role(generation, self.register.current(kind, suite).generation_id)
            root = self.register.current("root", suite) if kind == "issuing" else None
            made = self.issuing.found_authority(kind, suite, generation, root)
        older = [a.name for a in self.register.authorities(kind) if a.suite is suite and a.number < made.number]

        def retire(session: Session) -> None:
            for name in older:
                session.get_one(AuthorityRow, name).status = "retired"

        self.db.run(retire)
        self.revocation.refresh()
        return made

    def _check_same_role(self, generation: Generation, before: str) -> None:
        if generation.role_id != self.keys.generation(before).role_id:
            raise KeyNotInUse(
                "This key belongs to another role; take the next generation of the same role.",
                "该密钥属于另一用途；请使用同一密钥用途的下一代密钥。",
                generation=generation.id,
            )

    # --- certificates ---

    def issue(
        self,
        *,
        profile: str,
        generation: Generation,
        subject: Subject,
        es_id: str | None = None,
        days: int | None = None,
        actor: str = "system",
    ) -> Certificate:
        """A certificate for this key from the issuing CA of its suite, its first OCSP answer with it.

        :raises NoSuchProfile: see ca/profiles.toml
        :raises KeyNotInUse: retired or destroyed
        :raises LintRefused: it would break its profile or RFC 5280
        :raises NotFounded: no CA for this suite
        """
        kind = profile_named(profile)
        issuer = self.register.current("issuing", generation.public_key.suite)
        made = self.issuing.issue(kind, generation, subject, issuer=issuer, es_id=es_id, days=days, actor=actor)
        with suppress(XinyinError):  # made when first asked for otherwise
            self.ocsp_for(made)
        return made

    def renew(self, serial: str | int, generation: Generation | None = None, *, actor: str = "system") -> Certificate:
        """A new certificate with the names, profile and esID of one of ours, for the same key or for the role's next one.

        The node's own services carry the number of their key in their name; it follows the key. CAs are succeeded, not renewed.

        :raises CertificateStateRefused: suspended or revoked, a CA's, or an outside CA's
        :raises KeyNotInUse: the key is retired or destroyed, or another role's
        """
        found = self.record(serial)
        if found.origin != "own" or found.status not in ("good", "expired") or found.certificate.is_ca:
            raise CertificateStateRefused(
                f"This certificate cannot be renewed: it is {found.status}, {found.profile} of {found.issuer}.",
                "该证书不能续发：已暂停或吊销，或为 CA 证书，或由外部 CA 签发。",
                status=found.status,
            )
        assert found.generation_id is not None
        return self.issue_like(found, generation or self.keys.generation(found.generation_id), actor=actor)

    def issue_like(self, found: CertificateRecord, generation: Generation, *, actor: str = "system") -> Certificate:
        """A certificate with the names, profile and esID of one of ours, whatever has become of that, for a key of its role.

        :raises KeyNotInUse: the key is retired or destroyed, or another role's
        """
        assert found.generation_id is not None
        self._check_same_role(generation, found.generation_id)
        subject = Subject.of(found.certificate)
        subject = replace(subject, common_name=re.sub(r" G\d+$", f" G{generation.number}", subject.common_name))
        return self.issue(profile=found.profile, generation=generation, subject=subject, es_id=found.es_id, actor=actor)

    def certificates(self, generation_id: str) -> list[Certificate]:
        """Certificates of a key, newest first, whatever their state."""
        return [record(r, self.now()).certificate for r in self.register.rows(CertificateRow.generation_id == generation_id)]

    def usable(self, generation_id: str, *, es_id: str | None = None) -> list[Certificate]:
        """Certificates of a key that are good and valid now, newest first: those to sign under.

        :param es_id: only those for this seal, by our book: an outside CA's certificate may carry no esID
        """
        moment = self.now()
        conditions = [CertificateRow.generation_id == generation_id, CertificateRow.status == "good"]
        conditions += [CertificateRow.not_before <= moment, CertificateRow.not_after >= moment]
        if es_id is not None:
            conditions.append(CertificateRow.es_id == es_id)
        return [parsed(row.der) for row in self.register.rows(*conditions) if row.der is not None]

    def records(self, *, limit: int = 100, before: str | None = None, **equals: str) -> list[CertificateRecord]:
        """Certificates with their state, newest first.

        :param before: the id of the last one seen, for the next page
        :param equals: es_id, profile, status, generation_id, authority, origin
        :raises BadInput: another filter
        """
        unknown = set(equals) - FILTERS
        if unknown:
            raise BadInput(
                f"Certificates cannot be filtered by {', '.join(sorted(unknown))}; use {', '.join(sorted(FILTERS))}.",
                f"不能按 {'、'.join(sorted(unknown))} 筛选证书；可用：{'、'.join(sorted(FILTERS))}。",
            )
        conditions = [getattr(CertificateRow, name) == value for name, value in equals.items()]
        if before is not None:
            conditions.append(CertificateRow.id < before)
        return [record(row, self.now()) for row in self.register.rows(*conditions, limit=limit)]

    def record(self, serial: str | int) -> CertificateRecord:
        """One certificate by serial number (hex or int) or id. :raises NoSuchCertificate: none"""
        with self.db.read() as session:
            return record(self.register.row(session, serial), self.now())

    def chain(self, certificate: Certificate) -> list[Certificate]:
        """Leaf … root. :raises NoSuchCertificate: neither issued nor imported here"""
        with self.db.read() as session:
            row = self.register.by_certificate(session, certificate)
        if row is None:
            raise no_such_certificate(certificate.serial_hex)
        if row.origin == "outside":
            return [certificate, *Certificate.parse_many((row.chain or "").encode())]
        found, name = [certificate], row.authority
        while name is not None:
            authority = self.authority(name)
            found.append(authority.certificate)
            name = authority.parent
        return found

    def anchors(self) -> list[Certificate]:
        """Our roots, one a suite and generation."""
        return [a.certificate for a in self.register.authorities("root")]

    def authorities(self) -> list[Authority]:
        """Roots first, then issuing CAs."""
        return self.register.authorities()

    def authority(self, name: str) -> Authority:
        """:raises NoSuchAuthority: unknown name"""
        found = self.register.authority(name)
        if found is None:
            raise NoSuchAuthority(f"There is no CA {name!r} here.", f"本节点没有 CA {name!r}。")
        return found

    def authority_certificate(self, name: str) -> bytes:
        """DER for ``/ca/{name}.crt``. :raises NoSuchAuthority: unknown name"""
        return self.authority(name.removesuffix(".crt")).certificate.der

    def expiring(self, within: timedelta) -> list[CertificateRecord]:
        """Good certificates that end within this time, soonest first: what to renew."""
        moment = self.now()
        rows = self.register.rows(
            CertificateRow.status == "good",
            CertificateRow.not_after >= moment,
            CertificateRow.not_after <= moment + within,
        )
        return sorted((record(row, moment) for row in rows), key=lambda r: r.not_after)

    def counts(self) -> dict[str, int]:
        """How many certificates are in which state; for metrics."""
        query = (
            sa.select(CertificateRow.status, sa.func.count())
            .where(CertificateRow.region == self.config.region)
            .group_by(CertificateRow.status)
        )
        with self.db.read() as session:
            return {row[0]: row[1] for row in session.execute(query)}

    def lint(self, serial: str | int) -> list[linting.Finding]:
        """Today's rules over a certificate issued earlier, and its expiry; [] when all is well. Outside CAs lint their own."""
        found = self.record(serial)
        late = linting.expiry(found.certificate, self.now())
        findings = [late] if late is not None else []
        if found.origin == "outside":
            return findings
        above = self.authority(found.authority).certificate if found.authority is not None else None
        kind = profile_named(found.profile)
        return [*linting.lint(found.certificate, above, kind, sample=self.config.sample), *findings]

    # --- outside CAs ---

    def csr(self, generation: Generation, subject: Subject, *, profile: str = "seal-holder", es_id: str | None = None) -> bytes:
        """DER PKCS#10 request for a key of ours, to be sent to an outside CA."""
        return self.outside.request(generation, subject, kind=profile_named(profile), es_id=es_id)

    def import_certificate(
        self,
        generation: Generation,
        data: bytes,
        chain: Sequence[Certificate] | bytes,
        *,
        profile: str = "seal-holder",
        es_id: str | None = None,
        actor: str = "system",
    ) -> CertificateRecord:
        """Take an outside CA's certificate (DER or PEM) for a key of ours; ``chain`` in any order, up to the root.

        :raises ImportRefused: foreign key, outside its validity, broken chain, wrong usage, wrong seal, revoked
        """
        certificate = Certificate.parse(data)
        issuers = Certificate.parse_many(chain) if isinstance(chain, bytes) else list(chain)
        kind = profile_named(profile)
        return self.outside.import_certificate(generation, certificate, issuers, kind=kind, es_id=es_id, actor=actor)

    # --- status ---

    def hold(self, serial: str | int, *, actor: str = "system", reason: str | None = None) -> CertificateRecord:
        """See :meth:`ca.revocation.Revocation.hold`."""
        return self.revocation.hold(serial, actor=actor, reason=reason)

    def release(self, serial: str | int, *, actor: str = "system", reason: str | None = None) -> CertificateRecord:
        """See :meth:`ca.revocation.Revocation.release`."""
        return self.revocation.release(serial, actor=actor, reason=reason)

    def revoke(
        self,
        serial: str | int,
        reason: str = "unspecified",
        *,
        actor: str = "system",
        invalidity_at: datetime | None = None,
    ) -> CertificateRecord:
        """See :meth:`ca.revocation.Revocation.revoke`."""
        return self.revocation.revoke(serial, reason, actor=actor, invalidity_at=invalidity_at)

    def crl(self, name: str) -> bytes:
        """DER for ``/crl/{name}.crl``. :raises NoSuchAuthority: unknown name"""
        return self.revocation.crl(name.removesuffix(".crl"))

    def ocsp(self, request: bytes) -> bytes:
        """DER answer to a DER OCSP request; never raises for bad ones."""
        return self.revocation.ocsp(request)

    def timestamp(self, request: bytes) -> bytes:
        """DER answer to a DER timestamp request; never raises for bad ones. The caller limits the rate."""
        return self.timestamps.respond(request)

    def refresh(self, now: datetime | None = None) -> RefreshReport:
        """See :meth:`ca.revocation.Revocation.refresh`."""
        return self.revocation.refresh(now)

    # --- sources for the sealing path ---

    def ocsp_for(self, certificate: Certificate) -> bytes | None:
        """DER OCSPResponse about a certificate; None where its issuer gives none (roots and what they sign, OCSP delegates) or,
        for an outside CA, where only its CRL can be had.

        :raises StatusUnavailable: an outside CA that answers by neither
        """
        row = self._row_of(certificate)
        if certificate.is_self_issued or certificate.ocsp_nocheck or not certificate.ocsp_urls:
            return None
        if row is not None and row.authority is not None:
            return self.revocation.ocsp_for(self.authority(row.authority), row.id)
        try:
            return self.outside.ocsp(certificate, self.outside.issuer_of(certificate))
        except StatusUnavailable:
            if certificate.crl_urls:
                return None
            raise

    def crl_for(self, certificate: Certificate) -> bytes | None:
        """DER CRL that covers a certificate; None for roots and where no list is named. Raises as :meth:`ocsp_for`."""
        row = self._row_of(certificate)
        if certificate.is_self_issued:
            return None
        if row is not None and row.authority is not None:
            return self.crl(row.authority)
        return self.outside.crl(certificate, self.outside.issuer_of(certificate)) if certificate.crl_urls else None

    def _row_of(self, certificate: Certificate) -> CertificateRow | None:
        with self.db.read() as session:
            return self.register.by_certificate(session, certificate)

    def timestamp_token(self, digest_alg: DigestAlgorithm, digest: bytes) -> bytes:
        """DER TimeStampToken over a digest. :raises XinyinError: the unit does not answer"""
        return self.timestamps.token(DigestAlgorithm(digest_alg), digest)
