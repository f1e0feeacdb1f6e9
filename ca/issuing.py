"""Founding authorities and issuing certificates: specify, lint, record, sign, check, finish."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from ca import lint
from ca.errors import KeyNotInUse
from ca.models import AuthorityRow, CertificateRow
from ca.ports import Generation, Keys
from ca.profiles import Profile, profile
from ca.register import Register, serial_text
from ca.schemas import Authority, CaConfig
from crypto.errors import Misconfigured
from crypto.suites import Suite, default_scheme
from formats.x509 import Certificate, CertificateSpec, Subject, assemble, build_tbs
from store.audit import AuditLog
from store.ids import new_id

BACKDATE = timedelta(minutes=5)
"""A certificate begins a little before it is issued, for verifiers whose clocks are behind."""

_SUITE_NAMES = {Suite.SM2: "SM2", Suite.RSA: "RSA", Suite.P256: "P-256"}

AfterIssue = Callable[[Session, Certificate], None]


class IssuerSignatureWrong(Misconfigured):
    """The token's signature over a certificate does not verify."""

    code = "issuer-signature-wrong"


def new_serial() -> int:
    """A positive number of exactly 20 bytes: 157 random bits, far above the 64 that foreseeing must cost (CA/B BR §7.1)."""
    return secrets.randbits(157) | 1 << 158


