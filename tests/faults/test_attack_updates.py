"""Incremental updates made to deceive a reader after sealing; none of them may be accepted unseen."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import pikepdf
import pytest

from crypto.keys import digest
from crypto.suites import DigestAlgorithm, Suite, default_scheme
from seals.picture import Picture
from seals.sealing import Placement, SealingMaterial, seal_pdf
from tests.integration.test_verify_attacks import FORM, page_of, stream
from tests.integration.test_verify_reasons import PASSED, codes, fresh, judge, outcome, rewritten, update
from tests.pdf_samples import plain
from tests.verify_world import ES_ID, NOW, World, picture

LAST = 29  # index of a page behind those that are compared as pictures
PAINT = b"1 1 1 rg 0 0 200 20 re f 0 g BT /F1 12 Tf 2 4 Td (Payee: Mallory) Tj ET"
Change = Callable[[dict[str, Any]], dict[int, bytes]]


def prepared(change: Callable[[pikepdf.Pdf], None], pages: int = 1) -> bytes:
    """A document to be sealed, as the attacker hands it in."""
    pdf = pikepdf.open(io.BytesIO(plain(pages)))
    change(pdf)
    target = io.BytesIO()
    pdf.save(target)
    return target.getvalue()


def form(pdf: pikepdf.Pdf, content: bytes) -> Any:
    """A form XObject."""
    made = pdf.make_stream(content)
    font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
    made.Type, made.Subtype, made.BBox = pikepdf.Name.XObject, pikepdf.Name.Form, pikepdf.Array([0, 0, 200, 20])
    made.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
    return made


def text_field(pdf: pikepdf.Pdf, page: int = 0, *, flags: int = 4, value: str = "Alice") -> Any:
    """A filled and painted text field."""
    widget = pdf.make_indirect(
        pikepdf.Dictionary(
            Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Widget, FT=pikepdf.Name.Tx, T="payee", V=value,
            Rect=pikepdf.Array([50, 500, 250, 520]), F=flags, AP=pikepdf.Dictionary(N=form(pdf, PAINT)),
        )
    )  # fmt: skip
    pdf.pages[page].obj.Annots = pikepdf.Array([widget])
    pdf.Root.AcroForm = pdf.make_indirect(pikepdf.Dictionary(Fields=pikepdf.Array([widget])))
    return widget


def more_fields(at: dict[str, Any], number: int) -> dict[int, bytes]:
    """The form with one field more."""
    acro = at["pdf"].Root.AcroForm
    listed = b" ".join(b"%d 0 R" % f.objgen[0] for f in acro.Fields)
    if acro.objgen[0]:
        return {acro.objgen[0]: rewritten(acro, Fields=b"[%s %d 0 R]" % (listed, number))}
    inner = rewritten(acro, Fields=b"[%s %d 0 R]" % (listed, number))
    return {at["pdf"].Root.objgen[0]: rewritten(at["pdf"].Root, AcroForm=inner)}


def more_annotations(page: Any, number: int) -> dict[int, bytes]:
    annotations = b" ".join(b"%d 0 R" % a.objgen[0] for a in page.get("/Annots", []))
    return {page.objgen[0]: rewritten(page, Annots=b"[%s %d 0 R]" % (annotations, number))}


def dressed(value: bytes) -> Change:
    """A new signature field over the text whose value is ``value`` (raw; %d is the number of a free object)."""

    def change(at: dict[str, Any]) -> dict[int, bytes]:
        new = at["next"]
        genuine = next(f for f in at["pdf"].Root.AcroForm.Fields if f.get("/FT") == "/Sig")
        shown = value.replace(b"GENUINE", b"%d 0 R" % genuine.V.objgen[0])
        widget = b"<</Type/Annot/Subtype/Widget/FT/Sig/T(X)/Rect[50 300 450 400]/F 4/AP<</N %d 0 R>>/V %s>>"
        return {
            new: widget % (new + 1, shown),
            new + 1: stream(FORM, PAINT),
            **more_fields(at, new),
            **more_annotations(page_of(at), new),
        }

    return change


def timestamped(document: bytes, world: World, *, rect: bytes = b"50 300 450 400", field: int | None = None) -> bytes:
    """A document timestamp by the listed timestamp unit, which anybody may ask, in a visible field."""

    def change(at: dict[str, Any]) -> dict[int, bytes]:
        new = at["next"]
        hole = b"<" + b"0" * 16000 + b">"
        value = b"<</Type/DocTimeStamp/Filter/Adobe.PPKLite/SubFilter/ETSI.RFC3161/Contents %s/ByteRange [0 %s]>>" % (
            hole, b"9" * 30
        )  # fmt: skip
        widget = b"<</Type/Annot/Subtype/Widget/FT/Sig/T(TS)/Rect[%s]/F 4/AP<</N %d 0 R>>/V %d 0 R>>" % (rect, new + 1, new + 2)
        return {
            new: widget,
            new + 1: stream(FORM, PAINT),
            new + 2: value,
            **more_fields(at, new),
            **more_annotations(page_of(at), new),
        }

    out = update(document, change)
    start = out.rindex(b"/Contents <") + 10
    end = start + 16002
    numbers = b"/ByteRange [0 %d %d %d]" % (start, end, len(out) - end)
    out = out.replace(b"/ByteRange [0 " + b"9" * 30 + b"]", numbers.ljust(45))
    imprint = digest(DigestAlgorithm.SHA256, out[:start] + out[end:])
    token = world.timestamp_token(DigestAlgorithm.SHA256, imprint)
    return out[: start + 1] + token.hex().encode().ljust(16000, b"0") + out[end - 1 :]


def not_accepted(document: bytes, world: World) -> dict[str, Any]:
    verdict = judge(document, world.context())
    assert verdict["answer"]["decision"] != "accept", (
        outcome(verdict),
        codes(verdict),
        verdict["signatures"][0]["changes_after"],
    )
    return verdict


# Signature fields that nobody signed


@pytest.mark.parametrize(
    "value",
    [
        b"<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/Contents <00>/ByteRange [0 1 2 3]>>",
        b"<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/ByteRange [0 1 2 3]>>",
        b"<</Type/Sig/SubFilter/ETSI.RFC3161>>",
        b"GENUINE",
    ],
)
def test_a_new_field_over_the_text_without_a_signature_of_its_own_is_found(value: bytes) -> None:
    world = fresh(Suite.RSA)
    not_accepted(update(world.sealed("B"), dressed(value)), world)


def test_a_document_timestamp_that_paints_over_the_text_is_found() -> None:
    """Anybody may have a document timestamped; what its field shows is nobody's seal."""
    world = fresh(Suite.RSA)
    sealed = world.sealed("B")
    assert judge(timestamped(sealed, world, rect=b"0 0 0 0"), world.context())["answer"]["decision"] == "accept"
    verdict = not_accepted(timestamped(sealed, world), world)
    assert "changes-annotation" in codes(verdict) or verdict["verdict"] == "TOTAL-FAILED"


