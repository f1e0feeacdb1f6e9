"""Attacks on signed PDFs: what is hidden, replaced, moved or appended after signing is found; no bytes break the verifier."""

from __future__ import annotations

import io
import os
import random
import re
import time
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from crypto.suites import Suite
from tests.integration.test_verify_reasons import PASSED, codes, fresh, judge, outcome, rewritten, update
from tests.pdf_samples import plain
from tests.verify_world import World
from verify import rendering
from verify.schemas import VerificationContext
from verify.service import verify_bytes
from verify.trust import TrustStore

CHANGES = int(os.environ.get("XINYIN_BYTE_CHANGES", "120"))


def page_of(at: dict[str, Any]) -> Any:
    return at["pdf"].Root.Pages.Kids[0]


def form_document(value: str = "收款人", *, appearance: bytes = b"BT /F1 12 Tf 2 4 Td (Payee: Alice) Tj ET") -> bytes:
    """One page with a text field that is filled in and painted."""
    pdf = pikepdf.open(io.BytesIO(plain(1)))
    font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
    painted = pdf.make_stream(appearance)
    painted.Type, painted.Subtype, painted.BBox = pikepdf.Name.XObject, pikepdf.Name.Form, pikepdf.Array([0, 0, 200, 20])
    painted.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
    widget = pdf.make_indirect(
        pikepdf.Dictionary(
            Type=pikepdf.Name.Annot,
            Subtype=pikepdf.Name.Widget,
            FT=pikepdf.Name.Tx,
            T="payee",
            V=value,
            Rect=pikepdf.Array([50, 500, 250, 520]),
            F=4,
            AP=pikepdf.Dictionary(N=pdf.make_indirect(painted)),
        )
    )
    pdf.Root.Pages.Kids[0].Annots = pikepdf.Array([widget])
    pdf.Root.AcroForm = pdf.make_indirect(pikepdf.Dictionary(Fields=pikepdf.Array([widget])))
    target = io.BytesIO()
    pdf.save(target)
    return target.getvalue()


def field_of(at: dict[str, Any]) -> Any:
    return next(f for f in at["pdf"].Root.AcroForm.Fields if str(f.get("/T")) == "payee")


def stream(dictionary: bytes, content: bytes) -> bytes:
    return b"<<%s/Length %d>>\nstream\n%s\nendstream" % (dictionary, len(content), content)


FORM = b"/Type/XObject/Subtype/Form/BBox[0 0 200 20]/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"


# Shadow attacks and other updates


def refused(document: bytes, world: World, *wanted: str) -> None:
    verdict = judge(document, world.context())
    assert outcome(verdict) == ("TOTAL-FAILED", "FORMAT_FAILURE", "refuse"), codes(verdict)
    assert set(wanted) & codes(verdict)
    assert verdict["signatures"][0]["changes_after"] == "undefined"
    assert verdict["signatures"][0]["intact"] is True


def test_shadow_replace_of_a_signed_value_is_found() -> None:
    world = fresh(Suite.RSA)
    sealed = world.sealed("B", document=form_document())
    assert outcome(judge(sealed, world.context())) == PASSED

    def swap(at: dict[str, Any]) -> dict[int, bytes]:
        node = field_of(at)
        ap = node.AP.N.objgen[0]
        return {
            node.objgen[0]: rewritten(node, V=b"(Mallory)"),
            ap: stream(FORM, b"BT /F1 12 Tf 2 4 Td (Payee: Mallory) Tj ET"),
        }

    refused(update(sealed, swap), world, "changes-undefined")


def test_shadow_replace_of_an_appearance_alone_is_found() -> None:
    world = fresh(Suite.RSA)
    sealed = world.sealed("B", document=form_document())

    def swap(at: dict[str, Any]) -> dict[int, bytes]:
        return {field_of(at).AP.N.objgen[0]: stream(FORM, b"BT /F1 12 Tf 2 4 Td (Payee: Mallory) Tj ET")}

    refused(update(sealed, swap), world, "changes-undefined")