class Issuing:
    """Signs certificates. Each is linted unsigned first; its row exists before the token is asked."""

    def __init__(
        self, register: Register, keys: Keys, config: CaConfig, audit: AuditLog | None, now: Callable[[], datetime]
    ) -> None:
        self.register = register
        self.keys = keys
        self.config = config
        self.audit = audit
        self.now = now

    # --- names ---

    def infrastructure_subject(self, words: str, suite: Suite, number: int) -> Subject:
        """``CN=样本 上海市 电子印章根 CA SM2 G1``: the name of one of the node's own services."""
        mark = f"{lint.SAMPLE_MARK} " if self.config.sample else ""
        return Subject(
            common_name=f"{mark}{self.config.name} {words} {_SUITE_NAMES[suite]} G{number}",
            organization=f"{mark}{self.config.name}电子印章服务",
        )

    def _marked(self, subject: Subject) -> Subject:
        """Outside production a name always says 样本, whoever asked for it."""
        text = subject.common_name + subject.organization + subject.unit
        if not self.config.sample or lint.SAMPLE_MARK in text:
            return subject
        room = 64 - len(lint.SAMPLE_MARK) - 1
        return replace(subject, common_name=f"{lint.SAMPLE_MARK} {subject.common_name[:room]}")

    # --- authorities ---

    def found_authority(self, kind: str, suite: Suite, generation: Generation, parent: Authority | None) -> Authority:
        """A root (``parent`` None, self-signed) or an issuing CA for this key, recorded with its certificate."""
        number = 1 + sum(a.suite is suite for a in self.register.authorities(kind))
        name = f"{kind}-{suite.value}-{number}"
        words = "电子印章根 CA" if kind == "root" else "电子印章签发 CA"
        subject = self.infrastructure_subject(words, suite, number)

        def record(session: Session, certificate: Certificate) -> None:
            session.add(
                AuthorityRow(
                    name=name,
                    kind=kind,
                    suite=suite.value,
                    number=number,
                    status="active",
                    generation_id=generation.id,
                    certificate=certificate.der,
                    parent=parent.name if parent is not None else None,
                    changes=0,
                    created_at=self.now(),
                    region=self.register.region,
                )
            )

        self.issue(profile(f"{kind}-ca"), generation, subject, issuer=parent, after=record)
        made = self.register.authority(name)
        assert made is not None
        return made

    # --- certificates ---

    def issue(
        self,
        kind: Profile,
        generation: Generation,
        subject: Subject,
        *,
        issuer: Authority | None = None,
        es_id: str | None = None,
        days: int | None = None,
        actor: str = "system",
        after: AfterIssue | None = None,
    ) -> Certificate:
        """One certificate for the key of ``generation``.

        :param issuer: None for the root's own
        :raises KeyNotInUse: the key is retired or destroyed
        :raises LintRefused: the certificate would break its profile or RFC 5280 (nothing was signed)
        """
        if generation.state in ("retired", "destroyed"):
            raise KeyNotInUse(
                f"The key is {generation.state}; certificates are issued for staged, active and draining keys only.",
                f"该密钥已{'退役' if generation.state == 'retired' else '销毁'}；只能为待启用、使用中或退出中的密钥签发证书。",
                generation=generation.id,
            )
        spec = self._spec(kind, generation, self._marked(subject), issuer, es_id, days)
        signing_key = generation.public_key if issuer is None else issuer.certificate.public_key
        scheme = default_scheme(signing_key.suite)
        tbs = build_tbs(spec, scheme)
        unsigned = Certificate.parse(assemble(tbs, scheme, bytes(8)))
        above = issuer.certificate if issuer is not None else None
        lint.refuse(lint.lint(unsigned, above, kind, sample=self.config.sample))
        row_id = self._begin(kind, generation, unsigned, issuer)
        signer = self.keys.signer(issuer.generation_id if issuer is not None else generation.id, "certificate")
        certificate = Certificate.parse(assemble(tbs, scheme, signer.sign(tbs, scheme)))
        if not certificate.is_signed_by(signing_key):
            raise IssuerSignatureWrong(
                "The CA's token returned a wrong signature; the certificate was thrown away. Run `xinyin doctor`.",
                "CA 密钥设备返回了错误的签名，证书已作废；请运行 `xinyin doctor` 检查。",
            )
        self._finish(row_id, certificate, actor, after)
        return certificate

    def _spec(
        self,
        kind: Profile,
        generation: Generation,
        subject: Subject,
        issuer: Authority | None,
        es_id: str | None,
        days: int | None,
    ) -> CertificateSpec:
        base = self.config.status_base
        start = (self.now() - BACKDATE).astimezone(UTC).replace(microsecond=0)
        end = start + timedelta(days=min(days or kind.days, kind.days))
        above = issuer.certificate if issuer is not None else None
        if above is not None:
            start, end = max(start, above.not_before), min(end, above.not_after)
        name = issuer.name if issuer is not None else ""
        return CertificateSpec(
            subject=subject,
            public_key=generation.public_key,
            serial=new_serial(),
            not_before=start,
            not_after=end,
            issuer=above,
            is_ca=kind.ca,
            path_len=kind.path_len,
            key_usage=kind.key_usage,
            extended_key_usage=kind.eku,
            extended_key_usage_critical=kind.eku_critical,
            policies=() if issuer is None else self.config.policies,
            ocsp_urls=[f"{base}/ocsp"] if "ocsp" in kind.status else [],
            crl_urls=[f"{base}/crl/{name}.crl"] if "crl" in kind.status else [],
            ca_issuer_urls=[f"{base}/ca/{name}.crt"] if issuer is not None else [],
            ocsp_nocheck=kind.ocsp_nocheck,
            es_id=es_id,
        )

    def _begin(self, kind: Profile, generation: Generation, unsigned: Certificate, issuer: Authority | None) -> str:
        row = CertificateRow(
            id=new_id("cert"),
            origin="own" if issuer is not None else "root",
            authority=issuer.name if issuer is not None else None,
            serial=serial_text(unsigned.serial),
            generation_id=generation.id,
            profile=kind.name,
            subject=unsigned.subject,
            issuer=unsigned.issuer,
            es_id=unsigned.es_id,
            not_before=unsigned.not_before,
            not_after=unsigned.not_after,
            der=None,
            sha256=None,
            chain=None,
            status="issuing",
            created_at=self.now(),
            region=self.register.region,
        )
        self.register.db.run(lambda session: session.add(row))
        return row.id

    def _finish(self, row_id: str, certificate: Certificate, actor: str, after: AfterIssue | None) -> None:
        def work(session: Session) -> None:
            row = session.get_one(CertificateRow, row_id)
            row.der, row.sha256, row.status = certificate.der, certificate.sha256, "good"
            if after is not None:
                after(session, certificate)
            if self.audit is not None:
                subjects = {"certificate": row.id} | ({"seal": row.es_id} if row.es_id else {})
                data = {"serial": row.serial, "sha256": row.sha256, "profile": row.profile, "generation": row.generation_id}
                self.audit.append(session, kind="certificate.issued", actor=actor, subject=subjects, data=data)

        self.register.db.run(work)