# Fields that were there all along


def test_a_hidden_field_that_is_made_to_show_is_found() -> None:
    world = fresh(Suite.RSA)
    sealed = world.sealed("B", document=prepared(lambda pdf: text_field(pdf, flags=2) and None))
    assert outcome(judge(sealed, world.context())) == PASSED

    def show(at: dict[str, Any]) -> dict[int, bytes]:
        node = next(f for f in at["pdf"].Root.AcroForm.Fields if str(f.get("/T")) == "payee")
        return {node.objgen[0]: rewritten(node, F=b"4")}

    not_accepted(update(sealed, show), world)


def test_a_field_of_one_page_shown_on_another_is_found() -> None:
    world = fresh(Suite.RSA)
    sealed = world.sealed("B", document=prepared(lambda pdf: text_field(pdf, 1) and None, 2))
    assert outcome(judge(sealed, world.context())) == PASSED

    def copy(at: dict[str, Any]) -> dict[int, bytes]:
        node = next(f for f in at["pdf"].Root.AcroForm.Fields if str(f.get("/T")) == "payee")
        return more_annotations(page_of(at), node.objgen[0])

    not_accepted(update(sealed, copy), world)


def test_the_seal_shown_on_a_page_that_was_not_sealed_is_found() -> None:
    world = fresh(Suite.RSA)
    sealed = world.sealed("B", document=plain(2))

    def copy(at: dict[str, Any]) -> dict[int, bytes]:
        node = next(f for f in at["pdf"].Root.AcroForm.Fields if f.get("/FT") == "/Sig")
        return more_annotations(at["pdf"].Root.Pages.Kids[1], node.objgen[0])

    not_accepted(update(sealed, copy), world)


