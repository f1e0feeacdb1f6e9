"""Seal pictures, drawn as vectors at true size in millimetres.

Sizes and layout follow the practice for physical seals (facts: circular seals of 38 to 50 mm with the name on an arc around a
star; the oval invoice seal of 40 × 30 mm). The geometry is computed here, where tests can measure it; ``templates/seal.typ``
draws it. The national emblem is not ours to draw: seals that carry it in the physical world take the star here, or an
imported picture of the real seal (:func:`imported`).
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pikepdf

from crypto.errors import Unprocessable
from formats.pdf.geometry import POINTS_PER_MM
from seals.typeset import SONG, CannotTypeset, Template

SEAL_RED = "#d7000f"
SAMPLE_MARK = "样本"
MAX_NAME = 50
_PNG_PPI = 600


class BadPicture(Unprocessable):
    """A seal picture cannot be made from what was given."""

    code = "bad-seal-picture"


class Shape(StrEnum):
    CIRCLE = "circle"
    OVAL = "oval"
    SQUARE = "square"


@dataclass(frozen=True)
class Picture:
    """A seal picture at true size, transparent outside its ink.

    :ivar pdf: one-page PDF/A-3b of exactly ``width_mm`` × ``height_mm``, subset fonts embedded: made to become a Form XObject
    :ivar png: the same at 600 dpi with alpha (for SESeal and screens)
    :ivar svg: the same as SVG
    :ivar sha256: SHA-256 of ``pdf`` in lower-case hex; the same specification always gives the same bytes
    """

    width_mm: float
    height_mm: float
    pdf: bytes
    png: bytes
    svg: bytes
    sha256: str


@dataclass(frozen=True)
class PictureSpec:
    """What is on a seal.

    :ivar name: set on the arc (circle, oval), or in columns from right to left (square)
    :ivar lower: the horizontal line under the centre, such as 业务专用章; may be empty
    :ivar centre: horizontal text in the middle instead of a star: the tax number of an invoice seal
    :ivar sample: adds 样本 as the lowest line
    """

    name: str
    shape: Shape = Shape.CIRCLE
    width_mm: float = 42.0
    height_mm: float = 42.0
    rim_mm: float = 1.2
    lower: str = ""
    centre: str = ""
    star: bool = True
    sample: bool = True


@dataclass(frozen=True)
class Glyph:
    """One character: its cell's centre (mm from the top-left corner), turn (degrees, clockwise), width and height (mm)."""

    c: str
    x: float
    y: float
    angle: float
    w: float
    h: float


@dataclass(frozen=True)
class Layout:
    """The finished geometry; millimetres throughout."""

    glyphs: tuple[Glyph, ...]
    star: tuple[float, float, float] | None  # x, y, outer radius


def standard_spec(kind: str, name: str, *, lower: str = "", centre: str = "", sample: bool = True) -> PictureSpec:
    """The usual picture of a kind of seal (:data:`KINDS`).

    :raises BadPicture: no such kind
    """
    try:
        shape, width, height, rim, star = KINDS[kind]
    except KeyError:
        raise BadPicture(
            f"There is no seal kind {kind!r}; choose one of {', '.join(KINDS)}.",
            f"没有“{kind}”这种印章；请从 {'、'.join(KINDS)} 中选择。",
        ) from None
    if kind == "invoice" and not lower:
        lower = "发票专用章"
    return PictureSpec(name, shape, width, height, rim, lower, centre, star, sample)


# kind: shape, width, height, rim (mm), star
KINDS: dict[str, tuple[Shape, float, float, float, bool]] = {
    "statutory-national": (Shape.CIRCLE, 50, 50, 1.2, True),
    "statutory-city": (Shape.CIRCLE, 45, 45, 1.2, True),
    "statutory": (Shape.CIRCLE, 42, 42, 1.2, True),
    "enterprise": (Shape.CIRCLE, 40, 40, 1.0, True),
    "internal": (Shape.CIRCLE, 40, 40, 1.0, True),
    "branch": (Shape.CIRCLE, 38, 38, 1.0, True),
    "special": (Shape.CIRCLE, 40, 40, 1.0, True),
    "invoice": (Shape.OVAL, 40, 30, 1.0, False),
    "personal": (Shape.SQUARE, 20, 20, 1.0, False),
}


