"""Whose licences count here, and for what: rules of recognition 互认 in Cedar, each region's own, in ``HOME/recognition``.

A rule speaks of a licence type, the region that issued it and the matter it is shown for; Cedar's three places hold them::

    @id("shanghai-business-licence-opens-accounts")
    @zh("上海市签发的营业执照，可用于在本省开立银行账户。")
    @en("A business licence issued in Shanghai is good for opening a bank account here.")
    @basis("《长三角地区电子证照互认合作协议（样本）》第三条")
    @local_type("11100000MB0143028R001")
    permit (
      principal in Region::"310000",
      action == Action::"open-bank-account",
      resource == LicenceType::"11100000MB0143028R001"
    ) when { context.at < datetime("2028-01-01T00:00:00+0800") };

``permit`` accepts; with ``@conditions_zh`` and ``@conditions_en`` it accepts on these conditions; ``forbid`` refuses. A
refusal prevails over everything, a condition over plain acceptance, and where no rule speaks nothing is recognised. The actions
are the matters of :mod:`policies.presenting`, so that a mistyped one is found when the rules are read. A document that is no
licence has the type ``sealed-document``.
"""

from __future__ import annotations

import json
import threading
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import cedarpy

from crypto.errors import BadInput, Misconfigured
from formats.dates import BEIJING, shown_time
from policies.presenting import matters
from policies.recognised import OUTCOMES as OUTCOMES
from policies.recognised import OWN_REGION as OWN_REGION
from policies.recognised import SEALED_DOCUMENT as SEALED_DOCUMENT
from policies.recognised import Recognition as Recognition

FOLDER = "recognition"
"""Of a node, in its home: ``*.cedar`` and ``tests/*.toml``."""
UNREADABLE = "rules-unreadable"

_MAX_RULES = 256 * 1024
_NEEDED = ("id", "zh", "en", "basis")
_KNOWN = {*_NEEDED, "local_type", "conditions_zh", "conditions_en"}
_CASE = {"name", "type", "region", "matter", "at", "outcome", "rule"}


class BadRecognition(Misconfigured):
    """The rules of recognition contradict their form."""

    code = "bad-recognition"


class BadRecognitionCase(BadInput):
    """A case file for rules of recognition that cannot be used."""

    code = "bad-recognition-case"


@dataclass(frozen=True)
class RecognitionRule:
    """A rule as people read it. ``matters`` None: every matter; ``types`` and ``regions`` as far as its head names them."""

    id: str
    outcome: str
    zh: str
    en: str
    basis: str
    matters: tuple[str, ...] | None
    regions: str | None
    types: str | None
    local_type: str | None
    conditions: str | None
    conditions_zh: str | None
    file: str


@dataclass(frozen=True)
class Case:
    """One question to the rules with its answer; ``rule`` None: whichever."""

    name: str
    file: str
    type_code: str
    region: str
    matter: str
    at: datetime
    outcome: str
    rule: str | None


@dataclass(frozen=True)
class Outcome:
    """A case and what the rules answered."""

    case: Case
    found: Recognition

    @property
    def ok(self) -> bool:
        """Whether the answer, and the rule that gave it where the case names one, are the expected ones."""
        return self.found.outcome == self.case.outcome and self.case.rule in (None, self.found.rule)


