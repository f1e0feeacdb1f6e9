"""Who may do what: Cedar rules in ``rules/``, one file a subject, and an evaluator that says which rule decided and why.

Rules are data. Each carries annotations: ``@id``, its sentence ``@en``/``@zh``, for every condition the sentence ``@need_N``
that holds when it does, ``@ask``: whom to turn to, and ``@only``: the mode it is for. Cedar itself says nothing when no rule
permits; so on a denial the conditions of the action's permits are evaluated one by one, and the reason names what was missing
for the permit that came closest.

Anything unforeseen is a denial: an unknown action, a fact that the schema does not know, an error while a rule is evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import cedarpy

from crypto.errors import Forbidden, Misconfigured

RULES = Path(__file__).parent / "rules"
MODES = ("development", "production")
_REMEMBERED = 1024

_RESOURCE_TYPES = {
    "seal": "Seal",
    "impression": "Impression",
    "application": "Application",
    "licence": "Licence",
    "holding": "Licence",
    "key": "Key",
    "approval": "Key",
    "ca": "Certificate",
    "audit": "AuditLog",
    "trust": "TrustList",
    "people": "Person",
    "verify": "Document",
    "subscription": "Subscription",
    "event": "Event",
    "receipt": "Receipt",
    "provisional": "Provisional",
    "node": "Node",
    "message": "Message",
    "enquiry": "Enquiry",
    "counter": "Visit",
}


class NotAllowed(Forbidden):
    """A rule says no, or none says yes."""

    code = "not-allowed"


class BadRules(Misconfigured):
    """The rule files contradict their schema or their own form."""

    code = "bad-rules"


class Principal(Protocol):
    """What the rules need to know of whoever acts; ``people.schemas.Actor`` fills it."""

    @property
    def id(self) -> str: ...

    @property
    def kind(self) -> str:
        """``local-operator``, ``staff``, ``system`` or ``anonymous``."""
        ...

    @property
    def roles(self) -> Collection[str]: ...

    @property
    def departments(self) -> Collection[str]:
        """Own department and those below it, by identifier and by unified social credit code."""
        ...

    @property
    def region(self) -> str: ...


class StandIn(Principal, Protocol):
    """A principal in the place of another (代签授权), with that one's roles and departments as far as they were lent."""

    @property
    def on_behalf_of(self) -> str | None:
        """The account stood in for."""
        ...

    @property
    def delegation(self) -> str | None: ...

    @property
    def matters(self) -> Collection[str]:
        """Codes of the matters it is limited to; empty: every matter."""
        ...


class Ruling(str):
    """A rule's ``@id`` that remembers in whose place it was met, so that no audit leaf that names the rule can forget it.

    :ivar standing_in: ``{"on_behalf_of": account, "delegation": identifier}``, which ``store.audit`` adds to a leaf's subject;
        {} for one's own right
    """

    __slots__ = ("standing_in",)
    standing_in: dict[str, str]

    def __new__(cls, rule: str, standing_in: Mapping[str, str] | None = None) -> Ruling:
        made = super().__new__(cls, rule)
        made.standing_in = dict(standing_in or {})
        return made


@dataclass(frozen=True)
class Decision:
    """A decision and what made it.

    ``rule`` is the ``@id`` of the rule that permitted or forbade, else ``no-permit``, ``unknown-action`` or ``bad-facts``;
    ``missing`` the conditions that failed of the permit that came closest. ``on_behalf_of`` and ``delegation`` are set where
    only a delegation allowed it; ``rule`` is then a :class:`Ruling` that says so to the audit log.
    """

    allowed: bool
    action: str
    rule: str
    reason: str
    reason_zh: str
    ask: str | None = None
    ask_zh: str | None = None
    closest: str | None = None
    missing: tuple[str, ...] = ()
    on_behalf_of: str | None = None
    delegation: str | None = None

    @property
    def standing_in(self) -> dict[str, str]:
        """``{"on_behalf_of": account, "delegation": identifier}``; {} for one's own right."""
        if self.on_behalf_of is None or self.delegation is None:
            return {}
        return {"on_behalf_of": self.on_behalf_of, "delegation": self.delegation}

    def require(self) -> Decision:
        """This decision if it allows.

        :raises NotAllowed: it does not; the message says why and whom to ask
        """
        if self.allowed:
            return self
        ask = f" Ask {self.ask}." if self.ask else ""
        ask_zh = f"请联系{self.ask_zh}。" if self.ask_zh else ""
        raise NotAllowed(
            f"Not allowed ({self.action}): {self.reason}{ask}",
            f"无权执行（{self.action}）：{self.reason_zh}{ask_zh}",
            action=self.action,
            rule=self.rule,
            missing=list(self.missing),
        )


