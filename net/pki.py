"""Asking other people's PKI, DER in, DER out: OCSP (RFC 6960 app. A), CRLs, issuers (RFC 2585), timestamps (RFC 3161 §3.4)."""

from __future__ import annotations

from net.errors import BadAnswer
from net.fetch import Answer, Fetcher, Limits

_OCSP = Limits(size=256 * 1024, time=10, redirects=0)
_TIMESTAMP = Limits(size=256 * 1024, time=15, redirects=0)
_CRL = Limits(size=32 * 1024 * 1024, time=30, redirects=2)
_CERTIFICATE = Limits(size=256 * 1024, time=10, redirects=2)


def ocsp(fetcher: Fetcher, url: str, request: bytes) -> bytes:
    """DER OCSPResponse to a DER OCSPRequest."""
    answer = fetcher.post(
        url, request, content_type="application/ocsp-request", accept="application/ocsp-response", limits=_OCSP
    )
    return _of_kind(answer, "application/ocsp-response")


def timestamp(fetcher: Fetcher, url: str, request: bytes) -> bytes:
    """DER TimeStampResp to a DER TimeStampReq."""
    answer = fetcher.post(
        url, request, content_type="application/timestamp-query", accept="application/timestamp-reply", limits=_TIMESTAMP
    )
    return _of_kind(answer, "application/timestamp-reply")


def crl(fetcher: Fetcher, url: str) -> bytes:
    """DER CertificateList; whatever the server calls it, the parser judges."""
    return fetcher.get(url, accept="application/pkix-crl", limits=_CRL).data


def issuer_certificate(fetcher: Fetcher, url: str) -> bytes:
    """What a caIssuers address gives: a DER certificate, or a PKCS#7 of several."""
    return fetcher.get(url, accept="application/pkix-cert, application/pkcs7-mime", limits=_CERTIFICATE).data


def _of_kind(answer: Answer, wanted: str) -> bytes:
    if answer.content_type != wanted:
        raise BadAnswer(
            f"The host sent {answer.content_type or 'an unnamed type'} where {wanted} was asked for.",
            f"对方返回的内容类型不是 {wanted}。",
            content_type=answer.content_type[:100],
        )
    return answer.data
