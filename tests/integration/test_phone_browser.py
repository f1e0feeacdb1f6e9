"""Licences on a phone, in a real browser at 390 px: downloading, showing with and without network, what copying it is worth,
changes, authorising, a lost phone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from formats import codes
from people.demo import demo_citizen
from store.db import utc_now
from tests.browser import chromium, needs_chromium
from tests.node_home import Service, founded_home, serving
from tests.npm_packages import phone_codes
from tests.phone_world import SHOP, Phone, issue, shop_data

pytestmark = needs_chromium

OWNER, STAFF = demo_citizen("owner"), demo_citizen("staff")
WHERE = "[data-shell]"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    phone_codes()
    with serving(founded_home("phone")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def licence(service: Service) -> dict[str, Any]:
    return issue(service, key="phone-first")


@pytest.fixture
def owner(browser: Any, service: Service, licence: dict[str, Any]) -> Iterator[Phone]:
    """The shop owner's phone, the licence on it and shown."""
    phone = Phone(browser, service)
    phone.sign_in("owner")
    phone.download(licence["id"])
    yield phone
    phone.leave()


def read(code: str) -> codes.ShownCode:
    found = codes.decode(code)
    assert isinstance(found, codes.ShownCode)
    return found


def decision(service: Service, code: str) -> dict[str, Any]:
    answer: dict[str, Any] = service.app.state.verifier.verify_code(code)
    return answer


def test_a_licence_on_the_phone_is_shown_as_a_code_that_the_verifier_accepts(
    service: Service, owner: Phone, licence: dict[str, Any]
) -> None:
    code = owner.shown()
    assert code.startswith("http")
    assert "/v#" in code
    found = decision(service, code)
    assert found["answer"]["decision"] == "accept", found["answer"]
    assert found["presentation"]["kind"] == "shown"
    assert found["presentation"]["bearer"] == OWNER.name
    assert SHOP in owner.page.locator(WHERE).inner_text()


def test_the_code_changes_every_minute_by_itself(owner: Phone) -> None:
    first = owner.shown()
    owner.page.clock.install()
    owner.page.reload()
    second = owner.shown()
    owner.page.clock.run_for(61_000)
    owner.page.wait_for_timeout(300)
    third = owner.shown()
    assert len({first, second, third}) == 3
    assert read(third).shown_at - read(second).shown_at >= timedelta(seconds=59)
    assert read(third).token_id != read(second).token_id


def test_the_phone_without_network_shows(service: Service, owner: Phone) -> None:
    owner.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    owner.go("/phone")
    owner.context.set_offline(True)
    try:
        owner.page.goto(owner.base + "/phone/show")
        code = owner.shown()
        assert decision(service, code)["answer"]["decision"] == "accept"
        assert "未能联网核对" in owner.page.locator("[data-heard]").inner_text()
        assert owner.page.locator("[data-offline]").is_visible()
        owner.page.goto(owner.base + "/phone")
        assert owner.shown() != code, "whatever page of the phone is opened, licences can be shown"
    finally:
        owner.context.set_offline(False)
        owner.complaints.clear()  # that the network was away is what the browser complains of


def test_a_phone_whose_clock_is_wrong_shows_codes_of_the_right_minute(service: Service, owner: Phone) -> None:
    owner.page.clock.install(time=utc_now() + timedelta(minutes=7))
    owner.page.reload()
    owner.page.get_by_text("已联网确认有效").wait_for()
    owner.page.wait_for_timeout(300)
    code = owner.shown()
    assert abs(read(code).shown_at - utc_now()) < timedelta(seconds=30)
    assert decision(service, code)["answer"]["decision"] == "accept"


def test_digits_that_the_clerk_gave_are_in_the_code(service: Service, owner: Phone) -> None:
    before = owner.shown()
    owner.page.get_by_label("窗口给了四位口令？").fill("4721")
    owner.page.get_by_text("口令已加入二维码").wait_for()
    after = owner.shown()
    assert read(before).challenge is None
    assert read(after).challenge == "4721"


def test_a_copy_whose_month_is_nearly_over_is_renewed_by_opening_the_page(service: Service, owner: Phone) -> None:
    old = read(owner.shown()).credential
    owner.page.evaluate(AGE)
    owner.go("/phone")
    for _ in range(100):
        if (kept := owner.page.evaluate(KEPT))["saved"]:
            break
        owner.page.wait_for_timeout(100)
    owner.page.get_by_role("link", name="出示").click()
    new = read(owner.shown()).credential
    assert kept["count"] == 1
    assert new.claims.key == old.claims.key
    assert new.claims.token_id != old.claims.token_id
    assert len([one for one in service.node.copies.mine(owner.citizen) if one["ended_at"] is None]) == 1