# --- geometry ---------------------------------------------------------------------------------------------------------


def layout(spec: PictureSpec) -> Layout:
    """Where everything goes.

    :raises BadPicture: an empty or over-long name, control characters, or a size outside 10 to 60 mm
    """
    _check(spec)
    if spec.shape is Shape.SQUARE:
        return Layout(tuple(_square(spec)), None)
    arc = _on_arc(spec)
    glyphs = [*arc, *_lines(spec, arc)]
    star = None
    if spec.star and not spec.centre:
        # A 42 mm seal carries a 14 mm star: a third of the diameter.
        star = (spec.width_mm / 2, spec.height_mm / 2, min(spec.width_mm, spec.height_mm) / 6)
    return Layout(tuple(glyphs), star)


def _check(spec: PictureSpec) -> None:
    for text, what, what_zh, limit in (
        (spec.name, "name", "名称", MAX_NAME),
        (spec.lower, "lower line", "下弦文字", 20),
        (spec.centre, "centre text", "中部文字", 24),
    ):
        if len(text) > limit or any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in text):
            raise BadPicture(
                f"The {what} on a seal has at most {limit} characters and no control characters; shorten or clean it.",
                f"印章{what_zh}最多 {limit} 个字且不得含控制字符；请缩短或更正。",
            )
    if not any(unicodedata.category(c)[0] in "LN" for c in spec.name):
        raise BadPicture(
            "A seal needs a name with letters or digits; brackets and dots alone are none.",
            "印章必须有名称；仅有括号或间隔号不成名称。",
        )
    sizes = (spec.width_mm, spec.height_mm)
    square_like = spec.shape is Shape.OVAL or spec.width_mm == spec.height_mm
    if not all(10 <= s <= 60 for s in sizes) or not square_like or not 0.3 <= spec.rim_mm <= 3:
        raise BadPicture(
            "A seal measures 10 to 60 mm with a rim of 0.3 to 3 mm; circles and squares have equal sides.",
            "印章尺寸应为 10 至 60 毫米、边宽 0.3 至 3 毫米；圆形与方形的宽高须相等。",
        )


def _clusters(text: str) -> list[str]:
    """Characters with their combining marks and variation selectors; blanks dropped; full-width brackets made slim."""
    out: list[str] = []
    for c in unicodedata.normalize("NFC", text):
        if unicodedata.combining(c) or unicodedata.category(c) == "Mn":
            if out:
                out[-1] += c
        elif not c.isspace():
            out.append({"（": "(", "）": ")", "\u00b7": "·"}.get(c, c))
    return out


def _weight(cluster: str) -> float:
    """Width of a character relative to a Chinese one."""
    if cluster[0] in "()·.,-'":
        return 0.45
    return 1.0 if unicodedata.east_asian_width(cluster[0]) in "WF" else 0.66


def _span(units: float) -> float:
    """Degrees between the first and the last character's centres, for a name of so many character widths.

    Short names keep together around the top, long ones reach far down on both sides but leave the bottom to the lower line.
    """
    points = ((1, 0), (2, 44), (4, 112), (6, 150), (8, 184), (10, 208), (13, 228), (18, 246), (26, 260), (50, 268))
    for (u0, s0), (u1, s1) in pairwise(points):
        if units <= u1:
            return s0 + (s1 - s0) * (max(units, u0) - u0) / (u1 - u0)
    return points[-1][1]


_FILL = 0.90  # of the pitch, measured where the characters' feet are: the rest is the gap
_SLIM = 0.50  # a character is at least half as wide as high; below that it gets lower too
_WIDE = 0.80  # and at most this wide: seal characters stand tall


