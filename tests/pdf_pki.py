"""Test material for sealing: a root, an issuing CA, a seal's certificate and a timestamp unit per suite, made once a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from crypto.keys import SoftwareKey
from crypto.suites import RSA_PSS_SHA256, DigestAlgorithm, Scheme, Suite, default_scheme
from formats import tsp
from formats.crl import CrlSpec, build_crl
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
from seals.sealing import SealingMaterial

NOW = datetime.now(UTC).replace(microsecond=0)
ES_ID = "31000020260001"


@dataclass(frozen=True)
class Pki:
    suite: Suite
    root_key: SoftwareKey
    root: Certificate
    ca_key: SoftwareKey
    ca: Certificate
    seal_key: SoftwareKey
    seal: Certificate
    tsa_key: SoftwareKey
    tsa: Certificate
    ocsp_key: SoftwareKey
    ocsp: Certificate


def _certificate(
    name: str, key: SoftwareKey, issuer: Certificate | None, issuer_key: SoftwareKey, serial: int, **more: object
) -> Certificate:
    spec = CertificateSpec(
        Subject(name, organization="样本机关"),
        key.public_key,
        serial,
        NOW - timedelta(days=30),
        NOW + timedelta(days=3650 if more.get("is_ca") else 700),
        issuer=issuer,
        # pyHanko looks at OCSP answers in hand only for certificates that name a responder.
        ocsp_urls=() if more.get("is_ca") or more.get("ocsp_nocheck") else ("http://ocsp.invalid/",),
        crl_urls=("http://crl.invalid/root.crl",) if issuer is not None and more.get("is_ca") else (),
        **more,  # type: ignore[arg-type]
    )
    return build_certificate(spec, issuer_key)


@lru_cache(maxsize=4)
def pki(suite: Suite) -> Pki:
    root_key, ca_key, seal_key, tsa_key, ocsp_key = (SoftwareKey.generate(suite) for _ in range(5))
    usage = ("keyCertSign", "cRLSign", "digitalSignature")
    root = _certificate("样本根 Root", root_key, None, root_key, 11, is_ca=True, key_usage=usage)
    ca = _certificate("样本签发 CA", ca_key, root, root_key, 12, is_ca=True, path_len=0, key_usage=usage)
    seal = _certificate(
        "样本专用章",
        seal_key,
        ca,
        ca_key,
        13,
        key_usage=("digitalSignature", "nonRepudiation"),
        extended_key_usage=(EKU_DOCUMENT_SIGNING,),
        es_id=ES_ID,
    )
    tsa = _certificate(
        "样本时间戳",
        tsa_key,
        ca,
        ca_key,
        14,
        key_usage=("digitalSignature",),
        extended_key_usage=(EKU_TIME_STAMPING,),
        extended_key_usage_critical=True,
    )
    ocsp = _certificate(
        "样本 OCSP",
        ocsp_key,
        ca,
        ca_key,
        15,
        key_usage=("digitalSignature",),
        extended_key_usage=(EKU_OCSP_SIGNING,),
        ocsp_nocheck=True,
    )
    return Pki(suite, root_key, root, ca_key, ca, seal_key, seal, tsa_key, tsa, ocsp_key, ocsp)


class Tsa:
    """A timestamp unit in process."""

    def __init__(self, p: Pki) -> None:
        self.pki = p
        self.asked = 0

    def timestamp_token(self, digest_alg: DigestAlgorithm, digest: bytes) -> bytes:
        self.asked += 1
        p = self.pki
        return tsp.build_token(
            digest=digest_alg,
            imprint=digest,
            serial=1000 + self.asked,
            gen_time=datetime.now(UTC).replace(microsecond=0),
            policy="1.3.6.1.4.1.99999.1",
            signer=p.tsa_key,
            certificate=p.tsa,
            chain=[p.ca],
        )


class Revocation:
    """OCSP for end entities, from a delegated responder; CRLs for CAs."""

    def __init__(self, p: Pki) -> None:
        self.pki = p

    def ocsp_for(self, cert: Certificate) -> bytes | None:
        p = self.pki
        if cert.is_ca:
            return None
        answer = Answer(CertId.of(cert, p.ca), "good", NOW, NOW + timedelta(days=7))
        return build_response([answer], p.ocsp_key, p.ocsp, produced_at=NOW)

    def crl_for(self, cert: Certificate) -> bytes | None:
        p = self.pki
        return (
            build_crl(CrlSpec(p.root, 1, NOW, NOW + timedelta(days=30), url="http://crl.invalid/root.crl"), p.root_key)
            if cert == p.ca
            else None
        )


@lru_cache(maxsize=4)
def picture(kind: str = "statutory") -> Picture:
    return draw(standard_spec(kind, "云江市市场监督管理局"))


def material(suite: Suite = Suite.RSA, scheme: Scheme | None = None) -> SealingMaterial:
    p = pki(suite)
    return SealingMaterial(
        p.seal_key, scheme or default_scheme(suite), p.seal, [p.ca, p.root], picture(), ES_ID, "云江市市场监督管理局"
    )


PSS = RSA_PSS_SHA256
