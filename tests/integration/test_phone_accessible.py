"""The phone's pages for people who see, hear, hold or read differently: axe, names, 200 % zoom, large type, weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from people.demo import demo_citizen
from store.db import utc_now
from tests import citizens
from tests.browser import chromium, needs_chromium
from tests.integration.test_pages_accessible import NO_PAGES
from tests.node_home import Service, founded_home, serving
from tests.npm_packages import phone_codes
from tests.phone_world import SHOP, Phone, issue

pytestmark = needs_chromium

OWNER, STAFF = demo_citizen("owner"), demo_citizen("staff")
MAX_BYTES = 150_000
HERE = "looked at as the citizen whose it is, in test_phone_accessible.py"


class World:
    """One licence on two phones, one authorisation."""

    def __init__(self, service: Service) -> None:
        self.service, node = service, service.node
        self.licence = issue(service, key="phone-accessible")["id"]
        citizen = citizens.citizen(node, "owner")
        until = utc_now() + timedelta(days=30)
        give = {"kind": "staff", "name": STAFF.name, "id_number": STAFF.id_number, "matters": ["open-bank-account"]}
        self.grant = node.grants.authorise(citizen, self.licence, until=until, **give)["id"]
        self.copy = ""


PAGES: dict[str, tuple[str, Callable[[World], str]]] = {
    "/phone": ("home", lambda w: "/phone"),
    "/phone/show": ("show", lambda w: "/phone/show"),
    "/phone/download/{licence_id}": ("download", lambda w: f"/phone/download/{w.licence}"),
    "/phone/authorise": ("grants", lambda w: "/phone/authorise"),
    "/phone/authorise/new": ("grant-new", lambda w: f"/phone/authorise/new?licence={w.licence}"),
    "/phone/authorise/{grant_id}": ("grant", lambda w: f"/phone/authorise/{w.grant}"),
    "/phone/authorise/{grant_id}/withdraw": ("grant-ask", lambda w: f"/phone/authorise/{w.grant}/withdraw"),
    "/phone/uses": ("uses", lambda w: "/phone/uses"),
    "/phone/lost": ("lost", lambda w: "/phone/lost"),
    "/phone/lost/{copy_id}": ("lost-ask", lambda w: f"/phone/lost/{w.copy}"),
    "/phone/print/{licence_id}": ("print", lambda w: f"/phone/print/{w.licence}"),
    "/phone/settings": ("settings", lambda w: "/phone/settings"),
}
"""By address: what its pictures are called, and a real one."""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    phone_codes()
    with serving(founded_home("phone-accessible")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return World(service)


@pytest.fixture(scope="module")
def phones(browser: Any, service: Service, world: World) -> Iterator[dict[str, Phone]]:
    """Usual type in Chinese by day, large type in English by night; the licence is on both. And 200 % zoom of a telephone
    390 px wide: 195 CSS pixels, twice as many dots each.
    """
    found = {
        "usual": Phone(browser, service),
        "large": Phone(browser, service, lang="en", scheme="dark", large=True),
        "zoomed": Phone(browser, service, zoom=2),
    }
    for phone in found.values():
        phone.sign_in("owner")
        phone.download(world.licence)
    world.copy = phone.page.url.split("#")[1]
    yield found
    for phone in found.values():
        phone.close()


@pytest.mark.parametrize("address", PAGES)
def test_a_phone_page_is_accessible_fits_and_is_light(world: World, phones: dict[str, Phone], address: str) -> None:
    name, path = PAGES[address]
    for which, phone in phones.items():
        assert phone.go(path(world)).status == 200
        if name == "show":
            phone.shown()
        phone.page.wait_for_timeout(200)  # what only this phone knows is put in
        assert phone.fits(), (which, phone.page.evaluate(WIDE))
        assert small(phone) == [], which
        if which == "zoomed":
            continue
        assert phone.violations() == [], which
        assert phone.page.locator("h1").count() == 1
        assert nameless(phone) == [], which
        phone.shot(f"phone/{name}-{which}")
        assert weight(phone) < MAX_BYTES, weight(phone)


def test_every_page_that_is_left_to_these_tests_is_looked_at() -> None:
    assert {address for address, why in NO_PAGES.items() if why == HERE} == set(PAGES)


def test_a_control_without_a_name_or_too_small_for_a_thumb_would_be_found(phones: dict[str, Phone]) -> None:
    phone = phones["usual"]
    phone.go("/phone/settings")
    phone.page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<button></button>')")
    assert nameless(phone) == ["button"]
    assert small(phone)


def test_the_screen_reader_hears_what_is_shown_and_who_shows_it(phones: dict[str, Phone]) -> None:
    phone = phones["usual"]
    phone.go("/phone/show")
    phone.shown()
    heard = phone.page.locator("main").aria_snapshot()
    assert '- img "营业执照的二维码，云江市样本百货店。每分钟自动更换，请对方扫描。"' in heard
    assert '- textbox "窗口给了四位口令？"' in heard
    assert '- heading "营业执照" [level=1]' in heard
    assert "样本 李店主（法定代表人）" in heard


def test_large_type_is_larger_leaves_things_out_and_reads_what_stands_there(phones: dict[str, Phone]) -> None:
    usual, large = phones["usual"], phones["large"]
    large.page.add_init_script(LISTEN)
    for phone in (usual, large):
        phone.go("/phone")
    size = "parseFloat(getComputedStyle(document.querySelector('.holder')).fontSize)"
    assert usual.page.evaluate(size) >= 16
    assert large.page.evaluate(size) >= 21
    assert large.page.locator(".extra:visible").count() == 0
    assert usual.page.locator(".extra:visible").count() > 0
    large.page.get_by_role("button", name="Read aloud").click()
    said = large.page.evaluate("window.said")
    written = large.page.locator("main").inner_text()
    assert "My licences" in said
    assert all(line in written for line in said)
    assert large.page.get_by_role("button", name="Read aloud").get_attribute("aria-pressed") == "true"


def test_the_shell_that_works_without_network_says_nothing_about_anybody(service: Service, world: World) -> None:
    with service.client() as nobody:
        page = nobody.get("/phone/show")
        worker = nobody.get("/phone/worker.js")
        welcome = nobody.get("/phone")
    assert page.status_code == 200
    assert welcome.status_code == 200
    for shown in (page.text, welcome.text):
        assert all(word not in shown for word in (OWNER.name, SHOP, world.licence))
    assert worker.headers["Service-Worker-Allowed"] == "/phone"
    with service.client() as nobody:
        for address in page.text.split('"')[1::2]:
            if address.startswith("/static/"):
                assert nobody.get(address).status_code == 200
                assert address in worker.text or address.endswith((".svg", ".png")) or "icon" in address, address


LISTEN = """
  window.said = [];
  const voice = { speak: (line) => window.said.push(line.text), cancel: () => {} };
  Object.defineProperty(window, "speechSynthesis", { value: voice });
