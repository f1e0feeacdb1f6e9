"""Standing in for somebody (代签授权) and handing a post over (岗位交接)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from sqlalchemy.orm import Session

from people.errors import BadDelegation, BadHandOver, BadToken, NoSuchDelegation, RolesExclude
from people.schemas import Account
from people.service import AccountService
from policies.authorise import Authoriser
from store.audit import AuditLog
from store.db import Database

PASSWORD = "correct horse battery"
ON_POSTGRESQL = {"test_a_delegate_acts_for_the_absent_and_the_log_says_for_whom", "test_a_post_passes_on_with_its_open_work"}
REGION = "310000"


class Clock:
    now = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class World:
    """A bureau with a section, another bureau, and the people of the tests."""

    def __init__(self, database: Database) -> None:
        self.clock = Clock()
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.audit = AuditLog(database, REGION)
        self.people = AccountService(database, self.audit, REGION, hasher=cheap, now=self.clock)
        self.rules = Authoriser("production")
        self.bureau = self.people.create_department("审批局", uscc="11310000MB0X70015A").id
        self.section = self.people.create_department("一科", parent=self.bureau).id
        self.other = self.people.create_department("监管局").id
        for name, roles, department in (
            ("head", {"signer_off", "reviewer"}, self.bureau),
            ("deputy", {"handler"}, self.section),
            ("stranger", {"handler"}, self.other),
            ("auditor", {"auditor"}, self.bureau),
            ("officer", {"officer"}, self.bureau),
        ):
            self.people.create(name, PASSWORD, roles=roles, department=department, display_name=f"样本 {name}")

    def account(self, name: str) -> Account:
        return self.people.get(name)

    def lend(self, to: str = "deputy", **more: Any) -> str:
        wanted = {"roles": {"signer_off"}, "until": self.clock.now + timedelta(days=3), "actor": "head", **more}
        return self.people.delegations.grant("head", to, **wanted).id

    def signs_off(self, name: str, *, department: str | None = None, handler: str = "x", matter: str = "default") -> Any:
        facts = {"id": "application_1", "region": REGION, "department": department or self.bureau}
        context = {"handler": handler, "matter": matter}
        return self.rules.decide(self.account(name), "application.sign-off", facts, context)

    def leaves(self, kind: str) -> list[dict[str, Any]]:
        with self.people.db.read() as session:
            rows = session.execute(sa.text("select body from audit_leaves where kind = :kind order by id"), {"kind": kind})
            return [json.loads(body) for (body,) in rows]


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def test_a_delegate_acts_for_the_absent_and_the_log_says_for_whom(world: World) -> None:
    assert not world.signs_off("deputy").allowed
    made = world.lend()
    decision = world.signs_off("deputy")
    head, deputy = world.account("head"), world.account("deputy")
    assert (decision.allowed, decision.on_behalf_of, decision.delegation) == (True, head.id, made)

    def work(session: Session) -> None:
        world.audit.append(session, kind="test.signed", actor=deputy.id, subject={"x": "1"}, data={}, rule=decision.rule)

    world.people.db.run(work)
    (leaf,) = world.leaves("test.signed")
    assert leaf["subject"] == {"x": "1", "on_behalf_of": head.id, "delegation": made}
    assert leaf["rule"] == "sign-off-application"
    assert {entry.kind for entry in world.audit.history(head.id)} >= {"test.signed", "people.delegated"}


def test_the_own_right_is_not_written_down_as_somebody_else_s(world: World) -> None:
    world.lend()
    own = world.signs_off("head")
    assert (own.allowed, own.standing_in, getattr(own.rule, "standing_in", {})) == (True, {}, {})


def test_a_delegate_never_signs_off_what_either_of_the_two_handled(world: World) -> None:
    world.lend()
    for name in ("deputy", "head"):
        refused = world.signs_off("deputy", handler=world.account(name).id)
        assert not refused.allowed, name


def test_a_delegation_ends_when_withdrawn_when_over_and_with_the_lender_s_right(world: World) -> None:
    made = world.lend()
    world.people.delegations.withdraw(made, actor="head")
    assert not world.signs_off("deputy").allowed, "withdrawn"
    world.lend(since=world.clock.now + timedelta(days=1))
    assert not world.signs_off("deputy").allowed, "not begun"
    world.clock.now += timedelta(days=2)
    assert world.signs_off("deputy").allowed
    world.people.set_roles("head", {"reviewer"}, actor="local-operator")
    assert not world.signs_off("deputy").allowed, "the lender has the role no more"
    world.people.set_roles("head", {"signer_off"}, actor="local-operator")
    world.people.set_status("head", "disabled", actor="local-operator")
    assert not world.signs_off("deputy").allowed, "the lender is gone"
    world.people.set_status("head", "active", actor="local-operator")
    assert world.signs_off("deputy").allowed
    world.people.change("head", department=world.other, actor="local-operator")
    assert not world.signs_off("deputy").allowed, "the lender is elsewhere"
    world.people.change("head", department=world.bureau, actor="local-operator")
    world.clock.now += timedelta(days=1)
    assert not world.signs_off("deputy").allowed, "over"


def test_a_delegation_reaches_its_departments_matters_and_roles_and_no_others(world: World) -> None:
    world.lend(department=world.section, matters=["annual-report"])
    assert world.signs_off("deputy", department=world.section, matter="annual-report").allowed
    assert not world.signs_off("deputy", department=world.section, matter="other").allowed
    assert not world.signs_off("deputy", department=world.bureau, matter="annual-report").allowed
    world.lend("stranger")
    assert world.signs_off("stranger").allowed
    assert not world.signs_off("stranger", department=world.other).allowed, "lent for one department, not carried into another"


def test_what_was_lent_cannot_be_lent_on(world: World) -> None:
    world.lend()
    with pytest.raises(BadDelegation):
        world.people.delegations.grant(
            "deputy", "stranger", roles={"signer_off"}, until=world.clock.now + timedelta(days=1), actor="deputy"
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": "head"},
        {"to": "auditor"},
        {"roles": set()},
        {"roles": {"seal_keeper"}},
        {"days": 0},
        {"days": 400},
        {"matters": ["no code at all!"]},
        {"elsewhere": True},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_delegations_that_make_no_sense_are_refused_in_words(world: World, wrong: dict[str, Any]) -> None:
    wanted: dict[str, Any] = dict(wrong)
    if "days" in wanted:
        wanted["until"] = world.clock.now + timedelta(days=wanted.pop("days"))
    if wanted.pop("elsewhere", False):
        wanted["department"] = world.other
    with pytest.raises(BadDelegation) as refusal:
        world.lend(**wanted)
    assert refusal.value.message_zh.startswith("无法办理代签授权")


def test_officers_do_not_lend_what_they_are(world: World) -> None:
    with pytest.raises(BadDelegation):
        world.people.delegations.grant(
            "officer", "deputy", roles={"officer"}, until=world.clock.now + timedelta(days=1), actor="officer"
        )


def test_people_find_their_delegations_and_the_log_holds_no_words_of_theirs(world: World) -> None:
    made = world.lend(reason="张三住院")
    head, deputy = world.account("head"), world.account("deputy")
    for account in (head, deputy):
        (found,) = world.people.delegations.list(account.id)
        assert (found.id, found.status, found.reason) == (made, "active", "张三住院")
    assert world.people.delegations.list(world.account("stranger").id) == ()
    (leaf,) = world.leaves("people.delegated")
    assert "张三" not in json.dumps(leaf, ensure_ascii=False)
    world.people.delegations.withdraw(made, actor=head.id)
    world.people.delegations.withdraw(made, actor=head.id)
    assert len(world.leaves("people.delegation-withdrawn")) == 1
    assert world.people.delegations.get(made).status == "withdrawn"
    assert world.people.delegations.list(open_only=True) == ()
    with pytest.raises(NoSuchDelegation):
        world.people.delegations.withdraw("delegation_0", actor=head.id)


# -- hand-over ------------------------------------------------------------------------------------------------------------


def test_a_post_passes_on_with_its_open_work(world: World) -> None:
    people = world.people
    moved: list[tuple[str, str]] = []

    def applications(session: Session, from_account: str, to_account: str, *, actor: str) -> int:
        moved.append((from_account, to_account))
        return 3

    people.hand_overs.work["applications"] = applications
    head, successor = world.account("head"), people.create("next", PASSWORD, roles={"handler"})
    session, mine = people.sign_in("head", PASSWORD).token, people.sign_in("next", PASSWORD).token
    delegation = world.lend()
    done = people.hand_overs.hand_over("head", "next", reason="调任", actor="admin")
    assert done.moved == {"applications": 3}
    assert moved == [(head.id, successor.id)]
    after = people.get("next")
    assert (after.roles, after.department) == ({"handler", "reviewer", "signer_off"}, world.bureau)
    assert people.get("head").roles == frozenset()
    assert people.by_session(session) is None, "the old post's sessions are over"
    assert people.by_session(mine) is not None
    assert people.delegations.get(delegation).status == "withdrawn"
    assert world.signs_off("next").allowed
    assert not world.signs_off("head").allowed
    assert not world.signs_off("deputy").allowed
    (leaf,) = world.leaves("people.handed-over")
    assert leaf["data"]["moved"] == {"applications": 3}
    assert "调任" not in json.dumps(leaf, ensure_ascii=False)


def test_a_hand_over_that_fails_half_way_changes_nothing(world: World) -> None:
    def applications(session: Session, from_account: str, to_account: str, *, actor: str) -> int:
        raise RuntimeError("no")

    world.people.hand_overs.work["applications"] = applications
    world.people.create("next", PASSWORD, roles=set())
    with pytest.raises(RuntimeError):
        world.people.hand_overs.hand_over("head", "next", actor="admin")
    assert world.account("head").roles == {"signer_off", "reviewer"}
    assert world.account("next").roles == frozenset()
    assert world.leaves("people.handed-over") == []


def test_whoever_leaves_is_out_with_tokens_and_delegations(world: World) -> None:
    people = world.people
    people.create("next", PASSWORD, roles=set())
    held = people.delegations.grant(
        "head", "deputy", roles={"reviewer"}, until=world.clock.now + timedelta(days=1), actor="head"
    ).id
    _, bearer = people.issue_token("deputy", "script")
    people.hand_overs.hand_over("deputy", "next", leaves=True, actor="admin")
    assert people.get("deputy").status == "disabled"
    with pytest.raises(BadToken):
        people.by_token(bearer)
    assert people.delegations.get(held).status == "withdrawn"


def test_posts_pass_within_a_department_and_roles_still_exclude_one_another(world: World) -> None:
    people = world.people
    for successor, error in (("head", BadHandOver), ("stranger", BadHandOver), ("auditor", RolesExclude)):
        with pytest.raises(error):
            people.hand_overs.hand_over("head" if successor != "auditor" else "officer", successor, actor="admin")
    with pytest.raises(BadHandOver):
        people.hand_overs.hand_over("head", "deputy", roles={"seal_keeper"}, actor="admin")
    part = people.hand_overs.hand_over("head", "officer", roles={"reviewer"}, actor="admin")
    assert part.roles == ("reviewer",)
    assert world.account("head").roles == {"signer_off"}