def test_asking_viewers_to_paint_fields_anew_is_found() -> None:
    """With NeedAppearances a viewer shows the field's value, which need not be what its appearance showed when sealed."""
    world = fresh(Suite.RSA)
    sealed = world.sealed("B", document=prepared(lambda pdf: text_field(pdf, LAST, value="Mallory") and None, LAST + 1))

    def ask(at: dict[str, Any]) -> dict[int, bytes]:
        acro = at["pdf"].Root.AcroForm
        return {acro.objgen[0]: rewritten(acro, NeedAppearances=b"true")}

    not_accepted(update(sealed, ask), world)


def test_a_signed_value_with_another_picture_and_rich_text_is_refused() -> None:
    world = fresh(Suite.RSA)
    sealed = world.sealed("B", document=prepared(lambda pdf: text_field(pdf) and None))

    def enrich(at: dict[str, Any]) -> dict[int, bytes]:
        node = next(f for f in at["pdf"].Root.AcroForm.Fields if str(f.get("/T")) == "payee")
        new = at["next"]
        return {node.objgen[0]: rewritten(node, RV=b"(x)", AP=b"<</N %d 0 R>>" % new), new: stream(FORM, PAINT + b" ")}

    assert judge(update(sealed, enrich), world.context())["answer"]["decision"] == "refuse"


# Places where the comparison of objects might not look; behind the pages that are also compared as pictures


def test_a_layer_whose_visibility_rule_turns_is_found() -> None:
    def layer(pdf: pikepdf.Pdf) -> None:
        group = pdf.make_indirect(pikepdf.Dictionary(Type=pikepdf.Name.OCG, Name="x"))
        rule = pdf.make_indirect(pikepdf.Dictionary(Type=pikepdf.Name.OCMD, OCGs=group, P=pikepdf.Name.AllOff))
        page = pdf.pages[LAST].obj
        page.Resources.Properties = pikepdf.Dictionary(MC0=rule)
        page.Contents = pdf.make_stream(b"/OC /MC0 BDC 0 0 300 300 re f EMC")
        pdf.Root.OCProperties = pikepdf.Dictionary(OCGs=pikepdf.Array([group]), D=pikepdf.Dictionary(ON=pikepdf.Array([group])))

    def turn(at: dict[str, Any]) -> dict[int, bytes]:
        rule = at["pdf"].pages[LAST].obj.Resources.Properties.MC0
        return {rule.objgen[0]: rewritten(rule, P=b"/AnyOn")}

    world = fresh(Suite.RSA)
    not_accepted(update(world.sealed("B", document=prepared(layer, LAST + 1)), turn), world)


def test_a_page_that_inherits_other_resources_is_found() -> None:
    def tree(pdf: pikepdf.Pdf) -> None:
        page = pdf.pages[LAST].obj
        page.Contents = pdf.make_stream(b"/A Do")
        del page["/Resources"]
        kids = list(pdf.Root.Pages.Kids)
        middle = pdf.make_indirect(
            pikepdf.Dictionary(
                Type=pikepdf.Name.Pages, Kids=pikepdf.Array([kids[-1]]), Count=1, Parent=pdf.Root.Pages,
                Resources=pikepdf.Dictionary(XObject=pikepdf.Dictionary(A=form(pdf, b""))),
            )
        )  # fmt: skip
        page.Parent = middle
        pdf.Root.Pages.Kids = pikepdf.Array([*kids[:-1], middle])

    def swap(at: dict[str, Any]) -> dict[int, bytes]:
        middle = at["pdf"].Root.Pages.Kids[LAST]
        new = at["next"]
        return {
            middle.objgen[0]: rewritten(middle, Resources=b"<</XObject<</A %d 0 R>>>>" % new),
            new: stream(FORM, PAINT),
        }

    world = fresh(Suite.RSA)
    not_accepted(update(world.sealed("B", document=prepared(tree, LAST + 1)), swap), world)


def test_attachments_exchanged_below_a_disguised_name_tree_are_found() -> None:
    def attach(pdf: pikepdf.Pdf) -> None:
        leaf = pdf.make_indirect(pikepdf.Dictionary(Names=pikepdf.Array([])))
        pdf.Root.Names = pikepdf.Dictionary(JavaScript=pikepdf.Dictionary(T="x", Kids=pikepdf.Array([leaf])))

    def exchange(at: dict[str, Any]) -> dict[int, bytes]:
        leaf = at["pdf"].Root.Names.JavaScript.Kids[0]
        return {leaf.objgen[0]: b"<</Names[(a)<</S/JavaScript/JS(app.alert(1))>>]>>"}

    world = fresh(Suite.RSA)
    not_accepted(update(world.sealed("B", document=prepared(attach)), exchange), world)