def _on_arc(spec: PictureSpec) -> list[Glyph]:
    """The name from left to right along the upper arc, feet towards the centre, gaps even."""
    chars = _clusters(spec.name)
    weights = [_weight(c) for c in chars]
    units = sum(weights)
    small = min(spec.width_mm, spec.height_mm)
    margin = spec.rim_mm + 0.045 * small
    a, b = spec.width_mm / 2 - margin, spec.height_mm / 2 - margin
    base = small * (0.135 if spec.shape is Shape.CIRCLE else 0.15)
    span = math.radians(_span(units)) * (1.0 if spec.shape is Shape.CIRCLE else 0.92)
    # Centre-to-centre span plus one cell is what the cells share.
    share = span / max(units - (weights[0] + weights[-1]) / 2, 1e-9) if len(chars) > 1 else 0.6
    k = _FILL * share
    # Feet are at radius (R - h): w = k (R - h). Where that is slimmer than half of h, h shrinks until it is just half.
    r = _mean_radius(a, b)
    height = min(base, k * r / (_SLIM + k))
    width = min(k * (r - height), _WIDE * height)
    glyphs = _along(spec, _EllipseArc(a - height / 2, b - height / 2), chars, weights, share, (width, height))
    # Where an oval turns sharply the feet come closer than the mean says: slimmer characters keep them apart.
    while any(_crowded(p, q) for p, q in pairwise(glyphs)):
        width *= 0.96
        height = min(height, width / (_SLIM * 0.9))
        glyphs = _along(spec, _EllipseArc(a - height / 2, b - height / 2), chars, weights, share, (width, height))
    return glyphs


def _along(
    spec: PictureSpec, curve: _EllipseArc, chars: list[str], weights: list[float], share: float, size: tuple[float, float]
) -> list[Glyph]:
    # Symmetric about the top; the cells, not the characters' centres, share the arc.
    position = -share * sum(weights) / 2
    glyphs = []
    for c, weight in zip(chars, weights, strict=True):
        x, y, angle = curve.at(position + share * weight / 2)
        position += share * weight
        glyphs.append(Glyph(c, spec.width_mm / 2 + x, spec.height_mm / 2 + y, angle, size[0] * weight, size[1]))
    return glyphs


def _crowded(p: Glyph, q: Glyph) -> bool:
    """Whether p's right foot or shoulder reaches into its right-hand neighbour, seen along the bisector of the two."""
    middle = math.radians((p.angle + q.angle) / 2)
    ux, uy = math.cos(middle), math.sin(middle)
    return max(x * ux + y * uy for x, y in corners(p)) > min(x * ux + y * uy for x, y in corners(q))


def _mean_radius(a: float, b: float) -> float:
    return math.sqrt((a * a + b * b) / 2)


class _EllipseArc:
    """Points on an ellipse by arc length from the top, clockwise; for a circle the argument is simply the angle."""

    STEPS = 2048

    def __init__(self, a: float, b: float) -> None:
        self.a, self.b = a, b
        self._mean = 1.0
        lengths = [0.0]
        for i in range(self.STEPS):
            t0, t1 = (math.pi * j / self.STEPS for j in (i, i + 1))
            lengths.append(lengths[-1] + math.hypot(a * (math.sin(t1) - math.sin(t0)), b * (math.cos(t1) - math.cos(t0))))
        self._lengths = lengths

    def at(self, share: float) -> tuple[float, float, float]:
        """``(x, y, angle)`` relative to the centre; ``share`` runs from -π to π over the whole ellipse; angle in degrees."""
        want = abs(share) / math.pi * self._lengths[-1]
        low, high = 0, self.STEPS
        while high - low > 1:
            mid = (low + high) // 2
            low, high = (mid, high) if self._lengths[mid] <= want else (low, mid)
        step = self._lengths[high] - self._lengths[low]
        t = math.copysign(math.pi * (low + (want - self._lengths[low]) / step) / self.STEPS, share)
        # Outward normal of the ellipse, as a turn away from straight up.
        angle = math.degrees(math.atan2(math.sin(t) * self.b, math.cos(t) * self.a))
        return self.a * math.sin(t), -self.b * math.cos(t), angle