def test_shadow_hide_that_takes_away_what_covered_the_text_is_found() -> None:
    world = fresh(Suite.RSA)
    sealed = world.sealed("B", document=plain(1))

    def uncover(at: dict[str, Any]) -> dict[int, bytes]:
        page = page_of(at)
        return {at["next"]: stream(b"", b"0 0 100 100 re f"), page.objgen[0]: rewritten(page, Contents=b" %d 0 R" % at["next"])}

    refused(update(sealed, uncover), world, "changes-undefined", "rendered-difference")


def test_hide_and_replace_with_objects_that_were_there_all_along_is_found() -> None:
    """The update adds nothing but a table that points the page's number at another object that the signer covered unseen."""
    pdf = pikepdf.open(io.BytesIO(plain(1)))
    shadow = pdf.make_stream(b"BT /F1 40 Tf 50 600 Td (PAY MALLORY) Tj ET")
    pdf.Root["/Lurking"] = pdf.make_indirect(shadow)
    target = io.BytesIO()
    pdf.save(target)
    world = fresh(Suite.RSA)
    sealed = world.sealed("B", document=target.getvalue())
    reader = pikepdf.open(io.BytesIO(sealed))
    contents, lurking = reader.Root.Pages.Kids[0].Contents, reader.Root.Lurking
    number = (contents[0] if isinstance(contents, pikepdf.Array) else contents).objgen[0]
    where = re.search(rb"(?<!\d)%d 0 obj" % lurking.objgen[0], sealed)
    assert where is not None
    previous = int(re.findall(rb"startxref\s+(\d+)", sealed)[-1])
    table = b"xref\n%d 1\n%010d 00000 n \ntrailer\n<</Size %d/Root %d 0 R/Prev %d>>\nstartxref\n%d\n%%%%EOF\n"
    attacked = sealed + table % (
        number, where.start(), int(reader.trailer.Size), reader.Root.objgen[0], previous, len(sealed)
    )  # fmt: skip
    verdict = judge(attacked, world.context())
    assert verdict["verdict"] != "TOTAL-PASSED"
    assert verdict["answer"]["decision"] == "refuse"


def test_a_note_added_later_is_an_annotation_and_asks_for_a_look() -> None:
    world = fresh(Suite.RSA)

    def note(at: dict[str, Any]) -> dict[int, bytes]:
        page = page_of(at)
        existing = b" ".join(b"%d 0 R" % a.objgen[0] for a in page.Annots)
        body = b"<</Type/Annot/Subtype/FreeText/Rect[50 50 200 90]/Contents(approved)/DA(/Helv 10 Tf)>>"
        return {at["next"]: body, page.objgen[0]: rewritten(page, Annots=b"[%s %d 0 R]" % (existing, at["next"]))}

    verdict = judge(update(world.sealed("B"), note), world.context())
    assert outcome(verdict) == ("TOTAL-PASSED", None, "check")
    assert verdict["signatures"][0]["changes_after"] == "annotation"
    assert "changes-annotation" in codes(verdict)


@pytest.mark.parametrize(
    "entry", [b"OpenAction<</S/JavaScript/JS(app.alert(1))>>", b"Names<</JavaScript<<>>>>", b"OCProperties<<>>", b"AA<<>>"]
)
def test_actions_scripts_and_layers_added_later_are_undefined(entry: bytes) -> None:
    world = fresh(Suite.RSA)
    key, _, value = entry.partition(b"<")
    changed = update(
        world.sealed("B"),
        lambda at: {at["pdf"].Root.objgen[0]: rewritten(at["pdf"].Root, **{key.decode(): b"<" + value})},
    )
    refused(changed, world, "changes-undefined")


def test_what_pages_inherit_cannot_change_on_either_way_of_inheriting() -> None:
    world = fresh(Suite.RSA)
    sealed = world.sealed("B")

    def above(at: dict[str, Any]) -> dict[int, bytes]:
        node = at["pdf"].Root.Pages
        return {node.objgen[0]: rewritten(node, Rotate=b" 180")}

    def between(at: dict[str, Any]) -> dict[int, bytes]:
        node, new = at["pdf"].Root.Pages, at["next"]
        inner = b"<</Type/Pages/Count 1/Rotate 180/Parent %d 0 R/Kids[%d 0 R]>>" % (node.objgen[0], page_of(at).objgen[0])
        return {node.objgen[0]: rewritten(node, Kids=b"[%d 0 R]" % new), new: inner}

    for change in (above, between):
        refused(update(sealed, change), world, "changes-undefined")


