"""Documents as offices write them, set with Typst: a body, an organ with its date, and whatever a test wants to go wrong."""

from __future__ import annotations

from functools import cache

import typst

ORGAN = "云江市行政审批局"


@cache
def office_document(
    body: str = "特此批复。",
    *,
    organ: str = ORGAN,
    date: str = "2026 年 11 月 20 日",
    width_mm: float = 210,
    height_mm: float = 297,
    after: str = "",
) -> bytes:
    """A PDF of one page or more. ``body`` and ``after`` are Typst markup; without organ and date nothing waits for a seal."""
    signed = f"#align(right)[#box(width: 70mm)[#align(center)[{organ} \\ {date}]]]" if organ or date else ""
    source = f"""
    #set document(title: "样本")
    #set page(width: {width_mm}mm, height: {height_mm}mm, margin: 25mm)
    #set text(font: ("Noto Serif CJK SC",), size: 14pt, lang: "zh")
    #align(center)[样本 关于同意设立服务站的批复]
    {body}
    #v(20mm)
    {signed}
    {after}
    """
    return bytes(typst.compile(source.encode()))
