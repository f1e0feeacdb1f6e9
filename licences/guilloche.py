"""The frame of a licence and the pale rosette behind its text: guilloche as SVG.

The files in :data:`FRAMES` are what :func:`svg` returns for them (a test compares): Typst reads and keeps a file, while curves
computed in the template are computed anew for each licence and cost ten times as much as the rest of the page. After a change:
``python -m licences.guilloche``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "templates" / "guilloche.svg"


@dataclass(frozen=True)
class Frame:
    """Size in millimetres, the colours of frame and rosette, and where the rosette's centre stands."""

    width: float
    height: float
    ink: str
    pale: str
    rosette: tuple[float, float]


LANDSCAPE = Frame(297.0, 210.0, "#a8823c", "#f3ead6", (297.0 / 2, 112.0))
PORTRAIT = Frame(210.0, 297.0, "#3f7f63", "#e3efe8", (105.0, 150.0))
FRAMES = {FILE: LANDSCAPE, FILE.with_name("guilloche-portrait.svg"): PORTRAIT}
_OUTER, _BAND = 8.0, 7.5
_INNER, _MIDDLE = _OUTER + _BAND, _OUTER + _BAND / 2

Point = tuple[float, float]


def svg(frame: Frame = LANDSCAPE) -> str:
    """A4 in millimetres: three rules, four shifted waves between them, rosettes in the corners and the middle."""
    width, height = frame.width, frame.height
    far = {0: width - _MIDDLE, 1: height - _MIDDLE}
    lines = []
    for k in range(4):
        phase = k * math.pi / 2
        lines += [_wave(_INNER, y, width - 2 * _INNER, phase) for y in (_MIDDLE, far[1])]
        lines += [_wave(x, _INNER, height - 2 * _INNER, phase, vertical=True) for x in (_MIDDLE, far[0])]
    lines += [_rosette(x, y, 3.4, petals=8, turns=3) for x in (_MIDDLE, far[0]) for y in (_MIDDLE, far[1])]
    rules = [
        _path(_rectangle(frame, inset), line, frame.ink) for inset, line in ((_OUTER, 0.5), (_INNER, 0.25), (_INNER + 1, 0.09))
    ]
    parts = [
        _path(_rosette(*frame.rosette, 58, petals=24, turns=6), 0.11, frame.pale),
        _path("".join(lines), 0.1, frame.ink),
        *rules,
    ]
    box = f"{width:g} {height:g}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {box}">' + "".join(parts) + "</svg>\n"


def _smooth(origin: Point, points: Sequence[Point], slopes: Sequence[Point]) -> str:
    """Path data through the points: cubic Béziers with the true slopes at each, of which four to a period please the eye."""
    x, y = origin
    out = [f"M{_n(x + points[0][0])} {_n(y + points[0][1])}"]
    for i in range(len(points) - 1):
        (ax, ay), (bx, by), (au, av), (bu, bv) = points[i], points[i + 1], slopes[i], slopes[i + 1]
        numbers = (ax + au / 3, ay + av / 3, bx - bu / 3, by - bv / 3, bx, by)
        out.append("C" + " ".join(_n(v + (y if k % 2 else x)) for k, v in enumerate(numbers)))
    return "".join(out)


def _wave(x: float, y: float, length: float, phase: float, *, vertical: bool = False) -> str:
    amplitude, period = 2.7, 8.9
    count = round(length / period) * 4

    def turned(along: float, across: float) -> Point:
        return (across, along) if vertical else (along, across)

    angles = [i * math.pi / 2 + phase for i in range(count + 1)]
    points = [turned(i / count * length, amplitude * math.sin(a)) for i, a in enumerate(angles)]
    slopes = [turned(length / count, amplitude * math.cos(a) * math.pi / 2) for a in angles]
    return _smooth((x, y), points, slopes)


def _rosette(x: float, y: float, r: float, *, petals: int, turns: int) -> str:
    step = math.pi / 2 / petals
    angles = [i * step for i in range(petals * 4 + 1)]
    out = []
    for k in range(turns):
        phase = k * 2 * math.pi / turns
        radii = [r * (0.72 + 0.28 * math.cos(petals * a + phase)) for a in angles]
        changes = [-r * 0.28 * petals * math.sin(petals * a + phase) for a in angles]
        polar = list(zip(angles, radii, changes, strict=True))
        points = [(radius * math.cos(a), radius * math.sin(a)) for a, radius, _ in polar]
        slopes = [
            (step * (change * math.cos(a) - radius * math.sin(a)), step * (change * math.sin(a) + radius * math.cos(a)))
            for a, radius, change in polar
        ]
        out.append(_smooth((x, y), points, slopes))
    return "".join(out)


def _rectangle(frame: Frame, inset: float) -> str:
    return f"M{_n(inset)} {_n(inset)}H{_n(frame.width - inset)}V{_n(frame.height - inset)}H{_n(inset)}Z"


def _path(data: str, width: float, colour: str) -> str:
    return f'<path d="{data}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    for _file, _frame in FRAMES.items():
        _file.write_text(svg(_frame), encoding="utf-8")
