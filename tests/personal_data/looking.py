"""Looking for marked data in whatever a surface gives: pages, JSON, PDF, codes, tokens, in the forms that hide text there."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from html import unescape
from typing import Any

import pikepdf
import pypdfium2

from tests.personal_data.marks import Datum

FULL, MASKED, NOTHING = "●", "◐", "–"


def found(text: str, datum: Datum) -> str:
    """How much of a datum a text tells: all of it, its masked form, or nothing."""
    squeezed = re.sub(r"\s", "", text)

    def holds(values: tuple[str, ...]) -> bool:
        return any(re.sub(r"\s", "", one) in squeezed for one in values)

    return FULL if holds(datum.full) else MASKED if holds(datum.masked) else NOTHING


def of_page(html: str) -> str:
    """What a page tells, in its text and its attributes; and what is written inside base64 of it."""
    return unescape(html) + _inside(html)


def of_json(answer: str) -> str:
    """What a JSON answer tells, whatever its escapes."""
    return json.dumps(json.loads(answer), ensure_ascii=False) + _inside(answer)


def of_pdf(data: bytes) -> str:
    """What a PDF tells: the text of its pages, its attachments, and every stream and string of it."""
    parts = []
    with pypdfium2.PdfDocument(data) as pdf:
        parts += [page.get_textpage().get_text_bounded() for page in pdf]
    with pikepdf.open(io.BytesIO(data)) as document:
        parts += [one.get_file().read_bytes().decode("utf-8", "replace") for one in document.attachments.values()]
        for item in document.objects:
            if isinstance(item, pikepdf.Stream) and item.get("/Subtype") != "/Image":
                parts.append(item.read_bytes().decode("utf-8", "replace"))
            elif isinstance(item, pikepdf.String):
                parts.append(str(item))
    return "\n".join(parts) + data.decode("utf-8", "ignore")


def of_value(value: Any) -> str:
    """What an object tells by its fields."""
    return f"{value!r}{value}"


def _inside(text: str) -> str:
    """The contents of everything in a text that may be base64url of something readable."""
    parts = []
    for one in set(re.findall(r"[A-Za-z0-9_\-]{24,}", text)):
        try:
            parts.append(base64.urlsafe_b64decode(one + "=" * (-len(one) % 4)).decode("utf-8", "ignore"))
        except (binascii.Error, ValueError):
            continue
    return "\n".join(parts)
