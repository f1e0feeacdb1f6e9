"""The rules that decide who may do what, and the sentences that say why."""

from __future__ import annotations

from pathlib import Path

import pytest

from people.schemas import ANONYMOUS, Actor, local_operator
from policies.authorise import RULES, Authoriser, BadRules, NotAllowed

REGION = "310000"
DEPARTMENT = "dept_market"
SEAL = {"id": "seal_1", "region": REGION, "department": DEPARTMENT}
LICENCE = {"id": "licence_1", "region": REGION, "department": DEPARTMENT}
OPERATOR = local_operator(REGION)


def staff(*roles: str, department: str = DEPARTMENT, region: str = REGION, name: str = "account_1") -> Actor:
    return Actor(name, name, frozenset(roles), department, region, "staff", frozenset({department}))


@pytest.fixture(scope="module")
def development() -> Authoriser:
    return Authoriser("development")


@pytest.fixture(scope="module")
def production() -> Authoriser:
    return Authoriser("production")


def test_the_default_matter_counts_as_signed_off_outside_production_only(
    development: Authoriser, production: Authoriser
) -> None:
    decision = development.decide(OPERATOR, "seal.apply", SEAL, {"pages": 3})
    assert decision.allowed
    assert decision.rule == "default-matter"
    assert "签发" in decision.reason_zh
    refused = production.decide(OPERATOR, "seal.apply", SEAL, {"pages": 3})
    assert not refused.allowed
    assert refused.closest == "signed-off-application"
    assert any("--application" in need for need in refused.missing)


def test_production_seals_on_a_signed_off_application_by_somebody_else_than_its_handler(production: Authoriser) -> None:
    context = {"application": "app_1", "application_state": "signed-off", "handler": "account_2"}
    keeper = staff("seal_keeper")
    assert production.decide(keeper, "seal.apply", SEAL, context).rule == "signed-off-application"
    assert not production.decide(keeper, "seal.apply", SEAL, {**context, "application_state": "reviewed"}).allowed
    own = production.decide(keeper, "seal.apply", SEAL, {**context, "handler": keeper.id})
    assert (own.allowed, own.rule) == (False, "handler-is-not-seal-keeper")


def test_another_department_and_another_region_are_refused(development: Authoriser) -> None:
    assert development.decide(staff("seal_keeper"), "seal.apply", SEAL).allowed
    assert not development.decide(staff("seal_keeper", department="dept_tax"), "seal.apply", SEAL).allowed
    assert not development.decide(staff("seal_keeper", department="dept_tax"), "seal.show", SEAL).allowed
    foreign = development.decide(staff("seal_keeper", region="320000"), "seal.apply", SEAL)
    assert (foreign.allowed, foreign.rule) == (False, "own-region-only")


def test_a_department_that_is_not_named_is_nobody_s(development: Authoriser) -> None:
    nameless = Actor("account_9", "x", frozenset({"seal_keeper"}), None, REGION)
    assert not development.decide(nameless, "seal.apply", {"id": "seal_1", "region": REGION}).allowed


def test_anonymous_callers_verify_and_neither_seal_nor_issue_nor_look(development: Authoriser) -> None:
    assert development.decide(ANONYMOUS, "verify").allowed
    allowed = {action for action in development.actions if development.decide(ANONYMOUS, action, {}).allowed}
    assert allowed == {"verify", "licence.types", "ca.show", "trust.list", "node.show"}


def test_an_auditor_changes_nothing_whatever_else_the_account_may_be(development: Authoriser) -> None:
    auditor = staff("auditor", "seal_keeper", "licensing_clerk")
    for action in ("seal.apply", "seal.revoke", "licence.issue", "licence.revoke", "people.create", "key.activate"):
        decision = development.decide(auditor, action, {"region": REGION, "department": DEPARTMENT})
        assert (decision.allowed, decision.rule) == (False, "auditors-change-nothing")
    for action in ("audit.read", "audit.verify", "audit.prove", "audit.export", "key.list", "people.list"):
        assert development.decide(auditor, action, {"region": REGION}).allowed


def test_in_production_keys_need_two_officers(development: Authoriser, production: Authoriser) -> None:
    officer = staff("officer")
    assert not development.decide(officer, "key.activate", {"region": REGION}).allowed
    assert development.decide(local_operator(REGION), "key.activate", {"region": REGION}).rule == "keys-outside-production"
    assert not production.decide(local_operator(REGION), "key.activate", {"region": REGION}).allowed
    assert not production.decide(officer, "key.activate", {"region": REGION}, {"approvals": 1}).allowed
    assert production.decide(officer, "key.activate", {"region": REGION}, {"approvals": 2}).rule == "keys-by-quorum"
    assert production.decide(officer, "key.compromise", {"region": REGION}).allowed


def test_people_see_their_own_account_and_no_other(development: Authoriser) -> None:
    handler = staff("handler")
    assert development.decide(handler, "people.show", {"id": handler.id, "region": REGION}).allowed
    assert not development.decide(handler, "people.show", {"id": "account_7", "region": REGION}).allowed


def test_a_denial_says_what_is_missing_and_whom_to_ask_in_both_languages(development: Authoriser) -> None:
    decision = development.decide(staff("reviewer"), "licence.issue", LICENCE)
    with pytest.raises(NotAllowed) as refusal:
        decision.require()
    error = refusal.value
    assert "licensing clerk of the issuing authority" in error.message
    assert "证照经办人" in error.message_zh
    assert "请联系" in error.message_zh
    assert error.status == 403
    assert error.detail["rule"] == "no-permit"


