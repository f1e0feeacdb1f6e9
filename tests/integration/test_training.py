"""The five doors: prepared by the real rooms, open in a demo only, and each case answered as the lesson says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from api.sessions import CITIZEN_COOKIE
from api.texts import known
from api.training import DOORS
from ceremonies import training
from crypto.errors import Forbidden
from people.demo import demo_citizen
from tests import citizens
from tests.node_home import Service, founded_home, serving
from tests.soft_phone import SoftPhone
from verify.service import verify_bytes

ANSWERS = {"valid": "accept", "expired": "refuse", "withdrawn": "refuse", "edited": "refuse", "forged": "refuse"}
PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home("training")) as running:
        with running.client() as before:
            assert 'action="/verify"' in before.get("/", headers=PAGE).text, "nothing is prepared: the first page verifies"
            assert before.get("/training").status_code == 404
        training.prepare(running.node)
        yield running


@pytest.fixture
def browser(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, headers=PAGE, follow_redirects=True, timeout=60) as client:
        yield client


def enter(browser: httpx.Client, key: str) -> httpx.Response:
    page = browser.get("/").text
    token = re.findall(r'/training/enter/[^>]+><input type="hidden" name="csrf" value="([^"]+)"', page)[0]
    return browser.post(f"/training/enter/{key}", data={"csrf": token})


def test_each_prepared_licence_is_answered_as_the_lesson_says(service: Service) -> None:
    cases = training.prepared(service.node)
    assert cases is not None
    for case, answer in ANSWERS.items():
        data = (training.folder(service.node) / cases.licences[case]).read_bytes()
        found = verify_bytes(data, name=case, context=service.node.verification_context())
        assert found["answer"]["decision"] == answer, case
    assert found["signatures"][0]["signer"]["subject"] == found["signatures"][0]["signer"]["issuer"], "the forger's own"


def test_preparing_again_finds_the_work_done_and_afresh_makes_another_set(service: Service) -> None:
    first = training.prepare(service.node)
    assert training.prepare(service.node) == first
    before = {path.name: path.read_bytes() for path in training.folder(service.node).glob("*.pdf")}
    second = training.prepare(service.node, fresh=True)
    assert second.set == first.set + 1
    after = {path.name: path.read_bytes() for path in training.folder(service.node).glob("*.pdf")}
    assert set(before) == set(after)
    assert all(before[name] != after[name] for name in before)


def test_every_door_and_step_has_its_words() -> None:
    for door in DOORS:
        assert len(door.steps) == 3, door.key
        for key in ("", "_is", "_story"):
            assert known(f"door_{door.key}{key}")
        for step in door.steps:
            assert known(f"door_{door.key}_{step.key}")
            assert known(f"door_{door.key}_{step.key}_hint")


def test_a_door_is_gone_through_with_one_click_and_its_strip_goes_along(browser: httpx.Client) -> None:
    page = enter(browser, "counter")
    assert page.url.path == "/training/counter"
    assert page.text.count('class="button') >= 4
    for number, (case, answer) in enumerate(ANSWERS.items(), 1):
        page = browser.get(f"/training/case/{case}", params={"said": answer})
        assert "与信印一致" in page.text, case
        assert f"已完成 {1 if number == 5 else 0} 步" in page.text
    page = browser.get("/training/case/valid", params={"said": "refuse"})
    assert "您的判断是“不予采信”" in page.text
    page = browser.get("/training/step/counter/paper")
    assert page.url.path == "/v"
    assert "已完成 2 步" in page.text


def test_a_door_with_a_person_signs_in_as_that_person_and_leaving_signs_out(service: Service, browser: httpx.Client) -> None:
    staffed = [door for door in DOORS if door.account]
    for door in staffed:
        enter(browser, door.key)
        assert service.node.accounts.get(door.account or "").display_name in browser.get("/verify").text
    token = re.findall(r'name="csrf" value="([^"]+)"', browser.get(f"/training/{DOORS[0].key}").text)[-1]
    browser.post("/training/leave", data={"csrf": token})
    assert "xinyin_session" not in browser.cookies


def test_the_shop_owner_puts_the_licence_on_a_phone_and_lets_somebody_act_with_it(
    service: Service, browser: httpx.Client
) -> None:
    enter(browser, "owner")
    cases = training.prepared(service.node)
    assert cases is not None
    owner = citizens.citizen(service.node, "owner")
    assert browser.get("/training/step/owner/phone").url.path == f"/phone/download/{cases.licence}"
    phone = browser.get("/phone").text
    assert "云江市望江路青禾便民书店" in phone
    assert '<a href="/training/owner">' in phone
    assert "/training/owner" not in browser.get("/training/step/owner/show").text  # phones keep that page for everybody
    assert done(browser) == [False, True, False]
    proof = SoftPhone().proof(service.node.copies.challenge(owner))
    service.node.copies.download(owner, cases.licence, device="手机", proof=proof)
    assert done(browser) == [True, True, False]
    someone, until = demo_citizen("staff"), datetime.now(UTC) + timedelta(days=1)
    service.node.grants.authorise(
        owner,
        cases.licence,
        kind="staff",
        name=someone.name,
        id_number=someone.id_number,
        matters=["open-bank-account"],
        until=until,
    )
    assert done(browser) == [True, True, True]
    enter(browser, "counter")
    assert CITIZEN_COOKIE not in browser.cookies


def done(browser: httpx.Client) -> list[bool]:
    """Which of the steps behind the present door are done."""
    return [found == "done" for found in re.findall(r'<li class="(done|current|)">', browser.get("/training/owner").text)]


def test_nobody_is_sent_through_a_door_by_another_site(browser: httpx.Client) -> None:
    for address in ("/training/enter/counter", "/training/leave", "/training/again"):
        assert browser.post(address).status_code == 403, address
        assert browser.post(address, data={"csrf": "guessed"}).status_code == 403, address


def test_a_production_node_has_no_doors_and_prepares_none(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.node, "mode", "production")
    with pytest.raises(Forbidden):
        training.prepare(service.node)
    with httpx.Client(base_url=service.url, headers=PAGE) as stranger:
        assert 'action="/verify"' in stranger.get("/").text
        for address in ("/training", "/training/counter", "/training/licences", "/training/case/valid"):
            assert stranger.get(address).status_code == 404, address
        stranger.cookies.set("xinyin_form", "x" * 24)
        entered = stranger.post("/training/enter/counter", data={"csrf": "x" * 24})
        assert entered.status_code == 404
        assert "xinyin_session" not in entered.cookies


def test_a_cookie_of_another_set_or_of_no_shape_is_no_training(service: Service, browser: httpx.Client) -> None:
    cases = training.prepared(service.node)
    assert cases is not None
    old = replace(cases, set=cases.set + 7)
    for value in (f"counter:{old.set}:", "counter:x:", "nobody:1:", "<script>", "counter:1:" + "a" * 999):
        browser.cookies.set("xinyin_training", value)
        page = browser.get("/verify")
        assert page.status_code == 200
        assert 'class="strip"' not in page.text, value
        browser.cookies.clear()