_STORE = """
  const version = document.querySelector("script[type=module]").src.split("?")[1];
  const store = await import(`/static/phone/store.js?${version}`);
  const [copy, ...more] = await store.copies();
"""
AGE = "async () => {" + _STORE + "await store.keep({ ...copy, renew_from: '2026-01-01T00:00:00Z', saved: 0 }); }"
KEPT = "async () => {" + _STORE + "return { saved: copy.saved, count: 1 + more.length }; }"
"""As if the month were nearly over; and what lies on the phone."""


# -- copying it is worth nothing ---------------------------------------------------------------------------------------------

EVERYTHING = """async () => {
  const plain = async (value) => {
    if (value instanceof CryptoKey) {
      for (const form of ["jwk", "pkcs8", "raw", "spki"])
        try {
          if (value.type === "private") return { form, key: JSON.stringify(await crypto.subtle.exportKey(form, value)) };
        } catch { continue; }
      return value.type === "private" ? "no script can read it" : "public";
    }
    if (value instanceof Uint8Array) return { bytes: [...value] };
    if (Array.isArray(value)) return Promise.all(value.map(plain));
    if (value && typeof value === "object")
      return Object.fromEntries(await Promise.all(Object.entries(value).map(async ([name, one]) => [name, await plain(one)])));
    return value;
  };
  const all = (request) => new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = failed;
  });
  const found = { local: { ...localStorage }, session: { ...sessionStorage }, cookies: document.cookie, databases: {} };
  for (const { name, version } of await indexedDB.databases()) {
    const opened = await all(indexedDB.open(name));
    found.databases[name] = {};
    for (const store of opened.objectStoreNames) {
      const read = opened.transaction(store).objectStore(store);
      const [keys, values] = [await all(read.getAllKeys()), await all(opened.transaction(store).objectStore(store).getAll())];
      found.databases[name][store] = await plain(keys.map((key, number) => [key, values[number]]));
    }
  }
  return found;
}"""
"""Whatever a script on the page can read, in a form that can be carried away."""

PUT = """async ([found, forged]) => {
  const whole = (value) => {
    if (Array.isArray(value)) return value.map(whole);
    if (value && value.bytes) return Uint8Array.from(value.bytes);
    if (!value || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, whole(one)]));
  };
  const version = document.querySelector("script[type=module]").src.split("?")[1];
  const store = await import(`/static/phone/store.js?${version}`);
  const own = forged ? (await store.keyOf("thief")).privateKey : null;
  for (const [, copy] of found.databases["xinyin-phone"].copies)
    await store.keep({ ...whole(copy), ...(own ? { key: own } : {}) });
  Object.entries(found.local).forEach(([name, value]) => localStorage.setItem(name, value));
}"""


def test_copied_browser_storage_cannot_show_the_licence(service: Service, browser: Any, owner: Phone) -> None:
    """Everything that a script or an export of the browser's state reads on one phone is put into another."""
    owner.shown()
    found = owner.page.evaluate(EVERYTHING)
    copy = found["databases"]["xinyin-phone"]["copies"][0][1]
    assert copy["key"] == "no script can read it"
    assert copy["credential"]["bytes"], "the credential itself can be read, and is worth nothing alone"
    exported = owner.context.storage_state(indexed_db=True)

    thief = Phone(browser, service)
    thief.go("/phone/show")
    thief.page.evaluate(PUT, [found, False])
    thief.page.reload()
    thief.page.get_by_text("这份副本不能在本机出示").wait_for()
    assert not thief.page.locator("[data-canvas]").is_visible()

    # A key of the thief's own draws a code; it is not the key that the licence is bound to.
    thief.page.evaluate(PUT, [found, True])
    thief.page.reload()
    forged = decision(service, thief.shown())
    assert forged["answer"]["decision"] == "refuse", forged["answer"]

    # The session's cookie, which no script reads but an export of the browser's state does, puts no licence on another phone.
    thief.context.add_cookies(exported["cookies"])
    thief.go(f"/phone/download/{copy['licence']}")
    thief.page.get_by_role("button", name="下载", exact=True).click()
    thief.page.get_by_text("请在这部手机上重新登录").wait_for()
    thief.complaints.clear()
    thief.close()


