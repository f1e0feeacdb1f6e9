"""Typst, held ready: one compiler a template, fonts read once.

Values reach a template as ``sys.inputs`` strings, never as source, so a name such as ``#read("/etc/passwd")`` is drawn as
those characters. Templates read nothing outside their own folder (``root``), and no packages are fetched.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import typst

from crypto.errors import Misconfigured, Unprocessable

SONG = "Noto Serif CJK SC"
HEI = "Noto Sans CJK SC"

# Typst writes this as creation date unless told otherwise: the same input gives the same bytes.
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


class FontsMissing(Misconfigured):
    """The machine lacks the typefaces that seals and licences are set in."""

    code = "fonts-missing"


class CannotTypeset(Unprocessable):
    """Typst refused: in PDF/A mode for instance a character that no installed font has."""

    code = "cannot-typeset"


@cache
def fonts() -> Any:
    """The installed fonts, scanned once (about 60 ms).

    :raises FontsMissing: no Song or Hei typeface with simplified Chinese
    """
    found = typst.Fonts(include_system_fonts=True, include_embedded_fonts=True)
    missing = {SONG, HEI} - set(found.families())
    if missing:
        names = ", ".join(sorted(missing))
        raise FontsMissing(
            f"The typefaces {names} are not installed; run: apt-get install fonts-noto-cjk",
            f"未安装字体 {names}；请运行：apt-get install fonts-noto-cjk",
            missing=sorted(missing),
        )
    return found


class Template:
    """One ``.typ`` file with its compiler. Threads take turns: a compiler is not for two at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._compiler: Any = None

    def _ready(self) -> Any:
        if self._compiler is None:
            self._compiler = typst.Compiler(self.path, root=self.path.parent, font_paths=fonts(), ignore_system_fonts=True)
        return self._compiler

    def render(
        self,
        inputs: Mapping[str, Any],
        *,
        format: str = "pdf",
        ppi: float | None = None,
        standard: str | None = "a-3b",
        tags: bool = True,
        at: datetime = EPOCH,
    ) -> bytes:
        """The rendered document; ``inputs`` are handed over as one JSON string, ``sys.inputs.data``.

        :param format: ``pdf``, ``svg`` or ``png`` (the first page)
        :param ppi: pixels an inch for ``png``
        :param at: the creation date inside a PDF, to the second
        :raises CannotTypeset: Typst refuses; the sentence carries its message
        :raises FontsMissing: see :func:`fonts`
        """
        options: dict[str, Any] = {"format": format, "sys_inputs": {"data": json.dumps(inputs, ensure_ascii=False)}}
        if format == "pdf":
            options.update(pdf_standards=[standard] if standard else [], pdf_tags=tags, timestamp=at.replace(microsecond=0))
        if ppi is not None:
            options["ppi"] = ppi
        with self._lock:
            compiler = self._ready()
            try:
                out = compiler.compile(**options)
            except typst.TypstError as exc:
                raise CannotTypeset(
                    f"The document cannot be typeset: {exc.message}. Check the text for rare characters.",
                    f"无法排版：{exc.message}。请检查是否含有字库以外的生僻字。",
                    template=self.path.name,
                ) from exc
        return out[0] if isinstance(out, list) else bytes(out)