@dataclass(frozen=True)
class Rule:
    """A rule as people read it."""

    id: str
    effect: str
    actions: frozenset[str] | None
    """None: every action."""
    en: str
    zh: str
    needs: tuple[tuple[str, str], ...]
    ask: str | None
    ask_zh: str | None
    only: str | None
    """The node's mode that it is for; None: any."""
    file: str

    def covers(self, action: str) -> bool:
        return self.actions is None or action in self.actions


@dataclass(frozen=True)
class Weighed:
    """A rule beside one request: each of its conditions in English and Chinese, and whether it holds."""

    rule: Rule
    needs: tuple[tuple[str, str, bool], ...]

    @property
    def failed(self) -> int:
        """How many conditions do not hold."""
        return sum(not met for _, _, met in self.needs)


class Authoriser:
    """Decides by the rules in a folder, parsed once. One instance serves all threads.

    :param mode: ``development`` or ``production``; every rule sees it as ``context.mode``
    :raises BadRules: a rule without ``@id``, two with the same one, a sentence missing, or a misfit with the schema
    """

    def __init__(self, mode: str, rules: Path = RULES) -> None:
        if mode not in MODES:
            raise BadRules(
                f"The node's mode is {mode!r}; it must be development or production.",
                f"节点模式为 {mode!r}；只能是 development 或 production。",
            )
        self.mode = mode
        texts = tuple((file.name, file.read_text(encoding="utf-8")) for file in sorted(rules.glob("*.cedar")))
        self._book = _read((rules / "schema.cedarschema").read_text(encoding="utf-8"), texts)
        self.rules = self._book.rules
        self.actions = self._book.actions
        self._decided = lru_cache(maxsize=_REMEMBERED)(self._evaluate)

    def decide(
        self,
        actor: Principal,
        action: str,
        resource: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Decision:
        """Whether ``actor`` may do ``action`` to ``resource`` under the circumstances in ``context``; a denial raises nothing.

        ``resource`` and ``context`` hold the facts named in ``rules/schema.cedarschema``; those that are None are left out.
        ``type`` names the resource's entity type where it is not the one of the action.

        The actor's own right is asked first. Where it does not do, each of the actor's ``stand_ins`` (:class:`StandIn`) is
        asked, and the first that may decides; a denial gives the reason of the own right.
        """
        own = self._decide(actor, action, resource, context)
        stand_ins: Iterable[StandIn] = getattr(actor, "stand_ins", ())
        for one in () if own.allowed else stand_ins:
            found = self._decide(one, action, resource, context)
            if found.allowed:
                found = replace(found, on_behalf_of=one.on_behalf_of, delegation=one.delegation)
                return replace(found, rule=Ruling(found.rule, found.standing_in))
        return own

    def _decide(
        self, actor: Principal, action: str, resource: Mapping[str, Any] | None, context: Mapping[str, Any] | None
    ) -> Decision:
        if action not in self.actions:
            return Decision(False, action, "unknown-action", "no rule knows this action.", "没有规则涉及此操作。")
        asked = self._request(actor, action, resource or {}, context or {})
        try:
            return self._decided(action, json.dumps(asked, sort_keys=True))
        except (ValueError, TypeError) as exc:
            return _bad_facts(action, [str(exc)])

    def _evaluate(self, action: str, asked: str) -> Decision:
        """A function of the rules, which are parsed once, and of everything they are told: its answers may be remembered.

        :param asked: request and entities as JSON
        """
        request, entities = json.loads(asked)
        answer = cedarpy.is_authorized(request, self._book.policies, entities, schema=self._book.schema)
        if answer.decision is cedarpy.Decision.NoDecision or answer.diagnostics.errors:
            return _bad_facts(action, answer.diagnostics.errors)
        decided = [self.rules[name] for name in answer.diagnostics.reasons]
        if decided:
            rule = min(decided, key=lambda r: r.id)
            return Decision(answer.allowed, action, rule.id, rule.en, rule.zh, rule.ask, rule.ask_zh)
        return self._explain(action, request, entities)

    def require(
        self,
        actor: Principal,
        action: str,
        resource: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Decision:
        """:meth:`decide`, and :class:`NotAllowed` unless it allows."""
        return self.decide(actor, action, resource, context).require()

    def weigh(
        self,
        actor: Principal,
        action: str,
        resource: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> list[Weighed]:
        """Every rule that could permit ``action`` in this mode, each condition with whether it holds: what :meth:`decide`
        leaves out. The one that comes closest is first. Forbidding rules that apply here come after the permits.
        """
        if action not in self.actions:
            return []
        request, entities = self._request(actor, action, resource or {}, context or {})
        met = set(cedarpy.is_authorized(request, self._book.conditions, entities, schema=self._book.schema).diagnostics.reasons)
        answer = cedarpy.is_authorized(request, self._book.policies, entities, schema=self._book.schema)
        permits, forbids = [], []
        for rule in self.rules.values():
            if not rule.covers(action) or rule.only not in (None, self.mode):
                continue
            if rule.effect == "permit":
                needs = tuple((en, zh, f"{rule.id}#{number}" in met) for number, (en, zh) in enumerate(rule.needs))
                permits.append(Weighed(rule, needs))
            elif not answer.allowed and rule.id in answer.diagnostics.reasons:
                forbids.append(Weighed(rule, ()))
        return [*sorted(permits, key=lambda one: (one.failed, one.rule.id)), *forbids]

    # -- request --------------------------------------------------------------------------------------------------------

    def _request(
        self, actor: Principal, action: str, resource: Mapping[str, Any], context: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        facts = {"id": "", "region": "", "department": "", **{k: v for k, v in resource.items() if v is not None}}
        kind = facts.pop("type", _RESOURCE_TYPES[action.partition(".")[0]])
        principal_uid = {"type": "Actor", "id": actor.id}
        resource_uid = {"type": kind, "id": str(facts["id"]) or "-"}
        circumstances = {"matter": "default", **{k: v for k, v in context.items() if v is not None}, "mode": self.mode}
        entities: list[dict[str, Any]] = [
            {
                "uid": principal_uid,
                "attrs": {
                    "id": actor.id,
                    "kind": actor.kind,
                    "roles": sorted(actor.roles),
                    "departments": sorted(actor.departments),
                    "region": actor.region,
                    **_standing_in(actor),
                },
                "parents": [],
            },
            {"uid": resource_uid, "attrs": facts, "parents": []},
        ]
        request = {
            "principal": principal_uid,
            "action": {"type": "Action", "id": action},
            "resource": resource_uid,
            "context": circumstances,
        }
        return request, entities

    # -- why not --------------------------------------------------------------------------------------------------------

    def _explain(self, action: str, request: dict[str, Any], entities: list[dict[str, Any]]) -> Decision:
        """No rule permitted: which conditions failed of the permit that came closest."""
        met = set(cedarpy.is_authorized(request, self._book.conditions, entities, schema=self._book.schema).diagnostics.reasons)
        candidates = []
        for rule in self.rules.values():
            if rule.effect == "permit" and rule.covers(action) and rule.only in (None, self.mode):
                failed = [need for number, need in enumerate(rule.needs) if f"{rule.id}#{number}" not in met]
                candidates.append((len(failed), rule, failed))
        if not candidates:
            return Decision(False, action, "no-permit", "no rule permits this to anyone.", "没有规则允许任何人执行此操作。")
        _, rule, failed = min(candidates, key=lambda item: (item[0], item[1].id))
        return Decision(
            False,
            action,
            "no-permit",
            "it needs this: " + "; ".join(en for en, _ in failed) + ".",
            "须满足：" + "；".join(zh for _, zh in failed) + "。",
            rule.ask,
            rule.ask_zh,
            rule.id,
            tuple(en for en, _ in failed),
        )


# -- loading ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Book:
    """Rules that were read and fit their schema. ``conditions``: each condition of each permit as a permit of its own."""

    rules: Mapping[str, Rule]
    actions: frozenset[str]
    schema: cedarpy.Schema
    policies: cedarpy.PolicySet
    conditions: cedarpy.PolicySet


@lru_cache(maxsize=4)
def _read(schema: str, files: tuple[tuple[str, str], ...]) -> _Book:
    """A function of the texts alone: a process that opens several nodes reads the same rules once.

    :param files: names and texts
    """
    policies: dict[str, Any] = {}
    rules: dict[str, Rule] = {}
    for name, text in files:
        try:
            parsed = json.loads(cedarpy.policies_to_json_str(text))
        except ValueError as exc:
            raise _bad_rules(f"{name} cannot be parsed ({exc})") from exc
        for policy in parsed["staticPolicies"].values():
            rule = _read_rule(policy, name)
            if rule.id in rules:
                raise _bad_rules(f"two rules are called {rule.id}")
            rules[rule.id] = rule
            policies[rule.id] = policy
    result = cedarpy.validate_policies(cedarpy.policies_from_json_str(_policy_set(policies)), schema)
    if not result.validation_passed:
        raise _bad_rules("; ".join(str(error) for error in result.errors))
    return _Book(
        MappingProxyType(rules),
        _actions_of(schema),
        cedarpy.Schema.from_str(schema),
        cedarpy.PolicySet.from_json_str(_policy_set(policies)),
        cedarpy.PolicySet.from_json_str(_policy_set(dict(_single_conditions(policies)))),
    )


def _actions_of(schema: str) -> frozenset[str]:
    """Every action that the schema knows."""
    declared = re.findall(r'^action\s+((?:"[^"]+"[,\s]*)+)', schema, re.M)
    return frozenset(name for names in declared for name in re.findall(r'"([^"]+)"', names))


def _single_conditions(policies: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Each condition of each permit as a permit of its own, ``ID#N``."""
    for name, policy in policies.items():
        if policy["effect"] == "permit":
            for number, condition in enumerate(policy["conditions"]):
                yield f"{name}#{number}", {**policy, "conditions": [condition]}


def _read_rule(policy: Mapping[str, Any], file: str) -> Rule:
    notes = policy.get("annotations", {})
    name = notes.get("id")
    if not name:
        raise _bad_rules(f"a rule in {file} has no @id")
    if not notes.get("en") or not notes.get("zh"):
        raise _bad_rules(f"the rule {name} does not say what it does in English and Chinese")
    needs: list[tuple[str, str]] = []
    if policy["effect"] == "permit":
        for number in range(1, len(policy["conditions"]) + 1):
            en, zh = notes.get(f"need_{number}"), notes.get(f"need_{number}_zh")
            if not en or not zh:
                raise _bad_rules(f"condition {number} of the rule {name} has no sentence")
            needs.append((en, zh))
    return Rule(
        name,
        policy["effect"],
        _actions(policy["action"], name),
        notes["en"],
        notes["zh"],
        tuple(needs),
        notes.get("ask"),
        notes.get("ask_zh"),
        notes.get("only"),
        file,
    )


def _actions(scope: Mapping[str, Any], name: str) -> frozenset[str] | None:
    if scope["op"] == "All":
        return None
    if scope["op"] == "==":
        return frozenset({scope["entity"]["id"]})
    if scope["op"] == "in" and "entities" in scope:
        return frozenset(entity["id"] for entity in scope["entities"])
    raise _bad_rules(f"the rule {name} names its actions in a way that cannot be explained; list them")


def _standing_in(actor: Principal) -> dict[str, Any]:
    """What the rules are told of a principal in another's place; nothing of one in its own right."""
    on_behalf_of, matters = getattr(actor, "on_behalf_of", None), sorted(getattr(actor, "matters", ()))
    if on_behalf_of is None:
        return {}
    return {"on_behalf_of": on_behalf_of} | ({"matters": matters} if matters else {})


def _policy_set(policies: Mapping[str, Any]) -> str:
    return json.dumps({"templates": {}, "staticPolicies": policies, "templateLinks": []})


def _bad_facts(action: str, errors: Iterable[str]) -> Decision:
    why = "; ".join(error.rpartition("\n")[2].rpartition("]: ")[2] for error in errors) or "they are incomplete"
    return Decision(
        False, action, "bad-facts", f"the request does not fit the rules' schema: {why}.", "请求数据不符合规则的数据定义。"
    )


def _bad_rules(why: str) -> BadRules:
    return BadRules(
        f"The authorisation rules cannot be used: {why}. Mend the files in policies/rules.",
        "授权规则无法使用；请修正 policies/rules 中的文件。",
        why=why,
    )