def test_attachments_cannot_be_exchanged_whatever_their_tree_looks_like() -> None:
    """The trick: a node of the name tree that also looks like a form field, whose children a hasty comparison passes over."""
    pdf = pikepdf.open(io.BytesIO(plain(1)))
    made = [pdf.make_indirect(pdf.make_stream(text)) for text in (b"{}", b'{"ZZBS": "forged"}')]
    specs = [
        pdf.make_indirect(pikepdf.Dictionary(Type=pikepdf.Name.Filespec, F="a.txt", EF=pikepdf.Dictionary(F=one)))
        for one in made
    ]
    leaf = pdf.make_indirect(pikepdf.Dictionary(Names=pikepdf.Array(["a", specs[0]]), Limits=pikepdf.Array(["a", "a"])))
    tree = pdf.make_indirect(pikepdf.Dictionary(T="x", Kids=pikepdf.Array([leaf])))
    pdf.Root.Names = pikepdf.Dictionary(EmbeddedFiles=tree)
    pdf.Root["/Other"] = specs[1]
    target = io.BytesIO()
    pdf.save(target)
    world = fresh(Suite.RSA)

    def exchange(at: dict[str, Any]) -> dict[int, bytes]:
        root = at["pdf"].Root
        leaf_node = root.Names.EmbeddedFiles.Kids[0]
        return {leaf_node.objgen[0]: rewritten(leaf_node, Names=b"[(a) %d 0 R]" % root.Other.objgen[0])}

    refused(update(world.sealed("B", document=target.getvalue()), exchange), world, "changes-undefined")


def test_the_picture_of_a_seal_cannot_be_exchanged() -> None:
    world = fresh(Suite.RSA)

    def exchange(at: dict[str, Any]) -> dict[int, bytes]:
        node = next(f for f in at["pdf"].Root.AcroForm.Fields if f.get("/FT") == "/Sig")
        return {node.objgen[0]: rewritten(node, AP=b"<</N %d 0 R>>" % at["next"]), at["next"]: stream(FORM, b"0 0 200 20 re f")}

    refused(update(world.sealed("B"), exchange), world, "changes-undefined")


def test_an_unsigned_field_dressed_up_as_a_seal_is_an_annotation() -> None:
    world = fresh(Suite.RSA)

    def dress(at: dict[str, Any]) -> dict[int, bytes]:
        page, form, new = page_of(at), at["pdf"].Root.AcroForm, at["next"]
        annotations = b" ".join(b"%d 0 R" % a.objgen[0] for a in page.Annots)
        listed = b" ".join(b"%d 0 R" % f.objgen[0] for f in form.Fields)
        return {
            new: b"<</Type/Annot/Subtype/Widget/FT/Sig/T(Seal9)/Rect[300 300 400 400]/F 4/AP<</N %d 0 R>>>>" % (new + 1),
            new + 1: stream(FORM, b"1 0 0 rg 0 0 200 20 re f"),
            page.objgen[0]: rewritten(page, Annots=b"[%s %d 0 R]" % (annotations, new)),
            form.objgen[0] or at["pdf"].Root.objgen[0]: (
                rewritten(form, Fields=b"[%s %d 0 R]" % (listed, new))
                if form.objgen[0]
                else rewritten(at["pdf"].Root, AcroForm=rewritten(form, Fields=b"[%s %d 0 R]" % (listed, new)))
            ),
        }

    verdict = judge(update(world.sealed("B"), dress), world.context())
    assert verdict["answer"]["decision"] == "check"
    assert "changes-annotation" in codes(verdict)


def test_a_second_seal_over_the_first_is_said() -> None:
    world = fresh(Suite.RSA)
    verdict = judge(world.sealed("B", document=world.sealed("B")), world.context())
    assert outcome(verdict) == ("TOTAL-PASSED", None, "check")
    assert "overlap" in codes(verdict)


def test_the_second_look_finds_what_the_comparison_of_objects_would_miss() -> None:
    """The pictures are compared on their own: here two different pages, told to be the same."""
    policy = VerificationContext(trust=TrustStore()).policy
    first, second = form_document(), form_document(appearance=b"BT /F1 12 Tf 2 4 Td (Payee: Bob) Tj ET")
    around = {1: [[50.0, 500.0, 250.0, 520.0]]}
    results = rendering.compare([first, first, second, first, b"no document"], [{}, {}, around, {}], policy)
    assert [r.different for r in results] == [[], [1], [], []]
    assert [r.failed for r in results] == [False, False, False, True]


