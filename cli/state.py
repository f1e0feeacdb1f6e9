"""What the global options say, for every command of one run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


def default_home() -> Path:
    """``XINYIN_HOME``, else ``~/.local/share/xinyin`` (design: Interfaces that stay put)."""
    named = os.environ.get("XINYIN_HOME")
    return Path(named).expanduser() if named else Path.home() / ".local" / "share" / "xinyin"


def default_lang() -> str:
    """``zh`` or ``en`` after the locale; ``both`` where it names neither (for example LANG=C)."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "").lower()
        if value:
            return "zh" if value.startswith("zh") else "en" if value.startswith("en") else "both"
    return "both"


@dataclass
class State:
    """One run's global options. ``account`` None is the node's local operator; ``matter`` None is ``default``."""

    home: Path = field(default_factory=default_home)
    json: bool = False
    account: str | None = None
    matter: str | None = None
    lang: str = field(default_factory=default_lang)

    def pick(self, zh: str, en: str) -> str:
        """The sentence in the run's language; both, Chinese first, where the locale names none."""
        if self.lang == "zh" or not en:
            return zh
        if self.lang == "en" or not zh:
            return en
        return zh if zh == en else f"{zh}\n{en}"


STATE = State()