def test_a_copied_profile_restored_by_the_browsers_own_export_cannot_show_it_either(
    service: Service, browser: Any, owner: Phone
) -> None:
    exported = owner.context.storage_state(indexed_db=True)
    thief = Phone(browser, service)
    thief.context.close()
    thief.context = browser.new_context(viewport={"width": 390, "height": 844}, storage_state=exported)
    thief.page = thief.context.new_page()
    thief.go("/phone/show")
    thief.page.wait_for_timeout(800)
    assert not thief.page.locator("[data-canvas]").is_visible()
    thief.close()


# -- changes, authorisations, loss --------------------------------------------------------------------------------------------


def test_after_a_change_the_old_copy_says_so(service: Service, browser: Any) -> None:
    made = issue(service, name="云江市样本变更店", key="phone-change")
    phone = Phone(browser, service)
    phone.sign_in("owner")
    phone.download(made["id"])
    old = phone.shown()
    node = service.node
    changed = shop_data("云江市样本变更店") | {"capital": "人民币壹佰万元整"}
    node.licences.change(node.actor(None), made["id"], changed, idempotency_key="phone-changed")
    assert decision(service, old)["answer"]["decision"] == "refuse"
    phone.page.reload()
    phone.page.get_by_text("证照已变更", exact=True).wait_for()
    assert not phone.page.locator("[data-canvas]").is_visible()
    phone.page.get_by_role("link", name="重新下载").click()
    phone.page.get_by_role("button", name="下载", exact=True).click()
    phone.page.wait_for_url("**/phone/show#*")
    assert decision(service, phone.shown())["answer"]["decision"] == "accept"
    phone.leave()


def test_an_owner_authorises_staff_by_keyboard_alone_who_shows_the_licence_until_it_is_withdrawn(
    service: Service, browser: Any, owner: Phone, licence: dict[str, Any]
) -> None:
    owner.go(f"/phone/authorise/new?licence={licence['id']}")
    by_keyboard(owner, "证照管理员", "ArrowDown")  # of a group of radio buttons the tab key reaches one, arrows the others
    by_keyboard(owner, "对方姓名", text=STAFF.name)
    by_keyboard(owner, "对方身份证号", text=STAFF.id_number)
    by_keyboard(owner, "开立银行账户", "Space")
    by_keyboard(owner, "确认授权", "Enter")
    owner.page.get_by_text("已授权。").wait_for()

    staff = Phone(browser, service)
    staff.sign_in("staff")
    staff.download(licence["id"])
    shown = decision(service, staff.shown())
    assert shown["presentation"]["bearer_role"] == "staff"
    assert shown["presentation"]["matters"] == ["open-bank-account"]
    assert "开立银行账户" in staff.page.locator("[data-facts]").inner_text()

    by_keyboard(owner, "撤回授权", "Enter")
    owner.page.get_by_role("button", name="确认撤回").wait_for()
    by_keyboard(owner, "确认撤回", "Enter")
    owner.page.get_by_text("已撤回。").wait_for()
    assert decision(service, staff.shown())["answer"]["decision"] == "refuse"
    staff.page.reload()
    staff.page.get_by_text("授权已撤回", exact=True).wait_for()
    staff.leave()


def test_a_lost_phone_is_reported_from_any_browser_and_shows_nothing_any_more(
    service: Service, browser: Any, owner: Phone
) -> None:
    other = Phone(browser, service)
    other.sign_in("owner")
    other.go("/phone/lost")
    before = owner.shown()
    while other.page.get_by_role("link", name="挂失这部手机").count():
        other.page.get_by_role("link", name="挂失这部手机").first.click()
        other.page.get_by_role("button", name="确认挂失").click()
        other.page.get_by_text("已挂失。").wait_for()
    assert decision(service, before)["answer"]["decision"] == "refuse"
    owner.page.reload()
    owner.page.locator("[data-ended]").wait_for()
    owner.complaints.clear()  # the wallet answers 401: the other browsers were signed out
    other.close()


def by_keyboard(person: Phone, name: str, key: str = "", *, text: str = "") -> None:
    """Reach what is called ``name`` with the tab key, and press ``key`` or type ``text`` there."""
    for _ in range(80):
        person.page.keyboard.press("Tab")
        if person.page.evaluate(CALLED).startswith(name):
            break
    else:
        raise AssertionError(f"the tab key does not reach {name}")
    assert person.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "one sees where one is"
    if text:
        person.page.keyboard.type(text)
    else:
        person.page.keyboard.press(key)


CALLED = """() => {
  const on = document.activeElement;
  return (on.getAttribute("aria-label") || (on.labels?.length ? on.labels[0].innerText : "") || on.innerText || "").trim();
}"""
