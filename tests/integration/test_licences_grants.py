"""Authorisations: who may give which, how far they reach, and that withdrawing one ends all that rests on it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from licences.grants import BadGrant, NoSuchGrant
from licences.service import NoSuchLicence
from people.errors import BadIdentityNumber
from people.schemas import Actor
from policies.authorise import NotAllowed
from tests.integration.holdings_world import Holdings, Someone
from tests.integration.seals_world import OPERATOR, REGION


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    return Holdings(tmp_path_factory.mktemp("grants"))


@pytest.fixture(scope="module")
def owner(world: Holdings) -> Someone:
    return world.someone("样本 李店主")


@pytest.fixture
def licence(world: Holdings, owner: Someone) -> dict[str, Any]:
    return world.business(owner)


@pytest.fixture
def clerk(world: Holdings) -> Someone:
    return world.someone("样本 王店员")


def test_the_owner_authorises_staff_for_listed_matters_until_a_day(
    world: Holdings, owner: Someone, clerk: Someone, licence: dict[str, Any]
) -> None:
    given = world.grant(owner, licence, "staff", clerk, "open-bank-account", days=10)
    assert (given["kind_zh"], given["name"], given["matters"]) == ("办事人", clerk.name, ["open-bank-account"])
    assert (given["direction"], given["status"], given["onward"]) == ("given", "active", False)
    (received,) = world.grants.mine(clerk.citizen)
    assert (received["direction"], received["given_by"]) == ("received", owner.name)
    now = world.world.now()
    found = world.grants.allowed(clerk.key, licence["id"], "open-bank-account", now)
    assert found is not None
    assert found.covers("open-bank-account")
    assert not found.covers("tax-registration")
    assert world.grants.allowed(clerk.key, licence["identifier"], "tax-registration", now) is None
    assert world.grants.allowed(clerk.key, licence["id"], "open-bank-account", now + timedelta(days=11)) is None
    assert world.grants.allowed(owner.key, licence["id"], "open-bank-account", now) is None  # an owner needs no grant


def test_the_button_pressed_twice_gives_one_authorisation(
    world: Holdings, owner: Someone, clerk: Someone, licence: dict[str, Any]
) -> None:
    until = world.world.now() + timedelta(days=10)
    asked = ("staff", clerk.key, clerk.name, ["open-bank-account"], until)
    first = world.grants.grant(owner.citizen, licence["id"], *asked)
    assert world.grants.grant(owner.citizen, licence["id"], *asked)["id"] == first["id"]


def test_a_manager_authorises_within_the_own_bounds_and_names_no_managers(
    world: Holdings, owner: Someone, clerk: Someone, licence: dict[str, Any]
) -> None:
    manager = world.someone("陈管理")
    world.grant(owner, licence, "manager", manager, "open-bank-account", "tax-registration", days=20)
    onward = world.grant(manager, licence, "staff", clerk, "open-bank-account", days=10)
    assert (onward["onward"], onward["given_by"]) == (True, manager.name)
    for kind, matters, days in (
        ("manager", ("open-bank-account",), 10),
        ("staff", (), 10),  # every matter
        ("staff", ("food-business-permit",), 10),
        ("staff", ("open-bank-account",), 25),  # longer
    ):
        with pytest.raises(NotAllowed):
            world.grant(manager, licence, kind, world.someone("外人"), *matters, days=days)
    with pytest.raises(NotAllowed):  # staff authorise nobody
        world.grant(clerk, licence, "staff", world.someone("外人"), "open-bank-account", days=1)


def test_there_are_five_managers_at_most(world: Holdings, owner: Someone, licence: dict[str, Any]) -> None:
    given = [world.grant(owner, licence, "manager", world.someone(f"管理{n}")) for n in range(5)]
    with pytest.raises(NotAllowed, match="five"):
        world.grant(owner, licence, "manager", world.someone("管理六"))
    world.grants.withdraw(owner.citizen, given[2]["id"])
    assert world.grant(owner, licence, "manager", world.someone("管理六"))["status"] == "active"


def test_withdrawing_a_manager_ends_at_once_what_the_manager_gave_and_every_copy_of_it(
    world: Holdings, owner: Someone, clerk: Someone, licence: dict[str, Any]
) -> None:
    manager, bystander = world.someone("陈管理"), world.someone("孙办事")
    world.download(owner, licence)
    granted = world.grant(owner, licence, "manager", manager)
    onward = world.grant(manager, licence, "staff", clerk, days=9)
    world.grant(owner, licence, "staff", bystander)
    copies = {who.name: world.download(who, licence) for who in (manager, clerk, bystander)}
    withdrawn = world.grants.withdraw(owner.citizen, granted["id"])
    assert (withdrawn["status"], withdrawn["withdrawn_why"]) == ("withdrawn", "withdrawn")
    assert world.grants.show(clerk.citizen, onward["id"])["withdrawn_why"] == "giver-withdrawn"
    assert {name: world.published(copy) for name, copy in copies.items()} == {manager.name: 1, clerk.name: 1, bystander.name: 0}
    assert world.state(clerk, copies[clerk.name]) == "unauthorised"
    assert "撤回" in next(one for one in world.copies.mine(clerk.citizen))["sentence_zh"]
    for gone in (manager, clerk):
        assert world.copies.of(gone.citizen) == []
        assert world.grants.allowed(gone.key, licence["id"]) is None
        with pytest.raises(NoSuchLicence):
            world.download(gone, licence)
    assert world.grants.withdraw(owner.citizen, granted["id"]) == withdrawn  # again changes nothing


def test_whoever_gave_it_and_whoever_has_it_end_an_authorisation_and_nobody_else(
    world: Holdings, owner: Someone, clerk: Someone, licence: dict[str, Any]
) -> None:
    manager, rival, stranger = world.someone("陈管理"), world.someone("丁管理"), world.someone("吴陌生")
    for one in (manager, rival):
        world.grant(owner, licence, "manager", one)
    first, second, third = (world.grant(manager, licence, "staff", clerk, days=n) for n in (3, 4, 5))
    for nobody in (rival, stranger):
        for ask in (world.grants.withdraw, world.grants.show):
            with pytest.raises(NoSuchGrant):
                ask(nobody.citizen, first["id"])
    assert world.grants.withdraw(manager.citizen, first["id"])["status"] == "withdrawn"
    assert world.grants.withdraw(clerk.citizen, second["id"])["withdrawn_why"] == "given-up"
    assert world.grants.withdraw(owner.citizen, third["id"])["status"] == "withdrawn"
    with pytest.raises(NoSuchGrant):
        world.grants.show(owner.citizen, "grant_none")


def test_an_agent_goes_for_one_matter_only_and_for_weeks_not_years(world: Holdings) -> None:
    holder, agent = world.someone("赵大爷"), world.someone("钱代办")
    licence = world.personal(holder)
    for matters, days in (((), 10), (("disability-benefit", "park-entry"), 10), (("disability-benefit",), 100)):
        with pytest.raises(BadGrant):
            world.grants.grant(
                holder.citizen, licence["id"], "agent", agent.key, agent.name, matters, world.world.now() + timedelta(days=days)
            )
    given = world.grant(holder, licence, "agent", agent, "disability-benefit", days=14)
    assert given["kind_zh"] == "代办人"
    for kind in ("manager", "staff"):
        with pytest.raises(NotAllowed):  # a person is no enterprise
            world.grant(holder, licence, kind, agent, "disability-benefit")


def test_at_a_counter_a_clerk_records_and_withdraws_an_agent_in_the_holders_presence(world: Holdings) -> None:
    holder, agent = world.someone("赵大爷"), world.someone("钱代办")
    licence, until = world.personal(holder), world.world.now() + timedelta(days=5)
    window = Actor("account_w", "窗口", frozenset({"window_clerk"}), "hall", REGION, "staff", frozenset({"hall"}))
    asked = (licence["id"], "agent", agent.key, agent.name, ["disability-benefit"], until, "presence")
    with pytest.raises(NoSuchLicence):  # nobody's card was read
        world.grants.grant(window, *asked)
    with pytest.raises(NoSuchLicence):  # somebody else's was
        world.grants.grant(window, *asked, present=agent.key)
    for other in (OPERATOR, agent.citizen):
        with pytest.raises((NotAllowed, NoSuchLicence)):
            world.grants.grant(other, licence["id"], *asked[1:6], "phone", present=holder.key)
    with pytest.raises(NotAllowed):  # nobody says of another that they are there, but a clerk
        world.grants.grant(agent.citizen, *asked, present=holder.key)
    with pytest.raises(NotAllowed):
        world.grants.mine(agent.citizen, present=holder.key)
    given = world.grants.grant(window, *asked, present=holder.key)
    assert given["basis"] == "presence"
    assert [one["id"] for one in world.grants.mine(window, present=holder.key)] == [given["id"]]
    copy = world.download(agent, licence)
    assert [one["id"] for one in world.copies.mine(window, present=agent.key)] == [copy["id"]]
    (lost,) = world.copies.lost(window, copy["id"], present=agent.key)  # a phone is reported lost at the counter too
    assert lost["state"] == "lost"
    (seen,) = world.grants.mine(holder.citizen)  # counter and phone share one record
    assert seen["id"] == given["id"]
    assert world.grants.allowed(agent.key, licence["id"], "disability-benefit") is not None
    assert world.grants.withdraw(window, given["id"], present=holder.key)["status"] == "withdrawn"


@pytest.mark.parametrize("wrong", ["kind", "name", "matter", "past", "too-far", "oneself", "number"])
def test_an_authorisation_that_makes_no_sense_is_refused_with_a_sentence(
    world: Holdings, owner: Someone, clerk: Someone, licence: dict[str, Any], wrong: str
) -> None:
    now = world.world.now()
    wish: dict[str, Any] = {
        "kind": "staff",
        "name": clerk.name,
        "id_number": clerk.id_number,
        "matters": ["open-bank-account"],
        "until": now + timedelta(days=9),
    }
    wish |= {
        "kind": {"kind": "boss"},
        "name": {"name": " "},
        "matter": {"matters": ["rule-the-world"]},
        "past": {"until": now - timedelta(minutes=1)},
        "too-far": {"until": now + timedelta(days=4000)},
        "oneself": {"id_number": owner.id_number, "name": owner.name},
        "number": {"id_number": "990000198001010000"},
    }[wrong]
    with pytest.raises((BadGrant, BadIdentityNumber)) as refused:
        world.grants.authorise(owner.citizen, licence["id"], **wish)
    assert refused.value.message_zh
    assert clerk.id_number not in refused.value.message + refused.value.message_zh


def test_an_authorisation_in_another_name_downloads_nothing(
    world: Holdings, owner: Someone, clerk: Someone, licence: dict[str, Any]
) -> None:
    world.download(owner, licence)
    wrong = world.grant(owner, licence, "staff", clerk, name="王点员")
    with pytest.raises(NotAllowed, match="name"):
        world.download(clerk, licence)
    world.grants.withdraw(owner.citizen, wrong["id"])
    world.grant(owner, licence, "staff", clerk, name=" 王 店员")  # as people type it; 样本 is no part of a name
    assert world.download(clerk, licence)["bearer"] == "样本 王店员"


def test_an_authorisation_stays_through_a_change_of_the_licence(
    world: Holdings, owner: Someone, clerk: Someone, licence: dict[str, Any]
) -> None:
    given = world.grant(owner, licence, "staff", clerk, "tax-registration")
    changed = world.changed(licence, owner, capital="人民币900万元整")
    found = world.grants.allowed(clerk.key, changed["id"], "tax-registration")
    assert found is not None
    assert found.id == given["id"]
    assert [one["id"] for one in world.grants.inspect(OPERATOR, changed["id"])] == [given["id"]]
