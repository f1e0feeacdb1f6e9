"""Keys and certificates in memory for tests and benches: one small hierarchy a suite, made once a process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats.x509 import Certificate, CertificateSpec, Subject, build_certificate

_serials = count(1_000_001)


@dataclass(frozen=True)
class Holder:
    """A key with its certificate and the issuers' certificates, issuer first."""

    key: SoftwareKey
    certificate: Certificate
    chain: tuple[Certificate, ...]


@cache
def root(suite: Suite) -> Holder:
    """A self-signed root, 样本."""
    key = SoftwareKey.generate(suite)
    spec = _spec(key, "样本 根", is_ca=True, key_usage=("keyCertSign", "cRLSign"))
    return Holder(key, build_certificate(spec, key), ())


@cache
def holder(suite: Suite, name: str = "样本 签名人", *, usage: str = "", rsa_bits: int = 2048) -> Holder:
    """An end entity below :func:`root`; ``usage`` is a dotted extended key usage (critical)."""
    issuer = root(suite)
    key = SoftwareKey.generate(suite, rsa_bits=rsa_bits)
    spec = _spec(
        key, name, issuer=issuer.certificate, key_usage=("digitalSignature", "nonRepudiation"),
        extended_key_usage=(usage,) if usage else (), extended_key_usage_critical=bool(usage),
    )  # fmt: skip
    return Holder(key, build_certificate(spec, issuer.key), (issuer.certificate,))


def _spec(key: SoftwareKey, name: str, **rest: object) -> CertificateSpec:
    now = datetime.now(UTC).replace(microsecond=0)
    return CertificateSpec(
        subject=Subject(name, organization="云江市样本单位"),
        public_key=key.public_key,
        serial=next(_serials),
        not_before=now - timedelta(days=1),
        not_after=now + timedelta(days=3650),
        **rest,  # type: ignore[arg-type]
    )
