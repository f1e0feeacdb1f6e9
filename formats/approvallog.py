"""The approvals in an audit log, checked from its leaves alone: who could approve, who did, over what, and what came of it.

Fed with every leaf in order. It remembers the officers and the keys that were confirmed for them, checks the evidence of each
approval that was used (:mod:`formats.approvals`), and holds every step on a key against the rule that its leaf names: a step by
quorum has an approval of exactly this step, used once; none passes as a part of the founding when that is over; in production
none passes under a rule for practice. What it cannot see is a leaf that nobody wrote: that the log is whole is the Merkle
tree's part, and that every key's state has its leaf is compared on the node itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from formats import approvals as wire

PREFIXES = ('"kind":"approval.', '"kind":"people.', '"kind":"key.', '"kind":"node.founded"')
"""A leaf that concerns us contains one of these: leaves are canonical JSON."""

_STEPS = {
    "key.role-created": "key.create",
    "key.staged": "key.stage",
    "key.activated": "key.activate",
    "key.retired": "key.retire",
    "key.destroyed": "key.destroy",
}
_QUORUM, _FOUNDING, _CONFIRM = "keys-by-quorum", "keys-while-founding", "approval.confirm"
_FIRST, _DRILL, _STOP = "first-keys-by-the-node", "keys-in-drills", "stop-a-key-at-once"
_PRACTICE = frozenset({"keys-outside-production", "own-keys-in-practice"})
_AT_ONCE = timedelta(seconds=10)
"""Leaves of the same moment are ordered by when they were written, not by which transaction came first."""

Find = Callable[[str, str, str, int], None]
"""``(code, English, Chinese, leaf number)``."""


@dataclass
class _Key:
    """An officer's confirmed key."""

    account: str
    entry: dict[str, Any]
    since: datetime
    until: datetime | None = None


@dataclass
class _Used:
    """An approval that was used: its statement, and whether a step has leaned on it."""

    statement: dict[str, Any]
    digest: str
    subject: dict[str, str]
    step: int | None = None


