"""The seal is seen where it was put, at true size, upright, and nothing else on the page changes (drawn by poppler, pdfium)."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import pikepdf
import pypdfium2
import pytest
from PIL import Image, ImageChops

from crypto.suites import Suite
from seals.sealing import KeywordPlacement, Placement, StraddleImpossible, StraddlePlacement, seal_pdf
from tests import pdf_judges, pdf_samples
from tests.pdf_pki import NOW, material, pki

DPI = 100
PX = DPI / 25.4


def poppler(path: Path, page: int = 1) -> Image.Image:
    """The page as displayed (its crop box), drawn by pdftoppm."""
    command = ["pdftoppm", "-cropbox", "-r", str(DPI), "-f", str(page), "-l", str(page), "-png", str(path)]
    return Image.open(BytesIO(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)).convert("RGB")


def pdfium(path: Path, page: int = 1) -> Image.Image:
    document = pypdfium2.PdfDocument(path)
    document.init_forms()
    image: Image.Image = document[page - 1].render(scale=DPI / 72, may_draw_forms=True).to_pil().convert("RGB")
    return image


def ink(before: Image.Image, after: Image.Image) -> tuple[float, float, float, float]:
    """Centre x, centre y, width, height (mm from the top-left corner) of what differs."""
    box = ImageChops.difference(before, after).convert("L").point(lambda v: 255 if v > 24 else 0).getbbox()
    assert box, "nothing was drawn"
    left, top, right, bottom = (n / PX for n in box)
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def seen(tmp_path: Path, before: bytes, after: bytes, draw: object = poppler, page: int = 1) -> tuple[Image.Image, Image.Image]:
    (tmp_path / "before.pdf").write_bytes(before)
    (tmp_path / "after.pdf").write_bytes(after)
    return draw(tmp_path / "before.pdf", page), draw(tmp_path / "after.pdf", page)  # type: ignore[operator]


@lru_cache(maxsize=1)
def upright() -> Image.Image:
    """The picture alone, as it must look."""
    page = pypdfium2.PdfDocument(material().picture.pdf)[0]
    image: Image.Image = page.render(scale=DPI / 72).to_pil().convert("L")
    return image


@pytest.mark.parametrize("draw", [poppler, pdfium])
@pytest.mark.parametrize("streams", [False, True], ids=["table", "stream"])
@pytest.mark.parametrize("crop", [None, (30.0, 50.0, 520.0, 800.0)], ids=["whole", "cropped"])
@pytest.mark.parametrize("rotate", [0, 90, 180, 270, -90, 450])
def test_true_place_and_size_and_upright_on_the_displayed_page(
    tmp_path: Path, rotate: int, crop: tuple[float, ...] | None, streams: bool, draw: object
) -> None:
    before = pdf_samples.plain(streams=streams, Rotate=rotate, **({"CropBox": crop} if crop else {}))
    after = seal_pdf(before, material(), Placement(1, 60, 95), when=NOW).data
    plain, sealed = seen(tmp_path, before, after, draw)
    x, y, width, height = ink(plain, sealed)
    assert (x, y) == (pytest.approx(60, abs=0.4), pytest.approx(95, abs=0.4))
    assert (width, height) == (pytest.approx(42, abs=0.5), pytest.approx(42, abs=0.5))
    size = upright().size
    corner = (round(60 * PX - size[0] / 2), round(95 * PX - size[1] / 2))
    shown = sealed.convert("L").crop((*corner, corner[0] + size[0], corner[1] + size[1]))
    wrong = upright().rotate(180)
    assert _distance(shown, upright()) < 0.5 * _distance(shown, wrong)


def _distance(one: Image.Image, other: Image.Image) -> float:
    histogram = ImageChops.difference(one, other).histogram()
    return sum(value * count for value, count in enumerate(histogram)) / sum(histogram)


def test_nothing_outside_the_seal_changes(tmp_path: Path) -> None:
    before = pdf_samples.plain()
    after = seal_pdf(before, material(), Placement(1, 60, 60), when=NOW).data
    plain, sealed = seen(tmp_path, before, after)
    difference = ImageChops.difference(plain, sealed)
    difference.paste(0, tuple(round(n * PX) for n in (38.5, 38.5, 81.5, 81.5)))
    assert difference.getbbox() is None


def test_user_unit_is_respected() -> None:
    """Units twice as long: half as many (poppler and pdfium ignore /UserUnit, so numbers are asked)."""
    one = seal_pdf(pdf_samples.plain(), material(), Placement(1, 50, 50), when=NOW).rect
    two = seal_pdf(pdf_samples.plain(UserUnit=2.0), material(), Placement(1, 50, 50), when=NOW).rect
    assert two[2] - two[0] == pytest.approx((one[2] - one[0]) / 2)
    assert two[0] == pytest.approx(one[0] / 2)


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_the_keyword_is_covered_whatever_the_rotation(tmp_path: Path, rotate: int) -> None:
    before = pdf_samples.plain(Rotate=rotate, CropBox=(30.0, 50.0, 520.0, 800.0))
    sealed = seal_pdf(before, material(), KeywordPlacement("approval"), when=NOW)
    left, bottom, right, top = sealed.rect
    assert (bottom + top) / 2 == pytest.approx(706, abs=6)
    assert 72 + 100 < (left + right) / 2 < 72 + 300
    x, y, *_ = ink(*seen(tmp_path, before, sealed.data))
    width, height = (490, 750) if rotate % 180 == 0 else (750, 490)
    assert 0 < x < width / 72 * 25.4
    assert 0 < y < height / 72 * 25.4


def test_no_font_comes_in_that_is_not_embedded() -> None:
    after = seal_pdf(pdf_samples.plain(), material(), Placement(1, 60, 60), when=NOW).data
    with pikepdf.open(BytesIO(after)) as pdf:
        form = pdf.pages[0].obj.Annots[-1].AP.N
        assert form.Subtype == "/Form"
        for font in dict(form.Resources.get("/Font", {})).values():
            descriptor = font.DescendantFonts[0].FontDescriptor if "/DescendantFonts" in font else font.FontDescriptor
            assert any(key in descriptor for key in ("/FontFile", "/FontFile2", "/FontFile3"))


@pytest.mark.parametrize("rotate", [0, 90])
@pytest.mark.parametrize(("edge", "fan"), [("right", 1), ("left", -1), ("bottom", 1), ("top", -1)])
def test_a_straddling_seal_is_whole_when_the_pages_are_fanned_out(tmp_path: Path, edge: str, fan: int, rotate: int) -> None:
    before = pdf_samples.plain(3, Rotate=rotate)
    sealed = seal_pdf(before, material(), StraddlePlacement(edge), when=NOW)  # type: ignore[arg-type]
    (tmp_path / "after.pdf").write_bytes(sealed.data)
    part = round(14 * PX)
    strips = []
    for number in (1, 2, 3)[::fan]:
        page = poppler(tmp_path / "after.pdf", number).convert("L")
        middle, half = (page.height // 2, page.width // 2), round(21 * PX)
        strips.append(
            {
                "right": lambda p, m, h: p.crop((p.width - part, m[0] - h, p.width, m[0] + h)),
                "left": lambda p, m, h: p.crop((0, m[0] - h, part, m[0] + h)),
                "bottom": lambda p, m, h: p.crop((m[1] - h, p.height - part, m[1] + h, p.height)),
                "top": lambda p, m, h: p.crop((m[1] - h, 0, m[1] + h, part)),
            }[edge](page, middle, half)
        )
    whole = Image.new("L", (3 * part, strips[0].height) if edge in ("right", "left") else (strips[0].width, 3 * part), 255)
    for index, strip in enumerate(strips):
        whole.paste(strip, (index * part, 0) if edge in ("right", "left") else (0, index * part))
    wanted = upright().resize(whole.size)
    assert _distance(whole, wanted) < 0.6 * _distance(whole, wanted.rotate(180))
    assert _distance(whole, wanted) < 0.6 * _distance(Image.new("L", whole.size, 255), wanted)


def test_a_straddling_seal_is_one_signature_and_lives_beside_others() -> None:
    first = seal_pdf(pdf_samples.plain(3), material(), Placement(1, 50, 50), when=NOW)
    second = seal_pdf(first.data, material(), StraddlePlacement("right"), when=NOW)
    third = seal_pdf(second.data, material(), Placement(2, 50, 50), when=NOW)
    opinions = pdf_judges.pyhanko(third.data, [pki(Suite.RSA).root])
    assert [(o.intact, o.valid, o.trusted, o.changes_allowed) for o in opinions] == [(True,) * 4] * 3


def test_many_pages_share_several_seals_and_one_page_is_refused() -> None:
    sealed = seal_pdf(pdf_samples.plain(41), material(), StraddlePlacement("right"), when=NOW)
    with pikepdf.open(BytesIO(sealed.data)) as pdf:
        widths = [float(page.obj.Annots[0].Rect[2] - page.obj.Annots[0].Rect[0]) * 25.4 / 72 for page in pdf.pages]
    assert [round(width, 2) for width in widths] == [3.0] * 28 + [3.23] * 13
    with pytest.raises(StraddleImpossible):
        seal_pdf(pdf_samples.plain(1), material(), StraddlePlacement.at("right"), when=NOW)
    with pytest.raises(StraddleImpossible):
        StraddlePlacement.at("middle")
