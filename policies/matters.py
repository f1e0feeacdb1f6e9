"""Matters 事项 as data (``matters.toml``): which steps an application of each goes through, and who may seal."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crypto.errors import Misconfigured

SHIPPED = Path(__file__).parent / "matters.toml"
STEPS = ("review", "countersign", "sign-off", "seal", "deliver")
"""What may follow the application itself (handle 经办), in this order."""


class BadMatters(Misconfigured):
    """A matter is described in a way that cannot be followed."""

    code = "bad-matters"


@dataclass(frozen=True)
class Matter:
    """One matter: ``countersigners`` are social credit codes, or None where the application names them."""

    code: str
    zh: str
    en: str
    steps: tuple[str, ...]
    sealers: tuple[str, ...]
    copies: int
    documents: int
    countersigners: tuple[str, ...] | None = ()
    in_turn: bool = False
    instant: str | None = None
    """The Cedar rule that may stand for the sign-off 秒批."""
    known: bool = True
    """False for a code that no policy lists: it takes the steps of the default."""


class Matters:
    """Every matter that the policy knows. :meth:`of` answers for any code."""

    def __init__(self, known: Mapping[str, Matter]) -> None:
        self._known = dict(known)

    @classmethod
    def load(cls, *files: Path) -> Matters:
        """The shipped matters, then those of ``files``, which add and replace; files that are not there are passed over.

        :raises BadMatters: steps in no sensible order, no names, a countersigning step without departments
        """
        base: dict[str, Any] = {}
        described: dict[str, dict[str, Any]] = {}
        for file in (SHIPPED, *(f for f in files if f.exists())):
            data = _parsed(file)
            base |= data.get("default", {})
            for code, entry in data.get("matters", {}).items():
                described[code] = described.get(code, {}) | entry
        known = {"default": _matter("default", base)}
        known |= {code: _matter(code, {**base, **entry}) for code, entry in described.items()}
        return cls(known)

    def of(self, code: str) -> Matter:
        """The matter with this code; one that is not listed takes the default's steps under its own code."""
        found = self._known.get(code)
        return found or replace(self._known["default"], code=code, zh=code, en=code, known=False)

    def all(self) -> list[Matter]:
        """In the order of the policy, the default one first."""
        return list(self._known.values())


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise _bad(file.name, f"it is no TOML ({exc})") from exc


def _matter(code: str, data: Mapping[str, Any]) -> Matter:
    try:
        countersign = data.get("countersign", {})
        departments = countersign.get("departments", [])
        matter = Matter(
            code=code,
            zh=data["zh"],
            en=data["en"],
            steps=tuple(data["steps"]),
            sealers=tuple(data["sealers"]),
            copies=int(data["copies"]),
            documents=int(data["documents"]),
            countersigners=None if departments == "named" else tuple(departments),
            in_turn=countersign.get("order", "parallel") == "turn",
            instant=data.get("instant"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise _bad(code, f"something is missing or of the wrong kind ({exc})") from exc
    if [step for step in STEPS if step in matter.steps] != list(matter.steps) or "sign-off" not in matter.steps:
        raise _bad(code, f"its steps must be out of {', '.join(STEPS)}, in this order, with sign-off")
    if ("countersign" in matter.steps) != (matter.countersigners is None or bool(matter.countersigners)):
        raise _bad(code, "a countersigning step and its departments go together")
    return matter


def _bad(name: str, why: str) -> BadMatters:
    return BadMatters(
        f"The matter {name} cannot be used: {why}. Mend policies/matters.toml or the node's matters.toml.",
        f"事项 {name} 的配置无法使用；请修正 policies/matters.toml 或节点目录中的 matters.toml。",
        matter=name,
        why=why,
    )
