"""Seal pictures: true size, even spacing, nothing overlaps, untrusted names stay text."""

from __future__ import annotations

import io
import math
from itertools import pairwise

import pikepdf
import pypdfium2
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from seals.picture import (
    KINDS,
    BadPicture,
    Glyph,
    PictureSpec,
    Shape,
    corners,
    draw,
    imported,
    layout,
    page_box_mm,
    standard_spec,
)

NAMES = [
    "云江",
    "云江财政",
    "云江市市场监督管理局",
    "云江高新技术产业开发区管理委员会行政审批局",
    "云江市某某县某某镇人民政府综合便民服务中心社会保险经办窗口",
]


def _separate(a: Glyph, b: Glyph) -> bool:
    """Whether two turned cells are disjoint (separating axes of two rectangles), with a tolerance of 0.02 mm."""
    pa, pb = corners(a), corners(b)
    for angle in (a.angle, a.angle + 90, b.angle, b.angle + 90):
        ux, uy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        ra, rb = [x * ux + y * uy for x, y in pa], [x * ux + y * uy for x, y in pb]
        if max(ra) <= min(rb) + 0.02 or max(rb) <= min(ra) + 0.02:
            return True
    return False


def _specs() -> list[PictureSpec]:
    return [
        standard_spec(kind, name, lower=lower, centre="91310000MA1K12345X" if kind == "invoice" else "")
        for kind in KINDS
        for name in (["张三", "王小明", "欧阳之印"] if kind == "personal" else NAMES)
        for lower in ("", "业务专用章")
    ]


@pytest.mark.parametrize("spec", _specs(), ids=lambda s: f"{s.shape}-{s.width_mm}-{len(s.name)}-{bool(s.lower)}")
def test_no_character_touches_another_or_leaves_the_rim(spec: PictureSpec) -> None:
    found = layout(spec)
    for i, g in enumerate(found.glyphs):
        for other in found.glyphs[i + 1 :]:
            assert _separate(g, other), (g, other)
        for x, y in corners(g):
            nx = (x - spec.width_mm / 2) / (spec.width_mm / 2 - spec.rim_mm)
            ny = (y - spec.height_mm / 2) / (spec.height_mm / 2 - spec.rim_mm)
            inside = max(abs(nx), abs(ny)) if spec.shape is Shape.SQUARE else math.hypot(nx, ny)
            assert inside < 1, (g, inside)


@pytest.mark.parametrize("name", NAMES)
def test_the_name_is_evenly_spaced_and_symmetric_around_the_top(name: str) -> None:
    glyphs = layout(standard_spec("statutory", name, sample=False)).glyphs
    angles = [g.angle for g in glyphs]
    steps = [b - a for a, b in pairwise(angles)]
    assert max(steps) - min(steps) < 0.2
    assert abs(angles[0] + angles[-1]) < 0.2
    assert all(
        math.isclose(math.hypot(g.x - 21, g.y - 21), math.hypot(glyphs[0].x - 21, glyphs[0].y - 21), abs_tol=1e-6)
        for g in glyphs
    )


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet="云江市人民政府（）ABCxyz0123456789·", min_size=1, max_size=50),
    st.sampled_from(["statutory", "special", "invoice"]),
)
def test_any_name_fits_its_arc(name: str, kind: str) -> None:
    assume(any(c not in "（）·" for c in name))
    spec = standard_spec(kind, name, lower="合同专用章")
    for a, b in pairwise(layout(spec).glyphs):
        assert _separate(a, b)
    assert all(g.w >= 0.3 and g.h >= 0.9 for g in layout(spec).glyphs)


@pytest.mark.parametrize("kind", ["statutory", "invoice", "personal"])
def test_pictures_have_their_true_size_in_millimetres(kind: str) -> None:
    _, width, height, _, _ = KINDS[kind]
    made = draw(standard_spec(kind, "云江市"))
    assert page_box_mm(made.pdf) == pytest.approx((width, height), abs=0.01)
    image = Image.open(io.BytesIO(made.png))
    assert image.size == (round(width / 25.4 * 600), round(height / 25.4 * 600)) or abs(image.size[0] - width / 25.4 * 600) <= 1


def test_the_rim_is_inked_to_the_edge_and_the_ground_is_transparent() -> None:
    image = Image.open(io.BytesIO(draw(standard_spec("statutory", "云江市财政局")).png))
    wide, high = image.size
    assert image.getpixel((2, 2))[3] == 0  # type: ignore[index]
    assert image.getpixel((wide // 2, 6)) == (215, 0, 15, 255)
    assert image.getpixel((wide // 2, high // 2)) == (215, 0, 15, 255)  # the star
    assert image.getpixel((wide // 2, round(high * 0.62)))[3] == 0  # type: ignore[index]


def test_the_vector_picture_embeds_its_fonts_and_brings_no_device_dependent_surprises() -> None:
    with pikepdf.open(io.BytesIO(draw(standard_spec("statutory", "云江市财政局")).pdf)) as pdf:
        assert len(pdf.pages) == 1
        fonts = list(pdf.pages[0].resources.Font.values())
        assert fonts
        for font in fonts:
            descriptor = font.DescendantFonts[0].FontDescriptor
            assert any(k in descriptor for k in ("/FontFile2", "/FontFile3"))
        assert "/OutputIntents" in pdf.Root
        assert "/StructTreeRoot" not in pdf.Root


def test_the_same_seal_is_the_same_bytes() -> None:
    first = draw(standard_spec("special", "云江市水务局"))
    draw.cache_clear()
    assert draw(standard_spec("special", "云江市水务局")) == first


def test_names_are_drawn_never_executed() -> None:
    pdf = draw(PictureSpec('#read("seal.typ")', sample=False)).pdf
    text = pypdfium2.PdfDocument(pdf)[0].get_textpage().get_text_bounded()
    assert "".join(text.split()) == '#read("seal.typ")'


def test_demo_seals_carry_the_sample_mark_and_others_do_not() -> None:
    for sample in (True, False):
        pdf = draw(standard_spec("statutory", "云江市财政局", sample=sample)).pdf
        text = "".join(pypdfium2.PdfDocument(pdf)[0].get_textpage().get_text_bounded().split())
        assert ("样本" in text) is sample


@pytest.mark.parametrize(
    "spec",
    [
        PictureSpec(""),
        PictureSpec("（（"),
        PictureSpec("云" * 51),
        PictureSpec("云\u202e江"),
        PictureSpec("云江", width_mm=200, height_mm=200),
        PictureSpec("云江", width_mm=40, height_mm=42),
        PictureSpec("一二三四五六七八九", shape=Shape.SQUARE, width_mm=20, height_mm=20),
    ],
)
def test_what_cannot_be_a_seal_is_refused_in_both_languages(spec: PictureSpec) -> None:
    with pytest.raises(BadPicture) as caught:
        draw(spec)
    assert caught.value.message
    assert caught.value.message_zh


def test_a_character_that_no_font_has_is_refused_not_drawn_as_a_box() -> None:
    with pytest.raises(BadPicture, match="rare character"):
        draw(PictureSpec("云江\U00012000局"))  # a cuneiform sign


def test_the_picture_of_a_real_seal_can_be_imported_at_its_size() -> None:
    png = draw(standard_spec("statutory", "云江市")).png
    made = imported(png, width_mm=42, height_mm=42)
    assert page_box_mm(made.pdf) == pytest.approx((42, 42), abs=0.01)
    with pytest.raises(BadPicture):
        imported(png, width_mm=42, height_mm=30)
    with pytest.raises(BadPicture):
        imported(b"GIF89a", width_mm=42, height_mm=42)
