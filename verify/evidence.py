"""Evidence that a document carries for its own verification: the DSS (EN 319 142-1 §5.4.2) and what signatures hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pikepdf

from crypto.errors import XinyinError
from formats.asn1 import children, header
from formats.x509 import Certificate
from verify import pdf as reader
from verify.chain import intern
from verify.cms import Examined

_ADBE_REVOCATION = "1.2.840.113583.1.1.8"
_MAX_ITEMS = 500
_MAX_BYTES = 16 * 1024 * 1024


@dataclass
class Evidence:
    """Certificates, and DER of OCSP answers and CRLs."""

    certificates: list[Certificate] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)


def of_document(pdf: pikepdf.Pdf) -> Evidence:
    """Everything in the document's DSS, /VRI included (its entries point to the same streams)."""
    found = Evidence()
    dss = reader.get(pdf.Root, "/DSS")
    if dss is None:
        return found
    for der in _streams(dss, "/Certs"):
        try:
            found.certificates.append(intern(Certificate.parse(der)))
        except XinyinError:
            continue
    found.answers = [*_streams(dss, "/OCSPs"), *_streams(dss, "/CRLs")]
    return found


def signed_answers(examined: Examined) -> list[bytes]:
    """Answers that the signer signed along: Adobe's revocationInfoArchival attribute (ISO 32000-2 §12.8.3.3.2)."""
    if examined.signer is None:
        return []
    return [der for value in examined.signer.attributes.get(_ADBE_REVOCATION, ())[:4] for der in _archival(value)]


def unsigned_answers(examined: Examined) -> list[bytes]:
    """Answers in the CMS that its signature does not cover (SignedData.crls), so that its timestamps prove nothing of them."""
    return list(examined.view.crl_ders[:_MAX_ITEMS]) if examined.view is not None else []


def _archival(value: bytes) -> list[bytes]:
    """RevocationInfoArchival ::= SEQUENCE { crl [0] SEQUENCE OF CRL, ocsp [1] SEQUENCE OF OCSPResponse, … }, tags explicit."""
    found: list[bytes] = []
    try:
        _, start, end = header(value, 0, len(value))
        for tag, _, inner, inner_end in children(value, start, end):
            if tag in (0xA0, 0xA1):
                _, first, last = header(value, inner, inner_end)
                found += [value[a:c] for _, a, _, c in children(value, first, last)]
    except (ValueError, IndexError, XinyinError):
        return []
    return found[:_MAX_ITEMS]


def _streams(dss: Any, key: str) -> list[bytes]:
    """Decoded streams of an array, bounded in number and size."""
    found: list[bytes] = []
    total = 0
    for item in reader.array(dss, key)[:_MAX_ITEMS]:
        data = reader.stream_bytes(item, _MAX_BYTES - total)
        if data is not None:
            total += len(data)
            found.append(data)
    return found