def test_whatever_is_unforeseen_is_denied(development: Authoriser) -> None:
    assert development.decide(OPERATOR, "seal.eat", SEAL).rule == "unknown-action"
    assert development.decide(OPERATOR, "seal.apply", {**SEAL, "bogus": 1}).rule == "bad-facts"
    assert development.decide(OPERATOR, "seal.apply", {**SEAL, "sample": "yes"}).rule == "bad-facts"
    assert development.decide(OPERATOR, "seal.apply", SEAL, {"pages": "three"}).rule == "bad-facts"
    assert development.decide(OPERATOR, "seal.apply", {**SEAL, "type": "Licence"}).rule == "bad-facts"
    assert not development.decide(OPERATOR, "seal.apply", SEAL, {"mode": "development", "pages": "x"}).allowed


def test_a_caller_cannot_say_which_mode_the_node_is_in(production: Authoriser) -> None:
    assert not production.decide(OPERATOR, "seal.apply", SEAL, {"mode": "development"}).allowed


def test_identifiers_from_outside_cannot_break_out_of_a_request(development: Authoriser) -> None:
    hostile = Actor('x", "y', 'Actor::"a"', frozenset({'seal_keeper"]'}), "d", REGION, "staff", frozenset({'"'}))
    assert not development.decide(hostile, "seal.apply", SEAL, {"application": 'a" || true || "'}).allowed


def test_every_action_is_permitted_to_somebody_by_a_rule_that_speaks_both_languages(development: Authoriser) -> None:
    for action in development.actions:
        assert any(rule.effect == "permit" and rule.covers(action) for rule in development.rules.values()), action
    for rule in development.rules.values():
        assert rule.actions is None or rule.actions <= development.actions
        assert rule.en.endswith(".")
        assert rule.zh.endswith("。")


def _copy(tmp_path: Path, extra: str) -> Path:
    for file in RULES.iterdir():
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "extra.cedar").write_text(extra, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("permit (principal, action, resource);", "has no @id"),
        ('@id("verify") permit (principal, action, resource);', "does not say"),
        ('@id("default-matter") @en("x.") @zh("x。") permit (principal, action == Action::"verify", resource);', "two rules"),
        ('@id("a") @en("x.") @zh("x。") permit (principal, action, resource) when { true };', "condition 1"),
        ('@id("a") @en("x.") @zh("x。") forbid (principal, action, resource) when { principal.age > 3 };', "age"),
        ('@id("a") @en("x.") @zh("x。") forbid (principal, action == Action::"seal.eat", resource);', "seal.eat"),
        ("permit (principal", "cannot be parsed"),
    ],
)
def test_rules_that_contradict_their_form_or_schema_are_refused_at_the_start(tmp_path: Path, rule: str, why: str) -> None:
    with pytest.raises(BadRules) as refusal:
        Authoriser("development", _copy(tmp_path, rule))
    assert why in str(refusal.value)


def test_a_mode_that_is_neither_development_nor_production_is_refused() -> None:
    with pytest.raises(BadRules):
        Authoriser("demo")


def standing_in(*roles: str, matters: tuple[str, ...] = (), own: tuple[str, ...] = ("handler",)) -> Actor:
    """account_1 of another department, in the place of account_9 of the seal's department."""
    name, elsewhere = "account_1", "dept_tax"
    lent = Actor(
        name,
        name,
        frozenset(roles),
        DEPARTMENT,
        REGION,
        "staff",
        frozenset({DEPARTMENT}),
        on_behalf_of="account_9",
        delegation="delegation_1",
        matters=frozenset(matters),
    )
    return Actor(name, name, frozenset(own), elsewhere, REGION, "staff", frozenset({elsewhere}), stand_ins=(lent,))


APPLICATION = {"id": "application_1", "region": REGION, "department": DEPARTMENT}


def test_whoever_stands_in_acts_in_the_lent_department_with_the_lent_roles_only(production: Authoriser) -> None:
    actor = standing_in("signer_off")
    decision = production.decide(actor, "application.sign-off", APPLICATION, {"handler": "account_2"})
    assert decision.allowed
    assert decision.standing_in == {"on_behalf_of": "account_9", "delegation": "delegation_1"}
    own = {**APPLICATION, "department": "dept_tax"}
    assert not production.decide(actor, "application.sign-off", own, {"handler": "account_2"}).allowed
    assert not production.decide(standing_in("reviewer"), "application.sign-off", APPLICATION, {"handler": "account_2"}).allowed
    assert production.decide(actor, "application.submit", own).standing_in == {}, "the own right comes first"


@pytest.mark.parametrize(
    "circumstances",
    [
        {"handler": "account_1"},
        {"handler": "account_9"},
        {"handler": "account_2", "handlers": ["account_2", "account_1"]},
        {"handler": "account_2", "handlers": ["account_2", "account_9"]},
    ],
    ids=["handled by the stand-in", "handled by the absent", "handed over to the stand-in", "handled for the absent"],
)
def test_standing_in_never_joins_handling_and_signing_off(production: Authoriser, circumstances: dict[str, object]) -> None:
    refused = production.decide(standing_in("signer_off"), "application.sign-off", APPLICATION, circumstances)
    assert not refused.allowed
    own = staff("signer_off", name="account_9")
    if "account_9" in str(circumstances):
        assert not production.decide(own, "application.sign-off", APPLICATION, circumstances).allowed


def test_a_delegation_for_some_matters_allows_nothing_in_others(production: Authoriser) -> None:
    actor = standing_in("signer_off", matters=("annual-report",))
    for matter, allowed in (("annual-report", True), ("default", False), ("licence", False)):
        context = {"handler": "account_2", "matter": matter}
        assert production.decide(actor, "application.sign-off", APPLICATION, context).allowed is allowed
