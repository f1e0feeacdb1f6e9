"""What demo and training let a forger do: change a sealed file, and make a look-alike with a key and certificate of his own.

It says 样本 like everything that demo and training make, and no trust list will ever name its certificate.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from crypto.keys import SoftwareKey
from crypto.suites import Suite, default_scheme
from formats.x509 import CertificateSpec, Subject, build_certificate
from seals.picture import draw, standard_spec
from seals.sealing import Placement, SealingMaterial, seal_pdf

_END = b"%%EOF"


def unsealed(document: bytes) -> bytes:
    """The first revision of a sealed PDF: what was there before the seal was appended."""
    return document[: document.index(_END) + len(_END)] + b"\n"


def forge(document: bytes, organ: str) -> bytes:
    """A copy of a sealed ``document`` without its seal, sealed by somebody who calls himself ``organ``."""
    key = SoftwareKey.generate(Suite.RSA)
    now = datetime.now(UTC)
    name = Subject(f"{organ}（样本）", organization=organ)
    spec = CertificateSpec(
        name,
        key.public_key,
        secrets.randbits(63),
        now - timedelta(days=200),
        now + timedelta(days=500),
        key_usage=("digitalSignature", "nonRepudiation"),
    )
    material = SealingMaterial(
        key, default_scheme(Suite.RSA), build_certificate(spec, key), [], draw(standard_spec("statutory", organ)), "", organ
    )
    return seal_pdf(unsealed(document), material, Placement(1, 230.0, 150.0), format="pades", level="B", when=now).data


def tampered(data: bytes) -> bytes:
    """A copy with one byte of the sealed content changed: inside the first stream, so that the file still opens."""
    start = data.index(b"stream\n") + 7 if b"stream\n" in data else data.index(b"stream\r\n") + 8
    end = data.index(b"endstream", start)
    middle = (start + end) // 2
    return data[:middle] + bytes([data[middle] ^ 0x01]) + data[middle + 1 :]