# The signed range


def spans(document: bytes) -> tuple[re.Match[bytes], list[int]]:
    match = re.search(rb"/ByteRange\s*\[([\d\s]+)\]", document)
    assert match is not None
    return match, [int(n) for n in match.group(1).split()]


def with_range(document: bytes, numbers: list[int]) -> bytes:
    match, _ = spans(document)
    room = match.end() - match.start()
    text = b"/ByteRange [%s]" % b" ".join(b"%d" % n for n in numbers)
    assert len(text) <= room
    return document[: match.start()] + text.ljust(room) + document[match.end() :]


@pytest.mark.parametrize(
    "shift",
    [(1, 0, 0, 0), (0, -8, 0, 0), (0, 8, 0, 0), (0, 0, 8, -8), (0, 0, -8, 8), (0, 0, 0, -16), (0, 0, 0, 99), (-1, 0, 0, 0)],
)
def test_any_other_signed_range_is_refused(shift: tuple[int, ...]) -> None:
    world = fresh(Suite.RSA)
    document = world.sealed("B")
    _, numbers = spans(document)
    verdict = judge(with_range(document, [a + b for a, b in zip(numbers, shift, strict=True)]), world.context())
    assert outcome(verdict) == ("TOTAL-FAILED", "HASH_FAILURE", "refuse") or (
        verdict["sub_indication"] == "FORMAT_FAILURE" and verdict["answer"]["decision"] == "refuse"
    )
    assert codes(verdict) & {"byte-range", "revision-incomplete", "contents-mismatch"}


@pytest.mark.parametrize("replacement", [b"/ByteRangX", b"/ContentsX", b"/SubFilteX"])
def test_a_signature_without_its_entries_is_not_a_valid_one(replacement: bytes) -> None:
    world = fresh(Suite.RSA)
    verdict = judge(
        world.sealed("B").replace(replacement[:-1] + replacement[-1:].replace(b"X", b"e"), replacement), world.context()
    )
    changed = world.sealed("B")
    original = {b"/ByteRangX": b"/ByteRange", b"/ContentsX": b"/Contents", b"/SubFilteX": b"/SubFilter"}[replacement]
    verdict = judge(changed.replace(original, replacement[: len(original)].replace(b"nts", b"ntX")), world.context())
    assert verdict["verdict"] != "TOTAL-PASSED"
    assert verdict["answer"]["decision"] != "accept"


def test_data_behind_the_signature_value_is_found() -> None:
    world = fresh(Suite.RSA)
    document = world.sealed("B")
    _, numbers = spans(document)
    at = numbers[2] - 1 - 8
    assert document[at : at + 8] == b"0" * 8
    verdict = judge(document[:at] + b"deadbeef" + document[at + 8 :], world.context())
    assert outcome(verdict) == ("TOTAL-FAILED", "FORMAT_FAILURE", "refuse")
    assert "contents-padding" in codes(verdict)


def test_bytes_appended_to_the_file_are_no_part_of_it_unless_blank() -> None:
    world = fresh(Suite.RSA)
    document = world.sealed("B")
    blank = judge(document + b"\r\n\x00", world.context())
    assert outcome(blank) == PASSED
    assert blank["signatures"][0]["covers_whole_file"] is False
    assert judge(document + b"% harmless?", world.context())["signatures"][0]["covers_whole_file"] is False


def test_a_whole_other_document_behind_the_sealed_one_is_refused() -> None:
    world = fresh(Suite.RSA)
    verdict = judge(world.sealed("B") + plain(2), world.context())
    assert verdict["verdict"] != "TOTAL-PASSED"
    assert verdict["answer"]["decision"] != "accept"


def test_a_signature_moved_into_another_document_is_refused() -> None:
    world = fresh(Suite.RSA)
    one, other = world.sealed("B"), world.sealed("B", document=form_document())
    hole_one, hole_other = (re.search(rb"/Contents\s*<([0-9a-fA-F]+)>", d) for d in (one, other))
    assert hole_one is not None
    assert hole_other is not None
    value = hole_one.group(1)[: len(hole_other.group(1))].ljust(len(hole_other.group(1)), b"0")
    moved = other[: hole_other.start(1)] + value + other[hole_other.end(1) :]
    assert judge(moved, world.context())["verdict"] == "TOTAL-FAILED"


