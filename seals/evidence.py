"""What makes a signature last: timestamps, and revocation evidence for every chain in it, from sources that others fill."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Literal, Protocol
from weakref import WeakKeyDictionary

from crypto.errors import Unavailable
from crypto.suites import DigestAlgorithm
from formats.ocsp import OcspResponse
from formats.pdf.signing import ValidationMaterial
from formats.tsp import TimestampRefused, TimestampToken
from formats.x509 import Certificate

MAX_CHAINS = 16
PROBE_SECONDS = 60


class TimestampSource(Protocol):
    """Gives RFC 3161 tokens: our own TSA in process, or an outside one over HTTP."""

    def timestamp_token(self, digest_alg: DigestAlgorithm, digest: bytes, /) -> bytes:
        """DER ContentInfo of a token over ``digest``."""
        ...


class RevocationSource(Protocol):
    """Gives revocation evidence of a certificate."""

    def ocsp_for(self, cert: Certificate, /) -> bytes | None:
        """DER OCSPResponse, or None where its issuer answers none."""
        ...

    def crl_for(self, cert: Certificate, /) -> bytes | None:
        """DER CertificateList that covers it, or None where there is none."""
        ...


class NoEvidence(Unavailable):
    """A certificate without revocation evidence cannot be archived."""

    code = "no-revocation-evidence"


class Timestamper:
    """Timestamps for one document from one source. What comes back is checked before it goes into a document."""

    def __init__(self, source: TimestampSource, digest: DigestAlgorithm) -> None:
        self.source = source
        self.digest = digest

    @cached_property
    def probe(self) -> TimestampToken:
        """A token over random bytes, at most a minute old.

        It tells the room that tokens take and which unit signs them, and a service that is down is noticed before the key
        is used.
        """
        now = time.monotonic()
        recent = _recent_probes(self.source)
        asked, token = recent.get(self.digest, (0.0, None))
        if token is None or now - asked > PROBE_SECONDS:
            token = self.over(secrets.token_bytes(32))
            recent[self.digest] = (now, token)
        return token

    @property
    def room(self) -> int:
        """Bytes to keep for a token; they differ by a few from one to the next."""
        return len(self.probe.der) + 512

    def over(self, imprint: bytes) -> TimestampToken:
        """A token over a digest.

        :raises TimestampRefused: it stamps something else, is not intact, or does not carry its signer's certificate
        """
        token = TimestampToken.parse(self.source.timestamp_token(self.digest, imprint))
        if token.digest is not self.digest or token.imprint != imprint or token.certificate is None or not token.check().intact:
            raise TimestampRefused(
                "The timestamp service did not stamp what was asked, or its token is faulty; use another service.",
                "时间戳服务未对所提交的内容加盖时间戳，或其令牌有误；请更换时间戳服务。",
            )
        return token


_probes: WeakKeyDictionary[TimestampSource, dict[DigestAlgorithm, tuple[float, TimestampToken]]] = WeakKeyDictionary()


def _recent_probes(source: TimestampSource) -> dict[DigestAlgorithm, tuple[float, TimestampToken]]:
    try:
        return _probes.setdefault(source, {})
    except TypeError:  # a source that cannot be hashed or referred to weakly is probed every time
        return {}


def gather_evidence(starts: Sequence[Certificate], pool: Sequence[Certificate], source: RevocationSource) -> ValidationMaterial:
    """OCSP answers (else CRLs) for end entities, CRLs (else OCSP answers) for CAs, up each chain to its root.

    An OCSP responder that may itself be revoked (no ocsp-nocheck, RFC 6960 §4.2.2.2.1) counts as one more end entity.

    :raises NoEvidence: a certificate has neither
    """
    certificates: dict[bytes, None] = {}
    ocsps: dict[bytes, None] = {}
    crls: dict[bytes, None] = {}
    waiting = list(starts)
    for start in waiting:
        current: Certificate | None = start
        while current is not None and current.der not in certificates:
            certificates[current.der] = None
            if current.is_self_issued:
                break
            kind, answer = _evidence_of(current, source)
            (ocsps if kind == "ocsp" else crls)[answer] = None
            if kind == "ocsp":
                responders = OcspResponse.parse(answer).certificates
                certificates.update({cert.der: None for cert in responders if cert.ocsp_nocheck})
                waiting += [cert for cert in responders if not cert.ocsp_nocheck and len(waiting) < MAX_CHAINS]
            current = _issuer(current, pool)
    return ValidationMaterial(tuple(certificates), tuple(ocsps), tuple(crls))


def _issuer(cert: Certificate, pool: Sequence[Certificate]) -> Certificate | None:
    for candidate in pool:
        if candidate.subject_der == cert.issuer_der and candidate.is_ca and cert.is_signed_by(candidate.public_key):
            return candidate
    return None


def _evidence_of(cert: Certificate, source: RevocationSource) -> tuple[Literal["ocsp", "crl"], bytes]:
    for kind in ("crl", "ocsp") if cert.is_ca else ("ocsp", "crl"):
        answer = source.crl_for(cert) if kind == "crl" else source.ocsp_for(cert)
        if answer:
            return ("crl" if kind == "crl" else "ocsp"), answer
    raise NoEvidence(
        f"There is no revocation answer for {cert.subject}; seal at level T, or make its OCSP or CRL available.",
        f"没有 {cert.subject} 的吊销状态信息；请改用 T 级，或提供其 OCSP 或 CRL。",
    )