@dataclass
class ApprovalAuditor:
    """Says through ``find`` what is wrong with the approvals of a log of ``region``."""

    region: str
    find: Find
    _keys: dict[str, _Key] = field(default_factory=dict)
    _officers: dict[str, datetime | None] = field(default_factory=dict)
    """When they ceased to be officers; None while they are."""
    _roles: dict[str, set[str]] = field(default_factory=dict)
    _used: dict[str, _Used] = field(default_factory=dict)
    _purposes: dict[str, str] = field(default_factory=dict)
    """What each key role is for."""
    _made: dict[str, str] = field(default_factory=dict)
    """Fingerprints of keys by generation."""
    _mode: str | None = None
    _ruled: bool = False
    """Whether a step on a key ever named its rule: from then on each one does."""

    def leaf(self, seq: int, body: Mapping[str, Any]) -> None:
        """The next leaf; what is no leaf of ours is passed over."""
        try:
            kind, at = str(body["kind"]), wire.moment(body["at"])
            subject, data = dict(body["subject"]), dict(body["data"])
        except (KeyError, TypeError, ValueError):
            return
        try:
            if kind == "node.founded":
                self._mode = str(data.get("mode"))
            elif kind == "approval.used":
                self._use(seq, at, subject, data)
            elif kind.startswith("people."):
                self._people(seq, at, kind, body, subject, data)
            elif kind.startswith("key."):
                self._key(seq, kind, body, subject, data)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.find(
                "leaf-incomplete",
                f"Leaf {seq} ({kind}) does not say what it must.",
                f"第 {seq} 号记录（{kind}）内容不完整。",
                seq,
            )

    # -- people -----------------------------------------------------------------------------------------------------------

    def _people(
        self, seq: int, at: datetime, kind: str, body: Mapping[str, Any], subject: Mapping[str, str], data: Mapping[str, Any]
    ) -> None:
        if kind == "people.created":
            self._has(subject["account"], set(data["roles"]), at)
        elif kind == "people.roles-changed":
            self._has(subject["account"], set(data["after"]), at)
        elif kind == "people.handed-over":
            moved = set(data["roles"])
            self._has(subject["from"], self._roles.get(subject["from"], set()) - moved, at)
            self._has(subject["to"], self._roles.get(subject["to"], set()) | moved, at)
            if data.get("leaves"):
                self._ceases(subject["from"], at)
        elif kind == "people.disabled":
            self._ceases(subject["account"], at)
        elif kind == "people.active":
            self._has(subject["account"], self._roles.get(subject["account"], set()), at)
        elif kind == "people.officer-key-removed":
            self._ends(lambda name, key: name == subject["officer_key"], at)
        elif kind == "people.passkey-removed":
            self._ends(lambda name, key: key.entry.get("credential") == data["credential"], at)
        elif kind == "people.officer-key-confirmed":
            self._confirmed(seq, at, body, subject, data)

    def _has(self, account: str, roles: set[str], at: datetime) -> None:
        self._roles[account] = roles
        if "officer" in roles:
            self._officers[account] = None
        else:
            self._ceases(account, at)

    def _ceases(self, account: str, at: datetime) -> None:
        if self._officers.get(account, at) is None:
            self._officers[account] = at

    def _ends(self, which: Callable[[str, _Key], bool], at: datetime) -> None:
        for name, key in self._keys.items():
            if key.until is None and which(name, key):
                key.until = at

    def _confirmed(
        self, seq: int, at: datetime, body: Mapping[str, Any], subject: Mapping[str, str], data: Mapping[str, Any]
    ) -> None:
        account, name, rule = subject["account"], subject["officer_key"], body["rule"]
        wire.key_of(data)  # whatever it lacks is a finding
        had_quorum = len({key.account for key in self._keys.values()}) >= wire.LEAST
        if rule == "first-officer-keys" and had_quorum:
            self.find(
                "officer-key-unapproved",
                f"Leaf {seq} confirms an officer's key as one of the first, after there had been a quorum.",
                f"第 {seq} 号记录将审批密钥作为首批确认，而此前已形成法定人数。",
                seq,
            )
        if rule == "further-officer-keys":
            self._lean(seq, str(data.get("approval")), None, _CONFIRM, {"officer_key": name, "account": account}, {})
        if body["actor"] == account and rule != "own-keys-in-practice":
            self.find(
                "officer-key-own",
                f"Leaf {seq}: an officer confirmed the own key.",
                f"第 {seq} 号记录：密钥管理员确认了自己的审批密钥。",
                seq,
            )
        self._practice(seq, str(rule))
        self._keys[name] = _Key(account, dict(data), at)

    # -- approvals --------------------------------------------------------------------------------------------------------

    def _use(self, seq: int, at: datetime, subject: Mapping[str, str], data: Mapping[str, Any]) -> None:
        for misfit in wire.check_evidence(data, region=self.region, at=at):
            self.find(misfit.code, f"Leaf {seq}: {misfit.message}", f"第 {seq} 号记录：{misfit.message_zh}", seq)
        statement = data["statement"]
        name = subject["approval"]
        if name != statement["id"] or name in self._used:
            self.find(
                "approval-replayed",
                f"Leaf {seq} uses an approval that was used before, or under another name.",
                f"第 {seq} 号记录重复或冒名使用了批准。",
                seq,
            )
        if any(subject.get(key) != value for key, value in statement["subject"].items()):
            self.find(
                "approval-for-other",
                f"Leaf {seq} uses an approval for another object.",
                f"第 {seq} 号记录将批准用于其他对象。",
                seq,
            )
        for entry in data["approvals"]:
            why = self._may_approve(entry, at)
            if why is not None:
                self.find(
                    "approval-by-stranger",
                    f"Leaf {seq}: {entry['account']} {why[0]}.",
                    f"第 {seq} 号记录：{entry['account']} {why[1]}。",
                    seq,
                )
        self._used[name] = _Used(dict(statement), str(data["digest"]), dict(subject))

    def _may_approve(self, entry: Mapping[str, Any], at: datetime) -> tuple[str, str] | None:
        """What speaks against an approver, as the log knows them at that moment."""
        key = self._keys.get(entry["key"])
        if key is None or key.account != entry["account"]:
            return "approved with a key that was never confirmed", "使用了未经确认的审批密钥"
        if any(entry.get(name) != value for name, value in key.entry.items() if name not in ("approval", "evidence_sha256")):
            return "approved with another key than the one confirmed", "使用的密钥与确认的审批密钥不符"
        if wire.moment(entry["at"]) < key.since - _AT_ONCE:
            return "approved before the key was confirmed", "在审批密钥确认之前作出批准"
        if key.until is not None and key.until + _AT_ONCE < at:
            return "approved with a key that had been removed", "使用了已停用的审批密钥"
        if entry["account"] not in self._officers:
            return "never was an officer", "从未担任密钥管理员"
        ceased = self._officers[entry["account"]]
        if ceased is not None and ceased + _AT_ONCE < at:
            return "was no officer any more", "已不是密钥管理员"
        return None

    # -- steps ------------------------------------------------------------------------------------------------------------

    def _key(self, seq: int, kind: str, body: Mapping[str, Any], subject: Mapping[str, str], data: Mapping[str, Any]) -> None:
        rule, action = body["rule"], _STEPS.get(kind)
        if kind == "key.role-created":
            self._purposes[subject["key"]] = str(data["purpose"])
        if kind == "key.staged":
            self._made[subject["key"]] = str(data["fingerprint"])
        if action is not None:
            if rule is None and self._ruled:
                self.find(
                    "step-without-rule",
                    f"Leaf {seq}: a step on a key ({kind}) names no rule that allowed it.",
                    f"第 {seq} 号记录：密钥操作（{kind}）没有依据的规则。",
                    seq,
                )
            self._ruled = self._ruled or rule is not None
            if rule == _FOUNDING and self._mode is not None:
                self.find(
                    "founding-is-over",
                    f"Leaf {seq}: a step on a key passes as a part of the founding, which was over.",
                    f"第 {seq} 号记录：节点建立已完成，密钥操作仍以建立名义执行。",
                    seq,
                )
            self._practice(seq, str(rule))
            self._narrow(seq, kind, str(rule), data)
        if "approval" in data:
            objects = {} if kind == "key.role-created" else {"key": subject["key"]}
            self._lean(seq, str(data["approval"]), str(data.get("approval_digest")), action, objects, data)
        elif rule == _QUORUM and (action is not None or kind == "key.step-begun"):
            self.find(
                "step-without-approval",
                f"Leaf {seq}: a step on a key ({kind}) needed officers, and names no approval.",
                f"第 {seq} 号记录：密钥操作（{kind}）须经批准，但未指明批准。",
                seq,
            )

    def _narrow(self, seq: int, kind: str, rule: str, data: Mapping[str, Any]) -> None:
        """Rules that ask no officer hold for what they are for: first keys, drills, and stopping a key."""
        purpose = self._purposes.get(str(data.get("role")))
        broad = (
            (rule == _FIRST and data.get("number", 1) != 1)
            or (rule == _DRILL and purpose is not None and purpose != "drill")
            or (rule == _STOP and kind != "key.retired")
        )
        if broad:
            self.find(
                "rule-too-wide",
                f"Leaf {seq}: a step on a key ({kind}) names a rule that does not cover it ({rule}).",
                f"第 {seq} 号记录：密钥操作（{kind}）所依据的规则（{rule}）不适用于该操作。",
                seq,
            )

    def _lean(
        self,
        seq: int,
        approval: str,
        digest: str | None,
        action: str | None,
        objects: Mapping[str, str],
        data: Mapping[str, Any],
    ) -> None:
        """A step leans on an approval: used just before, for this action and this object, and by no other step."""
        used = self._used.get(approval)
        problem: tuple[str, str] | None = None
        if used is None:
            problem = "leans on an approval that was never used", "所依据的批准没有使用记录"
        elif used.step is not None:
            problem = f"leans on the approval of leaf {used.step}", f"与第 {used.step} 号记录使用了同一批准"
        elif digest is not None and digest != used.digest:
            problem = "leans on an approval with another digest", "与批准的摘要不符"
        elif action is not None and used.statement["action"] not in (action, _compromise(action)):
            problem = "does something else than what was approved", "执行的操作与批准的不同"
        elif any(used.subject.get(name) != value for name, value in objects.items()):
            problem = "is about another object than the approval", "操作对象与批准的不同"
        elif self._contradicts(used, objects, data):
            problem = "has other facts than what was approved", "操作内容与批准的不同"
        if problem is not None:
            self.find("approval-for-other", f"Leaf {seq} {problem[0]}.", f"第 {seq} 号记录{problem[1]}。", seq)
        if used is not None and used.step is None:
            used.step = seq

    def _contradicts(self, used: _Used, objects: Mapping[str, str], data: Mapping[str, Any]) -> bool:
        said = used.statement["statement"]
        if any(name in data and data[name] != value for name, value in said.items()):
            return True
        fingerprint, key = said.get("public_key_sha256"), objects.get("key", "")
        return fingerprint is not None and key in self._made and self._made[key] != fingerprint

    def _practice(self, seq: int, rule: str) -> None:
        if self._mode == "production" and rule in _PRACTICE:
            self.find(
                "practice-in-production",
                f"Leaf {seq}: a production node acted under a rule for practice ({rule}).",
                f"第 {seq} 号记录：生产节点依据仅供练习的规则（{rule}）操作。",
                seq,
            )


def _compromise(action: str) -> str:
    return "key.compromise" if action == "key.retire" else action
