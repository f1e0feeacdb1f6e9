"""The navigation shows people where they may go, and nothing that they can only be refused."""

from __future__ import annotations

from api import pages
from api.navigation import PLACES, places
from api.texts import known
from people.schemas import Actor
from policies.authorise import Authoriser

EVERYWHERE = frozenset(place.href for place in PLACES)
RULES = Authoriser("production")


def keys(*roles: str) -> list[str]:
    actor = Actor("account_1", "li.hua", frozenset(roles), "dept_1", "310000", "staff", frozenset({"dept_1"}))
    return [place.key for place in places(EVERYWHERE, RULES, actor)]


def test_whoever_is_not_signed_in_may_only_verify() -> None:
    assert [place.key for place in places(EVERYWHERE, RULES, None)] == ["verify"]


def test_each_role_finds_its_work_and_not_that_of_others() -> None:
    for role in ("handler", "reviewer", "seal_keeper"):
        assert keys(role) == ["verify", "desk", "register"], role
    assert keys("signer_off") == ["verify", "desk", "register", "receipts"]
    assert keys("officer") == ["verify", "officer", "approvals", "trust"]
    assert keys("auditor") == ["verify", "register", "enquiries", "audit"]
    assert keys("window_clerk") == ["verify", "counter", "enquiries", "receipts"]
    assert keys("administrator") == ["verify", "approvals", "people"]


def test_a_page_that_is_not_there_is_not_shown() -> None:
    assert [place.key for place in places({"/verify"}, RULES, None)] == ["verify"]
    assert places({"/nowhere"}, RULES, None) == []


def test_every_place_has_a_name_and_asks_for_actions_that_the_rules_know() -> None:
    for place in PLACES:
        assert known(f"nav_{place.key}")
        assert set(place.actions) <= RULES.actions, place.key


def test_the_pages_find_their_modules_by_themselves() -> None:
    assert {"/", "/desk", "/signin"} <= pages.addresses()
