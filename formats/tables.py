"""Cells of tables that people open with a spreadsheet."""

from __future__ import annotations

from typing import Any

_BEGINS = frozenset("=+-@\t\r\n＝＋－＠")
"""What a spreadsheet takes for a formula, in half and in full width, and what hides the one behind it."""


def cell(value: Any) -> str:
    """The value as text that no spreadsheet takes for a formula: an apostrophe in front where it would. None is empty."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip(" \u3000\ufeff")[:1] in _BEGINS and text.strip() else text
