"""Cases that hold the rules to what they are meant to say: who, what, to which object, in which circumstances, and the answer.

``tests/*.toml`` beside the rules::

    [[case]]
    name = "经办人不得签发自己经办的申请"
    who = "signer"                       # of tests/who.toml, or {roles = […], departments = […], kind = …}
    action = "application.sign-off"      # or several: ["seal.suspend", "seal.resume"]
    mode = "production"                  # default: both
    resource = {department = "market"}
    context = {handler = "account_signer"}
    deny = "nobody-signs-off-their-own"  # the rule that must decide; or allow = "…"; "no-permit" where none permits
    closest = "…"                        # with no-permit: the permit that the reason should name
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crypto.errors import BadInput
from policies.authorise import MODES, Authoriser, Decision

CASES = Path(__file__).parent / "tests"
REGION = "310000"
_PEOPLE = "who.toml"
_FIELDS = {"name", "who", "action", "mode", "resource", "context", "allow", "deny", "closest"}


class BadCase(BadInput):
    """A case file that cannot be used."""

    code = "bad-policy-case"


@dataclass(frozen=True)
class Someone:
    """A principal of a case: what the rules need to know of whoever acts, or stands in."""

    id: str
    kind: str = "staff"
    roles: frozenset[str] = frozenset()
    departments: frozenset[str] = frozenset()
    region: str = REGION
    on_behalf_of: str | None = None
    delegation: str | None = None
    matters: frozenset[str] = frozenset()
    stand_ins: tuple[Someone, ...] = ()


@dataclass(frozen=True)
class Case:
    """One question with its answer. ``rule`` is what must decide, ``closest`` (may be None) what a denial must name."""

    name: str
    file: str
    who: Someone
    action: str
    mode: str
    resource: Mapping[str, Any]
    context: Mapping[str, Any]
    allowed: bool
    rule: str
    closest: str | None


@dataclass(frozen=True)
class Outcome:
    """A case and what the rules answered."""

    case: Case
    decision: Decision

    @property
    def ok(self) -> bool:
        """Whether the answer, the rule that made it and the rule that it names are the expected ones."""
        said, wanted = self.decision, self.case
        same = (said.allowed, said.rule) == (wanted.allowed, wanted.rule)
        return same and wanted.closest in (None, said.closest)


def load(folder: Path = CASES, files: Iterable[Path] = ()) -> list[Case]:
    """The cases of ``files``, or of every file in ``folder``; people are those of ``folder``.

    :raises BadCase: a file that cannot be read, a field that is unknown or missing, a person nobody knows
    """
    people = _read(folder / _PEOPLE).get("who", {})
    chosen = list(files) or [path for path in sorted(folder.glob("*.toml")) if path.name != _PEOPLE]
    return [case for path in chosen for case in _cases(path, people)]


def run(cases: Iterable[Case], authorisers: Mapping[str, Authoriser]) -> list[Outcome]:
    """Ask the rules each case; ``authorisers`` by mode."""
    return [Outcome(case, authorisers[case.mode].decide(case.who, case.action, case.resource, case.context)) for case in cases]


def without_case(outcomes: Iterable[Outcome], rules: Iterable[str]) -> list[str]:
    """The rules that no case is decided by."""
    decided = {outcome.decision.rule for outcome in outcomes}
    return sorted(set(rules) - decided)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise _bad(path, str(exc)) from exc


def _cases(path: Path, people: Mapping[str, Any]) -> Iterable[Case]:
    document = _read(path)
    known = {**people, **document.get("who", {})}
    for number, entry in enumerate(document.get("case", []), 1):
        if set(entry) - _FIELDS or not {"name", "who", "action"} <= set(entry) or ("allow" in entry) == ("deny" in entry):
            raise _bad(path, f"case {number} needs name, who, action and one of allow and deny, and knows {sorted(_FIELDS)}")
        actions = [entry["action"]] if isinstance(entry["action"], str) else entry["action"]
        for mode in [entry["mode"]] if "mode" in entry else MODES:
            for action in actions:
                yield Case(
                    entry["name"],
                    path.name,
                    _someone(path, entry["who"], known),
                    action,
                    mode,
                    {"region": REGION, **entry.get("resource", {})},
                    entry.get("context", {}),
                    "allow" in entry,
                    entry.get("allow", entry.get("deny")),
                    entry.get("closest"),
                )


def _someone(path: Path, named: str | Mapping[str, Any], known: Mapping[str, Any]) -> Someone:
    if isinstance(named, str):
        if named not in known:
            raise _bad(path, f"nobody is called {named}")
        return _person(f"account_{named}", known[named])
    return _person("account_somebody", named)


def _person(name: str, facts: Mapping[str, Any]) -> Someone:
    return Someone(
        facts.get("id", name),
        facts.get("kind", "staff"),
        frozenset(facts.get("roles", ())),
        frozenset(facts.get("departments", ())),
        facts.get("region", REGION),
        facts.get("on_behalf_of"),
        facts.get("delegation"),
        frozenset(facts.get("matters", ())),
        tuple(_person(facts.get("id", name), one) for one in facts.get("stand_ins", ())),
    )


def _bad(path: Path, why: str) -> BadCase:
    return BadCase(f"The cases in {path.name} cannot be used: {why}.", f"规则用例文件 {path.name} 无法使用：{why}。", why=why)
