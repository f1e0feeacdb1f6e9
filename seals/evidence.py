"""What makes a signature last: timestamps, and revocation evidence for every chain in it, from sources that others fill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from asn1crypto import cms as asn1_cms

from crypto.errors import Unavailable
from crypto.suites import DigestAlgorithm
from formats.ocsp import OcspResponse
from formats.pdf.signing import ValidationMaterial
from formats.x509 import Certificate

MAX_CHAINS = 16


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


def token_certificates(token: bytes) -> tuple[list[Certificate], Certificate]:
    """The certificates in a timestamp token, and the one that signed it.

    :raises Unavailable: the token does not carry its signer's certificate
    """
    signed = asn1_cms.ContentInfo.load(token)["content"]
    certificates = [Certificate.parse(choice.chosen.dump()) for choice in signed["certificates"]]
    sid = signed["signer_infos"][0]["sid"].chosen
    for certificate in certificates:
        if certificate.issuer_der == sid["issuer"].dump() and certificate.serial == sid["serial_number"].native:
            return certificates, certificate
    raise Unavailable(
        "The timestamp does not carry its signer's certificate; use another timestamp service.",
        "时间戳未包含其签名证书；请使用其他时间戳服务。",
    )


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
