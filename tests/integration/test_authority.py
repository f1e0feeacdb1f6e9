"""Every address of the service is tried by every kind of caller; docs/authority.md says what came of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from records import agreement
from tests.authority.recipes import recipe_of
from tests.authority.table import OPEN, Row, as_markdown, try_all
from tests.authority.world import Route, World, opened, routes_of
from tests.node_home import founded_home

pytestmark = pytest.mark.timeout(1200)  # sixteen hundred requests

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "authority.md"

NOT_HERE = frozenset(
    {
        "GET /signin/oidc",
        "GET /signin/oidc/return",
        "GET /try/{name}",
        "GET /verify/{name}",
    }
)
"""Addresses of the demo and of an OpenID provider, on a node that has neither; and of results that nobody has kept."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with opened(founded_home("authority")) as found:
        yield found


@pytest.fixture(scope="module")
def routes(world: World) -> list[Route]:
    """Everything but the training, which is not there on a node without prepared cases."""
    return [route for route in routes_of(world.app) if not route.path.startswith("/training")]


@pytest.fixture(scope="module")
def rows(world: World, routes: list[Route]) -> list[Row]:
    return try_all(world, routes, NOT_HERE)


def test_the_table_of_every_address_by_every_caller_is_the_one_in_the_documentation(rows: list[Row]) -> None:
    made = as_markdown(rows)
    if os.environ.get("XINYIN_RENEW_AUTHORITY"):
        DOCUMENT.write_text(made, encoding="utf-8")
    assert made == DOCUMENT.read_text(encoding="utf-8"), "authority changed: look at every difference, then `make authority`"


AS_A_CITIZEN = ("/phone", "/api/v1/wallet")
"""Addresses for people from outside."""
ABOUT_ONESELF = ("/account", "/signin", "/phone/sign", "/api/v1/wallet/challenges")
OBJECTS = re.compile(r"\{(seal|impression|application|licence|subscription|delivery|event|account|approval|leaf)_id\}")
AN_AUDITOR_MAY = re.compile(r"/(api/v1/)?(audit|account|signin|signout)")
WELCOMES = frozenset({"GET /phone", "GET /trust", "GET /trust/regions/{region}"})
"""Another page for whoever is not signed in, which says nothing about anybody: what this is, or which lists are public."""
NO_ACCOUNT_NEEDED = {
    *("POST /verify", "POST /verify/scan", "POST /v", "POST /check", "POST /signin", "POST /signout"),
    *("POST /api/v1/verifications", "POST /api/v1/verifications/scan"),
    *OPEN,
}


def test_who_is_not_signed_in_gets_nowhere_but_where_everybody_gets(rows: list[Row]) -> None:
    for row in rows:
        if str(row.route) not in WELCOMES:
            assert row.is_open or row.cells["nobody"].answer in ("signin", "hidden"), row.route


def test_nobody_of_another_department_sees_or_touches_any_kind_of_object(rows: list[Row]) -> None:
    tried = [row for row in rows if OBJECTS.search(row.route.path) and not row.route.path.startswith(AS_A_CITIZEN)]
    assert len({name for row in tried for name in OBJECTS.findall(row.route.path)}) == 10
    for row in tried:
        assert row.cells["other"].answer in ("hidden", "no"), row.route
    for kind in ("seal", "impression", "application", "licence", "subscription", "event"):
        shown = [row for row in tried if f"{{{kind}_id}}" in row.route.path and row.route.method == "GET"]
        assert {row.cells["other"].answer for row in shown} == {"hidden"}, f"a {kind} is as if it were not there"


def test_nobody_from_outside_sees_or_touches_what_another_holds(rows: list[Row]) -> None:
    tried = [row for row in rows if re.search(r"\{(copy|grant)_id\}", row.route.path)]
    assert len(tried) >= 3
    for row in tried:
        assert (row.cells["holder"].answer, row.cells["citizen"].answer) == ("yes", "hidden"), row.route


def test_an_auditor_changes_nothing_at_any_address(rows: list[Row]) -> None:
    for row in rows:
        if row.route.method != "GET" and not row.is_open and not AN_AUDITOR_MAY.match(row.route.path):
            assert row.cells["auditor"].answer in ("no", "hidden", "signin"), row.route


def test_nothing_is_changed_by_whoever_comes_along(rows: list[Row]) -> None:
    """Every address that changes something and is not about the caller alone refuses some of those who are signed in."""
    for row in rows:
        if row.route.method != "GET" and not row.is_open and not row.route.path.startswith(ABOUT_ONESELF):
            assert {"no", "hidden"} & {cell.answer for cell in row.cells.values()}, row.route


def test_no_form_of_any_page_works_without_its_own_token(world: World, routes: list[Route]) -> None:
    """CSRF: another site can make a signed-in browser send a form, and does not know the token."""
    forms = [route for route in routes if route.is_page and route.method != "GET" and str(route) not in NO_ACCOUNT_NEEDED]
    assert len(forms) > 20
    for route in forms:
        world.persona = "holder" if route.path.startswith(AS_A_CITIZEN) else "keeper"
        ask = recipe_of(route, world)
        assert ask is not None
        for token in ("", "0" * 64):
            answer, asked = world.try_it(world.persona, route, ask, csrf=token)
            assert answer.status_code == 403 or (route.path.startswith("/signin") and answer.status_code in (401, 403)), route
            assert not [one for one in asked if one.required and one.decision.allowed], f"{route} asked a rule first"


def test_no_operation_works_by_cookie_alone(world: World, routes: list[Route]) -> None:
    operations = [route for route in routes if not route.is_page and route.method != "GET"]
    for route in operations:
        if str(route) in NO_ACCOUNT_NEEDED:
            continue
        world.persona = "holder" if route.path.startswith(AS_A_CITIZEN) else "keeper"
        ask = recipe_of(route, world)
        assert ask is not None
        answer, _ = world.try_it(world.persona, route, ask, csrf="", by_cookie=True)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf"), route


def test_after_all_of_it_the_registers_say_what_the_log_says(world: World, rows: list[Row]) -> None:
    """Whatever anybody was allowed to do is on record: nothing of it looks like an edited row."""
    with world.node.db.read() as session:
        assert [one.finding().message for one in agreement.check(session, world.node.region)] == []
