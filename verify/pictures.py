"""Pictures: the codes in a photograph, a camera's frame, or the page of a scan, whichever way up and however grainy.

What a picture shows proves nothing; the code in it is signed. Runs in the confined process (:mod:`verify.child`): Pillow and
zxing read hostile bytes there. JPEG, PNG and WebP only, their size known from the header before a pixel is unpacked.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_raw
import zxingcpp
from PIL import Image, ImageFilter, UnidentifiedImageError

from crypto.errors import XinyinError
from formats import codes
from verify.reasons import Reason, reason
from verify.rendering import ONE_AT_A_TIME

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_BYTES = 40 << 20
MAX_PIXELS = 64_000_000
"""More than any telephone's camera takes, and 256 MB unpacked."""
_WORKING = 2600
"""Pixels of the longer side that a first look is taken at: a 30 mm code on an A4 page is then 370 pixels wide."""
_CLOSER = 5200
_SMALL = 1600
_QR = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
_MAX_CODES = 16
_SCAN_PAGES = 4
_SCAN_DPI = 220
_NESTED = 8
"""Forms within forms that are searched for a picture."""


@dataclass(frozen=True)
class Found:
    """What was read in a picture.

    :ivar ours: contents of licence codes, each once, in reading order
    :ivar others: how many other codes there were: they lead wherever their maker wants
    """

    ours: list[str] = field(default_factory=list)
    others: int = 0


class NotReadable(Exception):
    """A picture that is not looked at; ``reason`` says why."""

    def __init__(self, why: Reason) -> None:
        super().__init__(why.code)
        self.reason = why


def read(data: bytes, *, glance: bool = False) -> Found:
    """Every licence code in a picture.

    :param glance: the picture is one of many that a camera sends: one look is enough
    :raises NotReadable: too large, damaged, or no picture of a kind that is read
    """
    return _look(_open(data), glance=glance)


def read_pages(data: bytes) -> Found:
    """Every licence code on the first pages of a PDF, as PDFium draws them: a scan is a picture in a PDF.

    One look at each page; where none shows a licence code, the first page is looked at closely if there is a picture on it:
    what PDFium draws from lines and letters alone is as sharp as it can be.
    """
    ours: dict[str, None] = {}
    others = 0
    with ONE_AT_A_TIME:
        try:
            with pdfium.PdfDocument(data) as document:
                pages = [_drawn(document[index]) for index in range(min(len(document), _SCAN_PAGES))]
                closer = bool(pages) and _bears_a_picture(document[0])
        except (pdfium.PdfiumError, ValueError, OverflowError):
            return Found()  # that the file is damaged is said elsewhere
    for found in (_look(page, glance=True) for page in pages):
        ours |= dict.fromkeys(found.ours)
        others += found.others
    return Found(list(ours), others) if ours or not closer else _look(pages[0], glance=False)


def is_ours(text: str) -> bool:
    """Whether a code's content has the form of a licence code; nothing is believed by that."""
    try:
        codes.decode(text)
    except XinyinError:
        return False
    return True


def _open(data: bytes) -> Image.Image:
    """The picture in grey, at most :data:`_CLOSER` pixels long."""
    if len(data) > MAX_BYTES:
        raise NotReadable(reason("too-large", size=len(data), limit=MAX_BYTES))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own bound is below Pillow's, which only warns
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            image.draft("L", (_CLOSER, _CLOSER))
            grey = _grey(image)
    except Image.DecompressionBombError as exc:
        raise NotReadable(reason("picture-too-large", limit=MAX_PIXELS // 1_000_000)) from exc
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, IndexError) as exc:
        raise NotReadable(reason("picture-damaged")) from exc
    grey.thumbnail((_CLOSER, _CLOSER), Image.Resampling.BILINEAR)
    return grey


def _grey(image: Image.Image) -> Image.Image:
    """Transparent parts are white, as a page is."""
    if "A" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        page = Image.new("RGBA", layer.size, "white")
        page.alpha_composite(layer)
        return page.convert("L")
    return image.convert("L")


def _drawn(page: pdfium.PdfPage) -> Image.Image:
    """A page in grey, no larger than a picture that is looked at closely."""
    width, height = page.get_size()
    scale = min(_SCAN_DPI / 72, _CLOSER / max(width, height, 1.0))
    drawn: Image.Image = page.render(scale=scale, grayscale=True).to_pil()
    return drawn.convert("L")


def _bears_a_picture(page: pdfium.PdfPage) -> bool:
    return any(True for _ in page.get_objects(filter=(pdfium_raw.FPDF_PAGEOBJ_IMAGE,), max_depth=_NESTED))


def _look(image: Image.Image, *, glance: bool) -> Found:
    """Look again and again, each time another way, until a licence code is read or no way is left."""
    others: set[str] = set()
    for view in _views(image, glance=glance):
        ours: dict[str, None] = {}
        for barcode in zxingcpp.read_barcodes(view, formats=_QR, try_invert=not glance)[:_MAX_CODES]:
            text = str(barcode.text)
            if is_ours(text):
                ours[text] = None
            else:
                others.add(text[:4096])
        if ours:
            return Found(list(ours), len(others))
    return Found(others=len(others))


def _views(image: Image.Image, *, glance: bool) -> Iterator[Image.Image]:
    """The picture as it is, then larger, then sharper. Measured on pages at 100 to 600 dpi, turned, grainy, blurred and dark:
    enlarging reads most of what the first look misses, sharpening the rest; smoothing, medians and turning read nothing more.
    """
    first = image
    if max(image.size) > _WORKING:
        first = image.copy()
        first.thumbnail((_WORKING, _WORKING), Image.Resampling.BILINEAR)
    yield first
    larger = first.resize((first.width * 2, first.height * 2), Image.Resampling.BICUBIC)
    if glance:
        if max(first.size) <= _SMALL:
            yield larger
        return
    if first is not image:
        yield image
    yield larger
    yield larger.filter(ImageFilter.UnsharpMask(4, 250, 0))
    yield larger.filter(ImageFilter.UnsharpMask(6, 400, 0))
    yield first.resize((first.width * 3 // 2, first.height * 3 // 2), Image.Resampling.LANCZOS)
