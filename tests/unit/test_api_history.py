"""What the log says, as a reader understands it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

from api.history import told, words_of
from api.texts import known
from policies.authorise import Authoriser
from store.audit import Entry


class Accounts:
    def display_names(self, ids: Iterable[str]) -> dict[str, str]:
        return {one: "李华" for one in ids if one == "account_1"}


NODE = SimpleNamespace(accounts=Accounts(), authoriser=Authoriser("development"))


def entry(**values: object) -> Entry:
    base = {
        "id": "leaf_1",
        "seq": 7,
        "at": datetime(2026, 11, 22, 1, 30, tzinfo=UTC),
        "kind": "application.signed-off",
        "actor": "account_1",
        "rule": "sign-off-application",
        "subject": {"application": "application_1"},
        "data": {},
    }
    return Entry(**{**base, **values})  # type: ignore[arg-type]


def test_an_event_says_what_happened_who_did_it_when_and_under_which_rule() -> None:
    (event,) = told(NODE, [entry()], "zh")  # type: ignore[arg-type]
    assert (event.what, event.who, event.at, event.number) == ("签发", "李华", "2026-11-22T01:30:00Z", 7)
    assert event.rule == "部门签发人签发他人经办的申请。"
    (event,) = told(NODE, [entry(actor="local-operator", rule=None)], "en")  # type: ignore[arg-type]
    assert (event.what, event.who, event.rule) == ("Signed off", "The operator of this node", "")


def test_an_event_done_for_somebody_else_names_both() -> None:
    (event,) = told(NODE, [entry(subject={"on_behalf_of": "account_1"}, actor="local-operator")], "zh")  # type: ignore[arg-type]
    assert (event.who, event.behalf) == ("本机操作员", "李华")


def test_an_event_without_words_is_shown_rather_than_dropped() -> None:
    assert "tea.made" in words_of("tea.made", "zh")
    (event,) = told(NODE, [entry(kind="tea.made", actor="account_gone")], "en")  # type: ignore[arg-type]
    assert event.who == "account_gone"


ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("store", "people", "hsm", "ca", "trust", "seals", "licences", "records", "ceremonies")
WRITTEN = re.compile(
    r'(?:\bkind=|\b_?(?:leaf|note|record|change|open_round)\((?:[^()"]|\([^()]*\))*)(f?)"([a-z]+\.[a-z][a-z-]*)"', re.S
)
FORMED = {
    "people": ("active", "disabled"),
    "seal": ("in-force", "suspended", "revoked"),
    "impression": ("voided", "replaced"),
    "application": ("reviewed", "countersigned", "signed-off", "returned", "refused", "withdrawn", "sealed", "delivered"),
    "approval": ("refused", "withdrawn"),
    "key": ("proved", "certified", "filed", "distributed"),
    "licence": ("suspended", "resumed", "revoked"),
}
"""Kinds whose last part is put together where they are written."""


def test_every_kind_of_leaf_that_the_code_writes_has_words() -> None:
    kinds = {f"{room}.{verb}" for room, verbs in FORMED.items() for verb in verbs}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            kinds |= {kind for formed, kind in WRITTEN.findall(path.read_text("utf-8")) if not formed}
    assert {"seal.applied", "people.created", "application.submitted", "approval.given", "key.staged"} <= kinds
    assert [kind for kind in sorted(kinds) if not known(f"leaf_{kind}")] == []
