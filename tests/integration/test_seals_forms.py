"""Documents that carry forms and annotations already, in every shape the standard allows."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from crypto.suites import Suite
from formats import pdfa
from formats.pdf.errors import CertifiedAgainstChanges
from seals.sealing import CentrePlacement, seal_pdf
from tests import pdf_judges, pdf_samples
from tests.pdf_pki import NOW, material, pki


def with_form(form: str, fields: str, annotations: str, streams: bool) -> bytes:
    """A page with a text field; the form, its fields and the page's annotations are direct or indirect."""
    pdf = pikepdf.open(BytesIO(pdf_samples.plain()))
    page = pdf.pages[0].obj

    def held(value: Any, how: str) -> Any:
        return pdf.make_indirect(value) if how == "indirect" else value

    text = pdf.make_indirect(
        pikepdf.Dictionary(
            Type=pikepdf.Name.Annot,
            Subtype=pikepdf.Name.Widget,
            FT=pikepdf.Name.Tx,
            T="name",
            V="a (b) \\ c",
            Rect=pikepdf.Array([50, 50, 150, 70]),
        )
    )
    page.Annots = held(pikepdf.Array([text]), annotations)
    pdf.Root.AcroForm = held(
        pikepdf.Dictionary(Fields=held(pikepdf.Array([text]), fields), DA="/Helv 0 Tf 0 g", SigFlags=0), form
    )
    return pdf_samples.saved(pdf, streams=streams)


@pytest.mark.parametrize("streams", [False, True], ids=["table", "stream"])
@pytest.mark.parametrize("annotations", ["direct", "indirect"])
@pytest.mark.parametrize("fields", ["direct", "indirect"])
@pytest.mark.parametrize("form", ["direct", "indirect"])
def test_a_form_keeps_its_fields_and_two_seals_hold(
    tmp_path: Path, form: str, fields: str, annotations: str, streams: bool
) -> None:
    data = with_form(form, fields, annotations, streams)
    for count in (1, 2):
        sealed = seal_pdf(data, material(), CentrePlacement(1), when=NOW)
        assert sealed.writer == "fast"
        data = sealed.data
        (tmp_path / "after.pdf").write_bytes(data)
        assert pdf_judges.pdfsig(tmp_path / "after.pdf") == [True] * count
        assert pdf_judges.qpdf(tmp_path / "after.pdf") == []
        with pikepdf.open(BytesIO(data)) as pdf:
            assert str(pdf.Root.AcroForm.Fields[0].T) == "name"
            assert len(pdf.Root.AcroForm.Fields) == len(pdf.pages[0].obj.Annots) == 1 + count
            assert str(pdf.Root.AcroForm.Fields[0].V) == "a (b) \\ c"
            assert pdf.Root.AcroForm.SigFlags == 3
    opinions = pdf_judges.pyhanko(data, [pki(Suite.RSA).root])
    assert [(o.intact, o.valid, o.trusted, o.changes_allowed) for o in opinions] == [(True,) * 4] * 2


def certified(level: int, encrypted: bool) -> bytes:
    """A document certified by pyHanko with DocMDP permissions ``level``."""
    from asn1crypto import keys, x509
    from cryptography.hazmat.primitives import serialization
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign import fields, signers
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    p = pki(Suite.RSA)
    private = p.seal_key._private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signer = signers.SimpleSigner(
        x509.Certificate.load(p.seal.der), keys.PrivateKeyInfo.load(private), SimpleCertificateStore()
    )
    metadata = signers.PdfSignatureMetadata("Certified", certify=True, docmdp_permissions=fields.MDPPerm(level))
    document = pikepdf.open(BytesIO(pdf_samples.plain()))
    options = {"encryption": pikepdf.Encryption(owner="o", user="")} if encrypted else {}
    writer = IncrementalPdfFileWriter(BytesIO(pdf_samples.saved(document, **options)))
    if encrypted:
        writer.encrypt("")
    done: bytes = signers.sign_pdf(writer, metadata, signer).getvalue()
    return done


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("encrypted", [False, True], ids=["fast", "pyhanko"])
def test_a_certified_document_is_refused_for_the_seal_would_break_it(level: int, encrypted: bool) -> None:
    data = certified(level, encrypted)
    assert (b"/Encrypt" in data) is encrypted
    with pytest.raises(CertifiedAgainstChanges):
        seal_pdf(data, material(), CentrePlacement(1), when=NOW)


def test_pdf_a_stays_pdf_a() -> None:
    before = material().picture.pdf
    assert pdfa.check(before) == []
    assert pdfa.check(seal_pdf(before, material(), CentrePlacement(1), when=NOW).data) == []
