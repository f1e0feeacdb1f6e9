"""The peer: pyHanko, used as well as it can be.

Its best path (design, Performance): PdfSigner with a cached key, one shared stamp style, ``bytes_reserved=8192``. SimpleSigner
loads the key anew for every document, so a Signer subclass holds it instead.
"""

# mypy: disallow-untyped-calls=False, disallow-subclassing-any=False, disallow-any-unimported=False
# (parts of pyHanko are untyped)

from __future__ import annotations

import tempfile
from io import BytesIO
from typing import Any

from asn1crypto import algos, x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from pyhanko.keys import load_certs_from_pemder_data
from pyhanko.pdf_utils.content import ImportedPdfPage
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.signers.pdf_cms import Signer
from pyhanko.sign.signers.pdf_signer import PdfSignatureMetadata, PdfSigner
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.stamp import StaticStampStyle, TextStampStyle
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

from seals.sealing import SealingMaterial


class _CachedKeySigner(Signer):
    """RSA PKCS#1 v1.5 with the key in memory."""

    def __init__(self, material: SealingMaterial) -> None:
        store = SimpleCertificateStore()
        store.register_multiple(x509.Certificate.load(c.der) for c in material.chain)
        super().__init__(
            signing_cert=x509.Certificate.load(material.certificate.der),
            cert_registry=store,
            signature_mechanism=algos.SignedDigestAlgorithm({"algorithm": "sha256_rsa"}),
            embed_roots=True,
        )
        self._key: Any = material.signer._private  # type: ignore[attr-defined]

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        if dry_run:
            return bytes(256)
        signature: bytes = self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return signature


class PyHanko:
    """Seals with pyHanko's best path, the same certificates and a visible field of the same size.

    :param style: ``text`` (its own text stamp) or ``vector`` (our seal's PDF as the background); the quicker one is the peer
    """

    def __init__(self, material: SealingMaterial, *, page: int, style: str) -> None:
        if style == "vector":
            self._file = tempfile.NamedTemporaryFile(suffix=".pdf")  # noqa: SIM115 - lives as long as the stamp style
            self._file.write(material.picture.pdf)
            self._file.flush()
            stamp: Any = StaticStampStyle(background=ImportedPdfPage(self._file.name), border_width=0, background_opacity=1)
        else:
            stamp = TextStampStyle()
        box = (
            300,
            300,
            300 + round(material.picture.width_mm * 72 / 25.4),
            300 + round(material.picture.height_mm * 72 / 25.4),
        )
        self._signer = PdfSigner(
            PdfSignatureMetadata(field_name="Seal", subfilter=SigSeedSubFilter.PADES, md_algorithm="sha256", reason="样本"),
            _CachedKeySigner(material),
            stamp_style=stamp,
            new_field_spec=SigFieldSpec("Seal", on_page=page - 1, box=box),
        )

    def seal(self, data: bytes) -> bytes:
        """The sealed document."""
        out = self._signer.sign_pdf(IncrementalPdfFileWriter(BytesIO(data)), bytes_reserved=8192)
        sealed: bytes = out.getvalue()
        return sealed


def verify(data: bytes, anchors: list[bytes]) -> bool:
    """Every embedded signature validated against these trust anchors (DER), no network: all trusted and nothing changed?"""
    context = ValidationContext(trust_roots=[c for a in anchors for c in load_certs_from_pemder_data(a)], allow_fetching=False)
    reader = PdfFileReader(BytesIO(data))
    statuses = [validate_pdf_signature(s, context) for s in reader.embedded_signatures]
    return bool(statuses) and all(s.bottom_line for s in statuses)