# Random damage


@pytest.mark.parametrize("suite", [Suite.RSA, Suite.SM2], ids=str)
def test_random_single_byte_changes_never_pass(suite: Suite) -> None:
    """XINYIN_BYTE_CHANGES=1000 for the full measure; every change lies inside the bytes that the signature covers."""
    world = fresh(suite)
    document, context = world.sealed("B"), world.context()
    assert outcome(judge(document, context)) == PASSED
    _, (_, length, start, rest) = spans(document)
    rng = random.Random(20261121)
    passed = []
    for _ in range(CHANGES):
        at = rng.choice([rng.randrange(length), start + rng.randrange(rest)])
        changed = bytearray(document)
        changed[at] ^= rng.randrange(1, 256)
        if judge(bytes(changed), context)["verdict"] == "TOTAL-PASSED":
            passed.append(at)
    assert passed == []


@pytest.mark.parametrize("suite", [Suite.RSA, Suite.SM2], ids=str)
def test_random_changes_to_a_long_term_document_are_never_accepted(suite: Suite) -> None:
    """With a document timestamp every byte outside the two signature values is covered by one of them.

    A change that destroys the timestamp's own dictionary leaves a seal that is whole: it is said, and nobody accepts unseen.
    """
    world = fresh(suite)
    document = world.sealed("LTA")
    context = VerificationContext(trust=world.trust(), offline=True)
    assert outcome(judge(document, context)) == PASSED
    holes = [m.span(1) for m in re.finditer(rb"/Contents\s*<([0-9a-fA-F]+)>", document)]
    rng = random.Random(3)
    passed = []
    for _ in range(CHANGES // 4):
        at = rng.randrange(len(document))
        if any(a <= at < b for a, b in holes):
            continue
        changed = bytearray(document)
        changed[at] ^= rng.randrange(1, 256)
        if judge(bytes(changed), context)["answer"]["decision"] == "accept":
            passed.append(at)
    assert passed == []


@pytest.mark.corpus
def test_mutated_files_from_elsewhere_never_break_the_verifier(corpus: Path) -> None:
    """Bytes changed, cut out, doubled and cut off: a verdict each time, none of them internal, each in bounded time."""
    context = VerificationContext(trust=TrustStore())
    rng = random.Random(7)
    files = sorted([*(corpus / "pdf-signed").glob("*.pdf"), *(corpus / "pdf-plain").glob("*.pdf")])
    worst = 0.0
    for path in files:
        data = path.read_bytes()
        for _ in range(4):
            changed = bytearray(data)
            for _ in range(rng.randrange(1, 12)):
                at = rng.randrange(len(changed))
                kind = rng.randrange(4)
                if kind == 0:
                    changed[at] = rng.randrange(256)
                elif kind == 1:
                    del changed[at : at + rng.randrange(1, 200)]
                elif kind == 2:
                    changed[at:at] = changed[at : at + rng.randrange(1, 200)]
                else:
                    del changed[max(at, 64) :]
            started = time.perf_counter()
            verdict = verify_bytes(bytes(changed), name=path.name, context=context)
            worst = max(worst, time.perf_counter() - started)
            assert verdict["verdict"] in {"INDETERMINATE", "TOTAL-FAILED", "NO-SIGNATURE", "UNREADABLE"}
            assert "internal-error" not in codes(verdict), (path.name, verdict["reasons"])
    assert worst < 10


def test_a_timestamp_whose_value_lost_its_name_is_missed() -> None:
    """One changed letter of the key /Contents makes the document timestamp look like an empty field: damaged, not empty."""
    world = fresh(Suite.P256)
    document = world.sealed("LTA")
    context = VerificationContext(trust=world.trust(), offline=True)
    name = document.rindex(b"/Contents<")
    for at in range(name + 1, name + 9):
        changed = document[:at] + bytes([document[at] ^ 1]) + document[at + 1 :]
        assert judge(changed, context)["answer"]["decision"] != "accept", document[at : at + 1]
