"""A small world to verify in: per suite a root, an issuing CA, a delegated OCSP responder, a timestamp unit and seals,
with a clock that tests set and revocations that tests declare. Real certificates, answers, tokens and lists throughout."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from crypto.keys import SoftwareKey
from crypto.suites import DigestAlgorithm, Suite, default_scheme
from formats import tsp
from formats.crl import CrlSpec, RevokedEntry, build_crl
from formats.ocsp import Answer, CertId, build_response
from formats.x509 import (
    EKU_DOCUMENT_SIGNING,
    EKU_OCSP_SIGNING,
    EKU_TIME_STAMPING,
    Certificate,
    CertificateSpec,
    Subject,
    build_certificate,
)
from seals.picture import Picture, draw, standard_spec
from seals.sealing import Placement, SealingMaterial, seal_pdf
from tests.pdf_samples import plain
from tests.software_keys import soft_key
from trust.schemas import ListContent, TrustedEntity
from trust.service import sign_list
from verify.schemas import VerificationContext
from verify.trust import ServiceType, TrustedService, TrustStore, read_list

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
ES_ID = "31000020260007"


@lru_cache(maxsize=1)
def picture() -> Picture:
    return draw(standard_spec("statutory", "云江市市场监督管理局"))


@dataclass
class World:
    """``clock`` is the time at which sources answer; ``revoked`` maps serial numbers to (time, reason)."""

    suite: Suite
    clock: datetime = NOW
    revoked: dict[int, tuple[datetime, str]] = field(default_factory=dict)
    serial: int = 100
    keys: dict[str, SoftwareKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        usage = ("keyCertSign", "cRLSign", "digitalSignature")
        self.root = self.certificate("样本根", None, "root", is_ca=True, key_usage=usage, age=9 * 365 * DAY, days=9000)
        self.ca = self.certificate(
            "样本签发机构", self.root, "ca", is_ca=True, path_len=0, key_usage=usage, age=8 * 365 * DAY, days=8000
        )
        self.responder = self.certificate(
            "样本 OCSP", self.ca, "ocsp", key_usage=("digitalSignature",), extended_key_usage=(EKU_OCSP_SIGNING,),
            ocsp_nocheck=True, age=7 * 365 * DAY, days=7000,
        )  # fmt: skip
        self.tsa = self.certificate(
            "样本时间戳", self.ca, "tsa", key_usage=("digitalSignature",), extended_key_usage=(EKU_TIME_STAMPING,),
            extended_key_usage_critical=True, age=7 * 365 * DAY, days=7000,
        )  # fmt: skip
        self.seal = self.seal_certificate("seal")

    def seal_certificate(self, key: str, *, age: timedelta = 400 * DAY, days: float = 1000) -> Certificate:
        return self.certificate(
            "样本专用章", self.ca, key, key_usage=("digitalSignature", "nonRepudiation"),
            extended_key_usage=(EKU_DOCUMENT_SIGNING,), es_id=ES_ID, age=age, days=days,
        )  # fmt: skip

    def key(self, name: str) -> SoftwareKey:
        if name not in self.keys:
            self.keys[name] = soft_key(self.suite)
        return self.keys[name]

    def certificate(
        self, name: str, issuer: Certificate | None, key: str, *, age: timedelta, days: float, **more: object
    ) -> Certificate:
        self.serial += 1
        issuer_key = self.key({None: key}.get(issuer, "root" if issuer is getattr(self, "root", None) else "ca"))
        spec = CertificateSpec(
            Subject(name, organization="样本机关"),
            self.key(key).public_key,
            self.serial,
            NOW - age,
            NOW - age + timedelta(days=days),
            issuer=issuer,
            **more,  # type: ignore[arg-type]
        )
        return build_certificate(spec, issuer_key)

    # Sources for sealing

    def timestamp_token(self, digest_alg: DigestAlgorithm, digest: bytes) -> bytes:
        self.serial += 1
        return tsp.build_token(
            digest=digest_alg, imprint=digest, serial=self.serial, gen_time=self.clock, policy="2.25.1", signer=self.key("tsa"),
            certificate=self.tsa, chain=[self.ca],
        )  # fmt: skip

    def ocsp_for(self, cert: Certificate) -> bytes | None:
        if cert.issuer_der != self.ca.subject_der or cert == self.ca:
            return None
        gone = self.revoked.get(cert.serial)
        visible = gone is not None and gone[0] <= self.clock
        answer = Answer(
            CertId.of(cert, self.ca), "revoked" if visible else "good", self.clock, self.clock + DAY,
            gone[0] if gone and visible else None, gone[1] if gone and visible else None,
        )  # fmt: skip
        return build_response([answer], self.key("ocsp"), self.responder, produced_at=self.clock)

    def crl_for(self, cert: Certificate) -> bytes | None:
        issuer, key = (self.ca, "ca") if cert.issuer_der == self.ca.subject_der and cert != self.ca else (self.root, "root")
        entries = [RevokedEntry(s, at, why) for s, (at, why) in self.revoked.items() if at <= self.clock]
        return build_crl(CrlSpec(issuer, 1, self.clock, self.clock + DAY, entries if key == "ca" else ()), self.key(key))

    # The verifier's revocation provider

    def evidence(self, cert: Certificate, issuer: Certificate) -> list[bytes]:
        found = [self.ocsp_for(cert), self.crl_for(cert)]
        return [f for f in found if f is not None]

    # What tests do

    def sealed(
        self,
        level: str = "B",
        *,
        when: datetime | None = None,
        claimed: datetime | None = None,
        certificate: Certificate | None = None,
        key: str = "seal",
        document: bytes | None = None,
        y_mm: float = 60,
    ) -> bytes:
        """A document sealed at ``when`` (sources answer as of then), claiming ``claimed``."""
        before, self.clock = self.clock, when or self.clock
        scheme = default_scheme(self.suite)
        material = SealingMaterial(
            self.key(key), scheme, certificate or self.seal, [self.ca, self.root], picture(), ES_ID, "云江市市场监督管理局"
        )
        try:
            return seal_pdf(
                document or plain(1),
                material,
                Placement(1, 60, y_mm),
                format="gm" if self.suite is Suite.SM2 else "pades",
                level=level,  # type: ignore[arg-type]
                when=claimed or self.clock,
                timestamps=self,
                revocation=self,
            ).data
        finally:
            self.clock = before

    def trust(self, *, next_update: datetime | None = NOW + DAY, **more: object) -> TrustStore:
        """A store with the region's signed list."""
        return TrustStore([read_list(self.signed_list(next_update=next_update, **more), [list_key().public_key.fingerprint])])

    def signed_list(
        self,
        *,
        sequence: int = 7,
        region: str = "310000",
        issued: datetime = NOW - DAY,
        next_update: datetime | None = NOW + DAY,
        withdrawn: datetime | None = None,
        tsa: bool = True,
        ca_as: ServiceType = ServiceType.CA_ISSUING,
    ) -> str:
        status = {"status": "withdrawn", "since": withdrawn} if withdrawn else {"since": NOW - 3000 * DAY}
        services = [TrustedService(ca_as, "样本签发机构", region, certificate=self.ca, **status)]  # type: ignore[arg-type]
        if tsa:
            services.append(TrustedService(ServiceType.TSA, "样本时间戳", region, certificate=self.tsa, since=NOW - 3000 * DAY))
        content = ListContent(region, "上海市（样本）", sequence, issued, next_update, [TrustedEntity("样本机构", services)])
        return sign_list(content, list_key())

    def context(self, **more: object) -> VerificationContext:
        """Online, with the signed list."""
        more.setdefault("trust", self.trust())
        return VerificationContext(revocation=self, **more)  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def list_key() -> SoftwareKey:
    return SoftwareKey.generate(Suite.P256)
