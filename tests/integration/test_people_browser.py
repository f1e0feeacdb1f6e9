"""Passkeys in a real browser with a virtual authenticator: added on the own page, used to sign in, removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from people.demo import demo_passwords
from tests.node_home import Service, founded_home, serving

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home()) as running:
        yield running


@pytest.fixture(scope="module")
def base(service: Service) -> str:
    """The node's own host: passkeys belong to it."""
    return f"http://310000.localhost:{urlsplit(service.url).port}"


@pytest.fixture
def page(service: Service) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        complaints: list[str] = []
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        yield opened
        browser.close()
        assert complaints == []


def authenticator(page: Any, *, verifies: bool = True) -> None:
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": verifies,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def sign_in(page: Any, service: Service, base: str, name: str) -> None:
    page.goto(f"{base}/signin?to=/account")
    page.fill("[name=name]", name)
    page.fill("[name=password]", demo_passwords(service.node.home / "secrets")[name])
    page.click("form.way button")
    page.wait_for_url("**/account")


def test_a_passkey_is_added_signs_in_and_is_removed(page: Any, service: Service, base: str) -> None:
    authenticator(page)
    sign_in(page, service, base, "officer2")
    page.fill("#new-passkey [name=name]", "办公室电脑")
    page.click("#new-passkey button")
    page.wait_for_url("**/account?done=passkey-added**")
    assert "办公室电脑" in page.inner_text("#passkeys")
    page.click("header form button")
    page.goto(f"{base}/signin?to=/account")
    page.click("[data-passkey=get]")
    page.wait_for_url("**/account")
    assert "通行密钥" in page.inner_text("#sessions")
    account = service.node.accounts.get("officer2").id
    (passkey,) = service.node.accounts.passkeys.owned(account)
    assert passkey.used_at is not None
    page.click("#passkeys details.more summary")
    page.click("#passkeys .danger-text")
    page.wait_for_url("**/account?done=passkey-removed")
    page.click("header form button")
    page.goto(f"{base}/signin")
    page.click("[data-passkey=get]")
    page.wait_for_selector("[data-passkey-problem]:not([hidden])")
    assert "通行密钥验证未通过" in page.inner_text("[data-passkey-problem]")


def test_without_finger_or_pin_nothing_is_added_and_the_page_says_so(page: Any, service: Service, base: str) -> None:
    authenticator(page, verifies=False)
    sign_in(page, service, base, "officer3")
    page.fill("#new-passkey [name=name]", "钥匙")
    page.click("#new-passkey button")
    page.wait_for_selector("[data-passkey-problem]:not([hidden])")
    assert service.node.accounts.passkeys.owned(service.node.accounts.get("officer3").id) == []


def test_under_another_address_the_page_names_the_right_one(page: Any, service: Service) -> None:
    sign_in(page, service, service.url, "officer3")
    assert page.locator("#new-passkey button").count() == 0
    assert "http://310000.localhost" in page.inner_text("#new-passkey")