def test_content_that_poses_as_bookkeeping_of_its_page_is_found() -> None:
    """The page is its own dictionary of pictures, and the picture goes by a name that a page may change."""

    def pose(pdf: pikepdf.Pdf) -> None:
        page = pdf.pages[LAST].obj
        page.Resources = pikepdf.Dictionary(XObject=page)
        page.Tabs = form(pdf, b"")
        page.Contents = pdf.make_stream(b"/Tabs Do")

    def swap(at: dict[str, Any]) -> dict[int, bytes]:
        page, new = at["pdf"].pages[LAST].obj, at["next"]
        return {page.objgen[0]: rewritten(page, Tabs=b"%d 0 R" % new), new: stream(FORM, PAINT)}

    world = fresh(Suite.RSA)
    not_accepted(update(world.sealed("B", document=prepared(pose, LAST + 1)), swap), world)


def test_a_font_that_poses_as_the_evidence_store_is_found() -> None:
    def pose(pdf: pikepdf.Pdf) -> None:
        page = pdf.pages[LAST].obj
        page.Resources = pikepdf.Dictionary(Font=pdf.Root)
        page.Contents = pdf.make_stream(b"BT /DSS 40 Tf 50 300 Td (PAY MALLORY) Tj ET")
        pdf.Root.DSS = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.ZapfDingbats
        )

    def swap(at: dict[str, Any]) -> dict[int, bytes]:
        root = at["pdf"].Root
        return {root.objgen[0]: rewritten(root, DSS=b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")}

    world = fresh(Suite.RSA)
    not_accepted(update(world.sealed("B", document=prepared(pose, LAST + 1)), swap), world)


# Around the end of the file


def test_an_update_that_only_some_readers_follow_is_found() -> None:
    """An update that hides behind a second startxref, which leads back to the sealed revision."""
    world = fresh(Suite.RSA)
    sealed = world.sealed("B")

    def overwrite(at: dict[str, Any]) -> dict[int, bytes]:
        page = page_of(at)
        return {page.objgen[0]: rewritten(page, Contents=b"%d 0 R" % at["next"]), at["next"]: stream(b"", PAINT)}

    original = re.findall(rb"startxref\s+(\d+)", sealed)[-1]
    not_accepted(update(sealed, overwrite) + b"startxref\n" + original + b"\n%%EOF\n", world)
    not_accepted(update(sealed, overwrite) + b" " * 8000 + b"\nstartxref\n" + original + b"\n%%EOF\n", world)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("key", [b"/Contents", b"/Content#73"])
def test_an_object_that_says_one_thing_twice_is_found(key: bytes, first: bool) -> None:
    """Some readers take the first of two equal keys, some the last."""
    world = fresh(Suite.RSA)

    def twice(at: dict[str, Any]) -> dict[int, bytes]:
        page, new = page_of(at), at["next"]
        body, other = rewritten(page), b"%s %d 0 R" % (key, new)
        both = b"<<" + other + body[2:] if first else body[:-2] + other + b">>"
        return {new: stream(b"", PAINT), page.objgen[0]: both}

    not_accepted(update(world.sealed("B"), twice), world)


def test_a_whole_document_behind_blank_bytes_is_found() -> None:
    world = fresh(Suite.RSA)
    not_accepted(world.sealed("B") + b" " * 70000 + plain(2) + b" " * 70000, world)


def test_a_genuine_second_seal_the_size_of_a_page_asks_for_a_look() -> None:
    """Its owner may sign, yet what he paints over the first owner's text is not what the first one sealed."""
    world = fresh(Suite.RSA)
    sealed = world.sealed("B")
    first = world.sealed("B", document=sealed, y_mm=200)
    assert outcome(judge(first, world.context())) == PASSED
    large = Picture(190, 60, *astuple(picture())[2:])
    material = SealingMaterial(
        world.key("seal"), default_scheme(Suite.RSA), world.seal, [world.ca, world.root], large, ES_ID, "云江市"
    )
    second = seal_pdf(sealed, material, Placement(1, 105, 220), when=NOW).data
    assert "covered" in codes(not_accepted(second, world))
