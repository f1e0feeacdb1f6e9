"""The pages' sentences: one TOML catalogue with Chinese and English side by side."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path

LANGUAGES = ("zh", "en")


@lru_cache(maxsize=1)
def catalogue() -> dict[str, dict[str, str]]:
    """``{key: {"zh": …, "en": …}}``."""
    return tomllib.loads((Path(__file__).parent / "texts.toml").read_text("utf-8"))


def text(lang: str, key: str, **values: object) -> str:
    """The sentence ``key`` in ``lang``; a key that the catalogue lacks is a programming error and raises KeyError."""
    sentence = catalogue()[key][lang]
    return sentence.format(**values) if values else sentence
