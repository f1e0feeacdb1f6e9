"""Documents that carry forms and annotations already, in every shape the standard allows."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from crypto.suites import Suite
from formats import pdfa
from formats.pdf.errors import CertifiedAgainstChanges, ChangesNotPermitted, DynamicForm
from seals.sealing import CentrePlacement, seal_pdf
from tests import pdf_judges, pdf_samples
from tests.pdf_pki import NOW, Revocation, Tsa, material, pki


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


@pytest.mark.parametrize("level", ["B", "LTA"])
def test_pdf_a_stays_pdf_a(level: Any) -> None:
    before = material().picture.pdf
    p = pki(Suite.RSA)
    assert pdfa.check(before) == []
    sealed = seal_pdf(
        before, material(), CentrePlacement(1), when=NOW, level=level, timestamps=Tsa(p), revocation=Revocation(p)
    )
    assert pdfa.check(sealed.data) == []


def test_a_dynamic_form_is_refused() -> None:
    pdf = pikepdf.open(BytesIO(pdf_samples.plain()))
    pdf.Root.NeedsRendering = True
    with pytest.raises(DynamicForm):
        seal_pdf(pdf_samples.saved(pdf), material(), CentrePlacement(1), when=NOW)
    encrypted = pdf_samples.saved(pdf, encryption=pikepdf.Encryption(owner="o", user=""))
    with pytest.raises(DynamicForm):
        seal_pdf(encrypted, material(), CentrePlacement(1), when=NOW)


def test_an_author_who_forbids_changes_is_heeded() -> None:
    pdf = pikepdf.open(BytesIO(pdf_samples.plain()))
    allow = pikepdf.Permissions(modify_form=False, modify_annotation=False, modify_other=False)
    data = pdf_samples.saved(pdf, encryption=pikepdf.Encryption(owner="o", user="", allow=allow))
    with pytest.raises(ChangesNotPermitted):
        seal_pdf(data, material(), CentrePlacement(1), when=NOW)


def test_objects_hidden_in_a_hybrid_file_are_found(tmp_path: Path) -> None:
    """A classic table with /XRefStm (ISO 32000-2 §7.5.8.4): the catalog's form stands in an object stream."""
    plain = bytearray(pdf_samples.plain())
    start = plain.rindex(b"xref\n", 0, plain.rindex(b"startxref"))
    body, table = plain[:start], bytes(plain[start:])
    size = int(table.split(b"/Size ")[1].split()[0].rstrip(b">"))
    root = int(table.split(b"/Root ")[1].split()[0])
    container, stream = size, size + 1
    marker = b"%d 0 <</Pages %%s/Type/Catalog/Lang(zh-CN)>>" % root
    pages = bytes(body).split(b"/Pages ")[1].split(b" R")[0] + b" R"
    content = marker.replace(b"%s", pages)
    first = content.index(b"<<")
    at = len(body)
    body += b"%d 0 obj\n<</Type/ObjStm/N 1/First %d/Length %d>>\nstream\n%b\nendstream\nendobj\n" % (
        container,
        first,
        len(content),
        content,
    )
    stream_at = len(body)
    rows = b"\x02" + container.to_bytes(4, "big") + b"\x00" + b"\x01" + at.to_bytes(4, "big") + b"\x00"
    body += (
        b"%d 0 obj\n<</Type/XRef/W[1 4 1]/Index[%d 1 %d 1]/Size %d/Root %d 0 R/Length %d>>\nstream\n%b\nendstream\nendobj\n"
        % (
            stream,
            root,
            container,
            stream + 1,
            root,
            len(rows),
            rows,
        )
    )
    new_start = len(body)
    free = b"%010d %05d f" % (0, 65535)
    lines = table.split(b"\n")
    lines[2 + root] = free + b" "
    table = b"\n".join(lines).replace(b"/Root", b"/XRefStm %d/Root" % stream_at)
    data = bytes(body) + table[: table.rindex(b"startxref")] + b"startxref\n%d\n%%%%EOF\n" % new_start
    sealed = seal_pdf(data, material(), CentrePlacement(1), when=NOW)
    assert sealed.writer == "fast"
    (tmp_path / "after.pdf").write_bytes(sealed.data)
    assert pdf_judges.pdfsig(tmp_path / "after.pdf") == [True]
    assert pdf_judges.qpdf(tmp_path / "after.pdf") == []
    with pikepdf.open(BytesIO(sealed.data)) as pdf:
        assert str(pdf.Root.Lang) == "zh-CN"
