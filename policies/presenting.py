"""What licences are shown for (``presenting.toml``): the matters 事项 of counters, banks and other regions, by code.

One list for grants, annotated copies, verifications, receipts, rules of recognition and enquiries: a code means the same
wherever it turns up. :mod:`policies.matters` is about something else: the steps of applications inside a department.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from crypto.errors import BadInput, Misconfigured

SHIPPED = Path(__file__).parent / "presenting.toml"
OWN = "presenting.toml"
"""Of a node, in its home: adds matters, or rewords the shipped ones."""

_CODE = re.compile(r"[a-z][a-z0-9-]{1,62}[a-z0-9]")


class BadPresenting(Misconfigured):
    """A matter of ``presenting.toml`` that cannot be used."""

    code = "bad-presenting"


class UnknownMatter(BadInput):
    """A code that no list of matters has."""

    code = "unknown-matter"


@dataclass(frozen=True)
class Matter:
    """Something a licence is shown for; ``zh`` and ``en`` name it for people."""

    code: str
    zh: str
    en: str


@lru_cache(maxsize=16)
def matters(home: Path | None = None) -> dict[str, Matter]:
    """Every matter by its code, in the order of the files: the shipped ones, then those of a node's ``HOME/presenting.toml``.

    Read once a home; a node that adds a matter is restarted.

    :raises BadPresenting: no TOML, a code that is none, a name missing
    """
    found = _read(SHIPPED)
    if home is not None and (home / OWN).is_file():
        found |= _read(home / OWN)
    return found


def matter(code: str, home: Path | None = None) -> Matter:
    """The matter with this code.

    :raises UnknownMatter: none has it; the message lists those that there are
    """
    known = matters(home)
    if code not in known:
        raise UnknownMatter(
            f"There is no matter {code[:64]!r}; choose one of {', '.join(known)}.",
            f"没有代码为“{code[:64]}”的事项；可选：{'、'.join(f'{one.zh}（{one.code}）' for one in known.values())}。",
            matter=code[:64],
        )
    return known[code]


def _read(file: Path) -> dict[str, Matter]:
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise _bad(file, f"it is no TOML ({exc})") from exc
    if set(data) - {"matters"} or not isinstance(data.get("matters", {}), dict):
        raise _bad(file, "it holds [matters.CODE] and nothing else")
    return {code: _matter(file, code, entry) for code, entry in data.get("matters", {}).items()}


def _matter(file: Path, code: str, entry: Any) -> Matter:
    if not _CODE.fullmatch(code):
        raise _bad(file, f"the code {code!r} is not lower-case letters, digits and hyphens")
    if not isinstance(entry, dict) or set(entry) != {"zh", "en"} or not all(isinstance(t, str) and t for t in entry.values()):
        raise _bad(file, f"the matter {code} needs the names zh and en, and nothing else")
    return Matter(code, entry["zh"], entry["en"])


def _bad(file: Path, why: str) -> BadPresenting:
    return BadPresenting(f"The matters in {file} cannot be used: {why}.", f"事项清单 {file} 无法使用：{why}。", why=why)