def _lines(spec: PictureSpec, arc: Sequence[Glyph]) -> list[Glyph]:
    """Centre text, lower line and 样本, each horizontal and centred, squeezed to the room between the arc's two ends."""
    small = spec.height_mm
    texts = [t for t in (spec.lower, SAMPLE_MARK if spec.sample else "") if t]
    rows: list[tuple[str, float, float]] = []  # text, centre y below the middle, height
    if spec.shape is Shape.OVAL:
        if spec.centre:
            rows.append((spec.centre, 0.02 * small, 0.115 * small))
        places = [(0.22, 0.13), (0.365, 0.088)] if len(texts) == 2 else [(0.27, 0.13)]
    else:
        if spec.centre:
            rows.append((spec.centre, 0.0, 0.1 * small))
        places = [(0.25, 0.092), (0.355, 0.07)] if len(texts) == 2 else [(0.285, 0.092)]
    rows += [(text, at * small, height * small) for text, (at, height) in zip(texts, places, strict=False)]
    return [g for text, at, height in rows for g in _row(spec, arc, text, at, height)]


def _row(spec: PictureSpec, arc: Sequence[Glyph], text: str, at: float, height: float) -> list[Glyph]:
    chars = _clusters(text)
    weights = [_weight(c) for c in chars]
    room = 2 * _half_room(spec, arc, at, height)
    pitch = min(height * 1.06, room / sum(weights))
    # Gap of 6 %; where the room is scarce characters get slimmer down to half, then lower as well.
    width = pitch * 0.94
    height = min(height, width / _SLIM)
    x = spec.width_mm / 2 - pitch * sum(weights) / 2
    y = spec.height_mm / 2 + at
    out = []
    for c, weight in zip(chars, weights, strict=True):
        out.append(Glyph(c, x + pitch * weight / 2, y, 0.0, width * weight, height))
        x += pitch * weight
    return out


def _half_room(spec: PictureSpec, arc: Sequence[Glyph], at: float, height: float) -> float:
    """Half the free width (mm) of a row of ``height`` centred ``at`` mm below the middle, clear of rim and arc characters."""
    clear = 0.03 * spec.height_mm
    a, b = spec.width_mm / 2 - spec.rim_mm - clear, spec.height_mm / 2 - spec.rim_mm - clear
    low = min(abs(at) + height / 2, b * 0.98)
    free = a * math.sqrt(1 - (low / b) ** 2)
    for g in arc:
        for x, y in corners(g):
            if abs(y - spec.height_mm / 2 - at) < height / 2 + clear:
                free = min(free, abs(x - spec.width_mm / 2) - clear)
        # A cell may straddle the row without a corner inside it.
        if abs(g.y - spec.height_mm / 2 - at) < height / 2:
            free = min(free, abs(g.x - spec.width_mm / 2) - math.hypot(g.w, g.h) / 2 - clear / 2)
    return max(free, 2.0)


def corners(g: Glyph) -> list[tuple[float, float]]:
    """The four corners of a character's turned cell (mm)."""
    cos, sin = math.cos(math.radians(g.angle)), math.sin(math.radians(g.angle))
    halves = ((-g.w / 2, -g.h / 2), (g.w / 2, -g.h / 2), (g.w / 2, g.h / 2), (-g.w / 2, g.h / 2))
    return [(g.x + dx * cos - dy * sin, g.y + dx * sin + dy * cos) for dx, dy in halves]


def _square(spec: PictureSpec) -> list[Glyph]:
    """A personal name seal: columns from right to left, read from top to bottom; three characters put the family name alone."""
    chars = _clusters(spec.name)
    n = len(chars)
    if n > 8:
        raise BadPicture("A square name seal holds at most eight characters.", "方形名章最多八个字。")
    rows = 1 if n <= 2 else 2 if n <= 4 else math.ceil(n / 2)
    columns = [chars[i : i + rows] for i in range(0, n, rows)] if n != 3 else [chars[:1], chars[1:]]
    inset = spec.rim_mm + 0.05 * spec.width_mm
    foot = 0.15 * spec.height_mm if spec.sample else 0.0
    width, height = (spec.width_mm - 2 * inset) / len(columns), spec.height_mm - 2 * inset - foot
    out = []
    for i, column in enumerate(columns):
        x = spec.width_mm - inset - width * (i + 0.5)
        cell = height / len(column)
        out += [Glyph(c, x, inset + cell * (j + 0.5), 0.0, width * 0.94, cell * 0.94) for j, c in enumerate(column)]
    if spec.sample:
        size = foot * 0.85
        y = spec.height_mm - inset - foot / 2 + 0.02 * spec.height_mm
        out += [Glyph(c, spec.width_mm / 2 + (i - 0.5) * size * 1.4, y, 0.0, size, size) for i, c in enumerate(SAMPLE_MARK)]
    return out