class RecognitionRules:
    """The rules of one folder, parsed once. One instance serves all threads.

    :param known: codes of the matters that rules may name
    :raises BadRecognition: a file that cannot be parsed, a rule without its words, an unknown annotation, entity or matter
    """

    def __init__(self, files: Mapping[str, str], known: Collection[str]) -> None:
        self.files = dict(files)
        self.matters = frozenset(known)
        self.rules: dict[str, RecognitionRule] = {}
        policies: dict[str, Any] = {}
        for name, text in sorted(files.items()):
            for policy in _parsed(name, text):
                rule = _read_rule(policy, name)
                if rule.id in self.rules:
                    raise _bad(f"two rules are called {rule.id} ({self.rules[rule.id].file}, {name})")
                self.rules[rule.id] = rule
                policies[rule.id] = policy
        self._check(policies)
        self._schema = cedarpy.Schema.from_str(_schema(self.matters)) if policies else None
        self._set = cedarpy.PolicySet.from_json_str(_policy_set(policies))

    @classmethod
    def of_folder(cls, folder: Path, known: Collection[str]) -> RecognitionRules:
        """The rules of ``*.cedar`` in a folder; one that is not there has none. Raises as the class does."""
        return cls(read_files(folder), known)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the names and texts of the files: which rules decided, as receipts and the log keep it."""
        return digest_of(self.files)

    def judge(self, type_code: str, region: str, matter: str, at: datetime) -> Recognition:
        """What becomes of a document of this type, issued by this region, for this matter, at this time.

        :param type_code: of the licence (GB/T 36904), or :data:`SEALED_DOCUMENT`
        :param region: GB/T 2260; rules for a province hold for what lies in it where they say ``principal in``
        :param matter: code of :mod:`policies.presenting`
        """
        if self._schema is None or matter not in self.matters or not region:
            return _none()
        answer = cedarpy.is_authorized(
            {
                "principal": _uid("Region", region),
                "action": _uid("Action", matter),
                "resource": _uid("LicenceType", type_code),
                "context": {"at": {"__extn": {"fn": "datetime", "arg": shown_time(at.astimezone(UTC))}}},
            },
            self._set,
            _entities(type_code, region),
            schema=self._schema,
        )
        if answer.diagnostics.errors:
            # A condition that cannot be evaluated recognises nothing.
            return _none()
        spoke = sorted((self.rules[name] for name in answer.diagnostics.reasons), key=_strictest)
        return _said(spoke[0], type_code) if spoke else _none()

    def _check(self, policies: Mapping[str, Any]) -> None:
        if not policies:
            return
        text = cedarpy.policies_from_json_str(_policy_set(policies))
        result = cedarpy.validate_policies(text, _schema(self.matters))
        if not result.validation_passed:
            raise _bad("; ".join(str(getattr(error, "error", error)) for error in result.errors))


class RegionRecognition:
    """A node's word on what other regions issued: ``verify.schemas.RecognitionProvider`` over the rules in its home.

    Own documents need no rule. The files are read again when they change; rules that cannot be read recognise nothing, and
    :meth:`rules` says what is wrong with them.
    """

    def __init__(self, home: Path, region: str) -> None:
        self.folder = home / FOLDER
        self.region = region
        self._home = home
        self._lock = threading.Lock()
        self._read: tuple[object, RecognitionRules | BadRecognition] | None = None

    def rules(self) -> RecognitionRules:
        """The rules as they are on the disk now. :raises BadRecognition: they cannot be used"""
        mark = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in _paths(self.folder))
        with self._lock:
            if self._read is None or self._read[0] != mark:
                try:
                    found: RecognitionRules | BadRecognition = RecognitionRules.of_folder(self.folder, matters(self._home))
                except BadRecognition as exc:
                    found = exc
                self._read = (mark, found)
            kept = self._read[1]
        if isinstance(kept, BadRecognition):
            raise kept
        return kept

    def judge(self, type_code: str, region: str, matter: str, at: datetime) -> Recognition | None:
        """What holds here for a document of ``region``; None where nothing is known of where it comes from."""
        if not region:
            return None
        if region == self.region:
            return Recognition(
                "accept",
                type_code,
                "It was issued in this region and needs no rule of recognition.",
                "由本地区签发，无需互认规则。",
                OWN_REGION,
            )
        try:
            return self.rules().judge(type_code, region, matter, at)
        except BadRecognition:
            return Recognition(
                "none",
                None,
                "The rules of recognition of this node cannot be read; tell its administrator.",
                "本节点的互认规则无法读取；请告知系统管理员。",
                UNREADABLE,
            )


def digest_of(files: Mapping[str, str]) -> str:
    """What stands for files of rules, texts by name."""
    return sha256(json.dumps(dict(files), sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_files(folder: Path) -> dict[str, str]:
    """``*.cedar`` of a folder by name. :raises BadRecognition: one that is no text, or larger than rules are"""
    found = {}
    for path in _paths(folder):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise _bad(f"{path.name} cannot be read ({type(exc).__name__})") from exc
        if len(text) > _MAX_RULES:
            raise _bad(f"{path.name} is larger than {_MAX_RULES} characters")
        found[path.name] = text
    return found


def load_cases(folder: Path, files: Iterable[Path] = ()) -> list[Case]:
    """The cases of ``files``, or of ``tests/*.toml`` in a folder of rules::

        [[case]]
        name = "上海营业执照可开户"
        type = "11100000MB0143028R001"
        region = "310000"
        matter = "open-bank-account"
        at = 2026-12-01            # default: today
        outcome = "accept"         # or conditions, refuse, none
        rule = "…"                 # optional: which rule must have said so

    :raises BadRecognitionCase: a file that cannot be read, a field that is unknown or missing
    """
    chosen = list(files) or sorted((folder / "tests").glob("*.toml"))
    return [case for path in chosen for case in _cases(path)]


def run_cases(rules: RecognitionRules, cases: Iterable[Case]) -> list[Outcome]:
    """Ask the rules each case."""
    return [Outcome(one, rules.judge(one.type_code, one.region, one.matter, one.at)) for one in cases]


def _cases(path: Path) -> Iterable[Case]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise _bad_case(path, str(exc)) from exc
    for number, entry in enumerate(document.get("case", []), 1):
        if set(entry) - _CASE or not _CASE - {"at", "rule"} <= set(entry) or entry["outcome"] not in OUTCOMES:
            raise _bad_case(path, f"case {number} needs name, type, region, matter and outcome ({', '.join(OUTCOMES)})")
        yield Case(
            str(entry["name"]),
            path.name,
            str(entry["type"]),
            str(entry["region"]),
            str(entry["matter"]),
            _moment(path, entry.get("at")),
            entry["outcome"],
            entry.get("rule"),
        )


def _moment(path: Path, value: Any) -> datetime:
    if value is None:
        return datetime.now(UTC)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time(12), BEIJING)
    raise _bad_case(path, "at is a day (2026-12-01), or a time with its zone")


def _parsed(name: str, text: str) -> list[Any]:
    try:
        found = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as exc:
        raise _bad(f"{name} cannot be parsed ({exc})") from exc
    if found.get("templates"):
        raise _bad(f"{name} holds a template; write rules")
    return list(found["staticPolicies"].values())


def _read_rule(policy: Mapping[str, Any], file: str) -> RecognitionRule:
    notes = policy.get("annotations", {})
    name = notes.get("id") or "without @id"
    missing = [f"@{one}" for one in _NEEDED if not notes.get(one)]
    if missing:
        raise _bad(f"the rule {name} in {file} lacks {', '.join(missing)}")
    # A mistyped @conditions_zh would turn "on this condition" into "accepted": nothing unknown is passed over.
    if set(notes) - _KNOWN:
        raise _bad(f"the rule {name} in {file} has annotations that mean nothing: {', '.join(sorted(set(notes) - _KNOWN))}")
    permits, conditions = policy["effect"] == "permit", (notes.get("conditions_en"), notes.get("conditions_zh"))
    if any(conditions) and not (permits and all(conditions)):
        raise _bad(f"the rule {name} in {file}: conditions belong to a permit, and are said in both languages")
    outcome = "refuse" if not permits else "conditions" if conditions[0] else "accept"
    return RecognitionRule(
        id=name,
        outcome=outcome,
        zh=notes["zh"],
        en=notes["en"],
        basis=notes["basis"],
        matters=_actions(policy["action"]),
        regions=_place(policy["principal"]),
        types=_place(policy["resource"]),
        local_type=notes.get("local_type"),
        conditions=conditions[0],
        conditions_zh=conditions[1],
        file=file,
    )


def _actions(scope: Mapping[str, Any]) -> tuple[str, ...] | None:
    if scope["op"] == "All":
        return None
    entities = scope.get("entities") or [scope["entity"]]
    return tuple(str(entity["id"]) for entity in entities)


def _place(scope: Mapping[str, Any]) -> str | None:
    return str(scope["entity"]["id"]) if "entity" in scope else None


def _strictest(rule: RecognitionRule) -> tuple[int, str]:
    return OUTCOMES.index(rule.outcome), rule.id


def _said(rule: RecognitionRule, type_code: str) -> Recognition:
    local = None if rule.outcome == "refuse" else rule.local_type or type_code
    return Recognition(rule.outcome, local, rule.en, rule.zh, rule.id, rule.basis, rule.conditions, rule.conditions_zh)


def _none() -> Recognition:
    return Recognition(
        "none",
        None,
        "There is no rule here for this kind of document of that region for this matter.",
        "本地没有针对该地区此类证照用于本事项的互认规则。",
    )


@lru_cache(maxsize=64)
def _schema(known: frozenset[str]) -> str:
    actions = ", ".join(f'"{code}"' for code in sorted(known))
    return (
        "entity Region in [Region];\nentity Authority;\nentity LicenceType in [Authority];\n"
        f"action {actions} appliesTo {{ principal: Region, resource: LicenceType, context: {{ at: datetime }} }};\n"
    )


def _entities(type_code: str, region: str) -> list[dict[str, Any]]:
    """A region lies in its prefecture and its province; a type belongs to the authority that defined it (18 characters)."""
    above = [code for code in (f"{region[:4]}00", f"{region[:2]}0000") if code != region]
    return [
        _entity("Region", region, [_uid("Region", code) for code in dict.fromkeys(above)]),
        _entity("LicenceType", type_code, [_uid("Authority", type_code[:18])]),
    ]


def _entity(kind: str, name: str, parents: list[dict[str, str]]) -> dict[str, Any]:
    return {"uid": _uid(kind, name), "attrs": {}, "parents": parents}


def _uid(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "id": name}


def _policy_set(policies: Mapping[str, Any]) -> str:
    return json.dumps({"templates": {}, "staticPolicies": policies, "templateLinks": []})


def _paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.cedar") if path.is_file())


def _bad(why: str) -> BadRecognition:
    return BadRecognition(
        f"The rules of recognition cannot be used: {why}. Mend the files in the node's recognition folder.",
        f"互认规则无法使用：{why}。请修正节点 recognition 目录中的文件。",
        why=why,
    )


def _bad_case(path: Path, why: str) -> BadRecognitionCase:
    return BadRecognitionCase(
        f"The cases in {path.name} cannot be used: {why}.", f"互认用例文件 {path.name} 无法使用：{why}。", why=why
    )
