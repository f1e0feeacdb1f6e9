"""The reader of PDF structure: right on what is common, quick and named on what is hostile."""

from __future__ import annotations

import contextlib
import re
import time
import zlib
from collections.abc import Callable
from io import BytesIO

import pikepdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.pdf import NoSuchPage, NotAPdf, OutsideCommonCase, PdfFile
from formats.pdf.objects import Parser, PdfString, Ref, serialise, text_string
from tests import pdf_samples


def build(objects: dict[int, bytes], trailer: bytes = b"/Root 1 0 R", size: int | None = None) -> bytes:
    """A file with these objects and a classic table."""
    out = bytearray(b"%PDF-1.7\n")
    offsets = {}
    for number, body in objects.items():
        offsets[number] = len(out)
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    for number, offset in offsets.items():
        out += b"%d 1\n%010d 00000 n \n" % (number, offset)
    out += b"trailer\n<</Size %d %b>>\nstartxref\n%d\n%%%%EOF\n" % (size or max(objects) + 1, trailer, start)
    return bytes(out)


def quick(work: Callable[[], object], seconds: float = 20.0) -> None:
    started = time.process_time()
    with pytest.raises(OutsideCommonCase):
        work()
    assert time.process_time() - started < seconds


CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
PAGES = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 200]>>"


@pytest.mark.parametrize("streams", [False, True])
def test_every_page_of_a_nested_tree_is_found(streams: bool) -> None:
    pdf = pikepdf.open(BytesIO(pdf_samples.plain(40)))
    pages = list(pdf.Root.Pages.Kids)
    nodes = []
    for at in range(0, 40, 10):
        node = pdf.make_indirect(pikepdf.Dictionary(Type=pikepdf.Name.Pages, Kids=pages[at : at + 10], Count=10, Rotate=90))
        for page in pages[at : at + 10]:
            page.Parent = node
        node.Parent = pdf.Root.Pages
        nodes.append(node)
    pdf.Root.Pages.Kids = pikepdf.Array(nodes)
    data = pdf_samples.saved(pdf, streams=streams)
    ours = PdfFile(data)
    with pikepdf.open(BytesIO(data)) as theirs:
        for number in (1, 10, 11, 25, 40):
            page = ours.page(number)
            assert (page.ref.num, page.rotate) == (theirs.pages[number - 1].objgen[0], 90)
    with pytest.raises(NoSuchPage):
        ours.page(41)


def test_boxes_are_normalised_intersected_and_inherited() -> None:
    inherited = PdfFile(
        build(
            {
                1: CATALOG,
                2: b"<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[100 200 0 0]/CropBox[10 -5 400 150]/Rotate -90>>",
                3: b"<</Type/Page/Parent 2 0 R/UserUnit 2.5>>",
            }
        )
    ).page(1)
    assert (inherited.box, inherited.rotate, inherited.user_unit) == ((10, 0, 100, 150), 270, 2.5)


def test_something_that_is_no_pdf_is_named() -> None:
    for data in (b"", b"hello", b"\x00" * 5000, b"%!PS-Adobe"):
        with pytest.raises(NotAPdf):
            PdfFile(data)


@pytest.mark.parametrize(
    "objects",
    [
        {1: CATALOG, 2: b"<</Kids[2 0 R]/Count 1>>", 3: PAGE},
        {1: CATALOG, 2: b"<</Kids 2 0 R/Count 1>>", 3: PAGE},
        {1: b"<</Pages 4 0 R>>", 2: PAGES, 3: PAGE, 4: b"5 0 R", 5: b"4 0 R"},
        {1: CATALOG, 2: PAGES, 3: b"<</Type/Page>>"},
        {1: CATALOG, 2: PAGES, 3: b"[" * 5000},
        {1: CATALOG, 2: b"<</Kids" + b"[" * 100 + b"]" * 100 + b"/Count 1>>", 3: PAGE},
        {1: CATALOG, 2: b"<</Type/Pages/Kids[3 0 R]/Count 99999999>>", 3: PAGE},
        {1: CATALOG, 2: PAGES, 3: b"<</Type/Page/MediaBox[0 0 1e400 nan]>>"},
        {1: CATALOG, 2: b"<</Type/Pages/Kids[" + b"null " * 2_500_000 + b"]/Count 1>>", 3: PAGE},
        {1: CATALOG, 2: b"<</Type/Pages/Kids(" + b"(" * 3_000_000 + b"/Count 1>>", 3: PAGE},
    ],
    ids=lambda value: str(max(value.values(), key=len)[:30]),
)
def test_circles_depths_and_giants_end_quickly_in_a_named_error(objects: dict[int, bytes]) -> None:
    quick(lambda: PdfFile(build(objects)).page(1))


