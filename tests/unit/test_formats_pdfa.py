"""Our PDF/A-3b rules: what we render passes, and each rule is broken once to see it bite."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name, Pdf, Stream

from formats.pdfa import check
from seals.typeset import Template

_SOURCE = """
#set document(title: "t")
#let d = json(bytes(sys.inputs.data))
#pdf.attach("metadata.json", bytes("{}"), relationship: "data", mime-type: "application/json", description: "data")
#set text(font: "Noto Serif CJK SC")
营业执照 #rect(fill: red)
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("typ") / "page.typ"
    path.write_text(_SOURCE, encoding="utf-8")
    return Template(Path(path)).render({}, tags=False)


def _changed(data: bytes, change: Callable[[Pdf], None], **save: object) -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(data)) as pdf:
        change(pdf)
        pdf.save(out, **save)  # type: ignore[arg-type]
    return out.getvalue()


def _annotate(pdf: Pdf, **keys: object) -> None:
    usual: dict[str, object] = {
        "Type": Name.Annot,
        "Subtype": Name.Stamp,
        "Rect": Array([0, 0, 50, 50]),
        "F": 4,
        "AP": Dictionary(N=pdf.make_stream(b"", Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 50, 50]))),
    }
    usual.update(keys)
    made = Dictionary(**{k: v for k, v in usual.items() if v is not None})
    pdf.pages[0].obj.Annots = pdf.make_indirect(Array([pdf.make_indirect(made)]))


def _font_form(pdf: Pdf) -> Stream:
    font = Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Courier)
    return pdf.make_stream(
        b"BT /F1 12 Tf (x) Tj ET", Type=Name.XObject, Subtype=Name.Form, Resources=Dictionary(Font=Dictionary(F1=font))
    )


def _embedded(pdf: Pdf) -> Dictionary:
    return next(iter(pikepdf.NameTree(pdf.Root.Names.EmbeddedFiles).values()))  # type: ignore[return-value]


def test_what_typst_renders_for_us_passes(sound: bytes) -> None:
    assert check(sound) == []
    assert check(_changed(sound, lambda pdf: _annotate(pdf))) == []


BREAKS: list[tuple[str, Callable[[Pdf], None]]] = [
    ("xmp", lambda pdf: pdf.Root.__delitem__("/Metadata")),
    ("xmp-identification", lambda pdf: setattr(pdf.Root, "Metadata", pdf.make_stream(b"<x/>"))),
    ("output-intent", lambda pdf: pdf.Root.__delitem__("/OutputIntents")),
    ("javascript", lambda pdf: setattr(pdf.Root.Names, "JavaScript", Dictionary(Names=Array([])))),
    (
        "action",
        lambda pdf: setattr(pdf.Root, "OpenAction", pdf.make_indirect(Dictionary(Type=Name.Action, S=Name.JavaScript, JS="1"))),
    ),
    ("catalog-key", lambda pdf: setattr(pdf.Root, "AA", Dictionary())),
    ("need-appearances", lambda pdf: setattr(pdf.Root, "AcroForm", Dictionary(Fields=Array([]), NeedAppearances=True))),
    ("xfa", lambda pdf: setattr(pdf.Root, "AcroForm", Dictionary(Fields=Array([]), XFA=pdf.make_stream(b"")))),
    ("annotation-appearance", lambda pdf: _annotate(pdf, AP=None)),
    ("annotation-flags", lambda pdf: _annotate(pdf, F=6)),
    ("annotation", lambda pdf: _annotate(pdf, Subtype=Name.Movie)),
    ("widget-action", lambda pdf: _annotate(pdf, Subtype=Name.Widget, A=Dictionary(S=Name.URI, URI="x"))),
    ("font-embedding", lambda pdf: _annotate(pdf, AP=Dictionary(N=_font_form(pdf)))),
    (
        "device-colour",
        lambda pdf: _annotate(pdf, AP=Dictionary(N=pdf.make_stream(b"0 0 0 1 k", Type=Name.XObject, Subtype=Name.Form))),
    ),
    ("attachment-relationship", lambda pdf: _embedded(pdf).__delitem__("/AFRelationship")),
    ("attachment-associated", lambda pdf: pdf.Root.__delitem__("/AF")),
    ("attachment-type", lambda pdf: _embedded(pdf).EF.F.__delitem__("/Subtype")),
    ("external-content", lambda pdf: setattr(pdf.Root, "X", pdf.make_stream(b"", F="elsewhere.bin"))),
    ("permissions", lambda pdf: setattr(pdf.Root, "Perms", Dictionary(Odd=Dictionary()))),
    ("page-key", lambda pdf: setattr(pdf.pages[0].obj, "AA", Dictionary())),
]


@pytest.mark.parametrize(("rule", "change"), BREAKS, ids=[rule for rule, _ in BREAKS])
def test_each_rule_bites(sound: bytes, rule: str, change: Callable[[Pdf], None]) -> None:
    assert rule in {f.rule for f in check(_changed(sound, change))}


def test_encryption_and_a_wrong_start_or_end_are_found(sound: bytes) -> None:
    locked = _changed(sound, lambda pdf: None, encryption=pikepdf.Encryption(owner="a", user=""))
    assert "encryption" in {f.rule for f in check(locked)}
    assert "encryption" in {
        f.rule for f in check(_changed(sound, lambda pdf: None, encryption=pikepdf.Encryption(owner="a", user="b")))
    }
    assert "header" in {f.rule for f in check(b"junk" + sound)}
    assert "end-of-file" in {f.rule for f in check(sound + b"\nmore")}


def test_a_file_that_is_no_pdf_gets_findings_not_an_exception() -> None:
    for data in (b"", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", b"\0" * 1000):
        assert check(data)


@pytest.mark.corpus
def test_no_real_world_file_makes_the_check_raise(corpus: Path) -> None:
    files = sorted((corpus / "pdf-plain").glob("*.pdf"))[::6] + sorted((corpus / "pdf-signed").glob("*.pdf"))[::3]
    assert files
    for path in files:
        if path.stat().st_size < 1 << 20:
            check(path.read_bytes())