# --- drawing ----------------------------------------------------------------------------------------------------------

_TEMPLATE = Template(Path(__file__).parent / "templates" / "seal.typ")


@lru_cache(maxsize=256)
def draw(spec: PictureSpec) -> Picture:
    """Draw a seal (15 ms for the vectors, 60 ms for the 600-dpi PNG; drawn once, then kept).

    :raises BadPicture: see :func:`layout`; also a character that no installed font has
    :raises FontsMissing: the machine lacks the Song typeface
    """
    geometry = layout(spec)
    star = geometry.star
    data = {
        "title": spec.name,
        "width": spec.width_mm,
        "height": spec.height_mm,
        "shape": spec.shape.value,
        "rim": spec.rim_mm,
        "corner": 0.06 * spec.width_mm,
        "color": SEAL_RED,
        "font": SONG,
        "star": {"x": star[0], "y": star[1], "r": star[2]} if star else None,
        "glyphs": [asdict(g) for g in geometry.glyphs],
    }
    try:
        pdf = _TEMPLATE.render(data, tags=False)
    except CannotTypeset as exc:
        raise BadPicture(
            f"The seal cannot be drawn, probably for a rare character that no installed font has ({exc.message})",
            f"无法绘制印章，可能含有字库以外的生僻字（{exc.message_zh}）",
        ) from exc
    png = _TEMPLATE.render(data, format="png", ppi=_PNG_PPI)
    svg = _TEMPLATE.render(data, format="svg")
    return Picture(spec.width_mm, spec.height_mm, pdf, png, svg, hashlib.sha256(pdf).hexdigest())


def imported(png: bytes, *, width_mm: float, height_mm: float) -> Picture:
    """A picture of a real seal, for kinds that we do not draw (the national emblem): a PNG, wrapped at true size.

    :param png: at most 4 MB, at least 200 pixels on its shorter side; alpha is kept
    :raises BadPicture: not such a PNG, or a size outside 10 to 60 mm
    """
    wide, high = _png_size(png)
    ratio_off = abs(wide / high - width_mm / height_mm) > 0.02 if high else True
    if not (10 <= width_mm <= 60 and 10 <= height_mm <= 60) or min(wide, high) < 200 or max(wide, high) > 4096 or ratio_off:
        raise BadPicture(
            "An imported seal picture is a PNG of 200 to 4096 pixels a side whose proportions match 10 to 60 millimetres.",
            "导入的印章图像须为 PNG，边长 200 至 4096 像素，比例与 10 至 60 毫米的尺寸一致。",
        )
    data = {"width": width_mm, "height": height_mm, "png": list(png)}
    try:
        pdf = _IMPORTED.render(data, tags=False)
        svg = _IMPORTED.render(data, format="svg")
    except CannotTypeset as exc:
        raise BadPicture("The PNG cannot be read.", "无法读取该 PNG。") from exc
    return Picture(width_mm, height_mm, pdf, png, svg, hashlib.sha256(pdf).hexdigest())


_IMPORTED = Template(Path(__file__).parent / "templates" / "imported.typ")


def _png_size(png: bytes) -> tuple[int, int]:
    if len(png) > 4 << 20 or png[:8] != b"\x89PNG\r\n\x1a\n" or png[12:16] != b"IHDR":
        return 0, 0
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def page_box_mm(pdf: bytes) -> tuple[float, float]:
    """Width and height of a picture's page in millimetres, for checks."""
    with pikepdf.open(BytesIO(pdf)) as doc:
        box = [float(v) for v in doc.pages[0].mediabox.as_list()]
    return (box[2] - box[0]) / POINTS_PER_MM, (box[3] - box[1]) / POINTS_PER_MM