def test_a_chain_of_cross_references_that_bites_its_tail_ends() -> None:
    data = build({1: CATALOG, 2: PAGES, 3: PAGE})
    start = int(re.findall(rb"startxref\n(\d+)", data)[0])
    quick(lambda: PdfFile(data.replace(b"/Root", b"/Prev %d/Root" % start)))


@pytest.mark.parametrize("size", [0, -5, 10**12, 2**31])
def test_absurd_object_counts_are_refused(size: int) -> None:
    data = build({1: CATALOG, 2: PAGES, 3: PAGE}).replace(b"/Size 4", b"/Size %d" % size)
    quick(lambda: PdfFile(data))


def test_a_size_that_is_too_small_never_reuses_an_object_number() -> None:
    assert PdfFile(build({1: CATALOG, 2: PAGES, 3: PAGE, 9: b"null"}, size=2)).size == 10


def test_a_compressed_bomb_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(120 << 20), 9)
    body = b"<</Type/XRef/Size 4/W[1 4 2]/Root 1 0 R/Filter/FlateDecode/Length %d>>\nstream\n%b\nendstream" % (len(bomb), bomb)
    data = b"%PDF-1.7\n9 0 obj\n" + body + b"\nendobj\nstartxref\n9\n%%EOF\n"
    quick(lambda: PdfFile(data))


def test_many_overlapping_sections_do_not_add_up() -> None:
    """Sixty sections with a long trailer each: work is bounded for the file, not for the object."""
    out = bytearray(b"%PDF-1.7\n")
    filler = b"/X[" + b"0 " * 200_000 + b"]"
    previous = 0
    for _ in range(60):
        start = len(out)
        link = b"/Prev %d" % previous if previous else b""
        out += b"xref\n0 1\n0000000000 65535 f \ntrailer\n<</Size 4/Root 1 0 R%b%b>>\n" % (link, filler)
        previous = start
    out += b"startxref\n%d\n%%%%EOF" % previous
    quick(lambda: PdfFile(bytes(out)))


def test_strings_are_read_as_the_standard_says() -> None:
    def text(written: bytes) -> str:
        value, _ = Parser(written).object(0)
        assert isinstance(value, PdfString)
        return value.text()

    assert (
        text(
            rb"(a\(b\)\\\101\7(in)\
c)"
        )
        == "a(b)\\A\x07(in)c"
    )
    assert text(b"<FEFF4E914E5>") == "云乐"[:1] + "乐"
    assert text(text_string("云江市（样本）")) == "云江市（样本）"
    assert text(text_string("a)b(c\\")) == "a)b(c\\"


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.builds(Ref, st.integers(1, 9999), st.integers(0, 65535))
    | st.binary(min_size=1, max_size=8).map(lambda b: b"/" + b.replace(b"\x00", b"x")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([b"/A", b"/B c", b"/#"]), inner, max_size=3),
    max_leaves=12,
)


@given(_values)
def test_what_is_written_is_read_back(value: object) -> None:
    assert Parser(serialise(value) + b" ").object(0)[0] == value


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_parser(data: bytes) -> None:
    with contextlib.suppress(OutsideCommonCase):
        Parser(data).object(0)