"""
"""Instead of a voice: what it is given to say."""

WIDE = """() => [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => one.outerHTML.slice(0, 120)).slice(0, 5)"""


def nameless(phone: Phone) -> list[str]:
    """Roles of controls and pictures that a screen reader could only call by their role."""
    session = phone.context.new_cdp_session(phone.page)
    tree = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    roles = {"button", "link", "textbox", "checkbox", "radio", "combobox", "image", "img", "progressbar", "Date"}
    shown = [one for one in tree if not one.get("ignored") and one["role"]["value"] in roles]
    assert shown, "there is something to be named"
    return [one["role"]["value"] for one in shown if not one.get("name", {}).get("value", "").strip()]


def small(phone: Phone) -> list[str]:
    """Controls that a thumb misses: under 44 CSS pixels high, but for links inside a sentence."""
    return list(
        phone.page.evaluate(
            """() => [...document.querySelectorAll("a.button, button, .rows a, .tabs a, .bar a, .tick, .also a, input")]
              .filter((one) => one.offsetParent && !one.matches(".skip, .tick input, [type=hidden]"))
              .filter((one) => one.getBoundingClientRect().height < 43.5)
              .map((one) => `${one.getBoundingClientRect().height}: ${one.outerHTML.slice(0, 100)}`)"""
        )
    )


def weight(phone: Phone) -> int:
    """Bytes of the page and of everything that it loads, unpacked."""
    return int(
        phone.page.evaluate(
            """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
              .reduce((sum, part) => sum + part.decodedBodySize, 0)"""
        )
    )
