"""The pages of trusted regions: an officer compares a fingerprint before anything is believed; everybody may look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.browser import Person, chromium, needs_chromium
from tests.foreign_region import ForeignRegion
from tests.node_home import Service, founded_home, serving
from tests.served_region import allow_private

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def zhejiang() -> Iterator[ForeignRegion]:
    made = ForeignRegion("330000", "浙江省")
    made.server.pages["/trust/list.jws"] = made.trust_list(12)
    made.server.pages["/status/a"] = made.status_list({3: 1})
    yield made
    made.server.close()


@pytest.fixture(scope="module")
def service(zhejiang: ForeignRegion) -> Iterator[Service]:
    home = founded_home("trust-pages")
    allow_private(home, zhejiang.host)
    with serving(home) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def test_an_officer_imports_a_region_only_with_its_fingerprint_compared(
    browser: Any, service: Service, zhejiang: ForeignRegion
) -> None:
    officer = Person(browser, service)
    officer.be("officer")
    page = officer.page
    officer.go("/trust")
    officer.shot("trust-none")
    page.get_by_label("列表地址").fill(zhejiang.base_url)
    page.get_by_role("button", name="导入").click()
    assert page.get_by_role("heading", name="请核对指纹").is_visible()
    shown = "".join(page.locator(".fingerprint").first.inner_text().split())
    assert shown == zhejiang.pin
    officer.shot("trust-compare")
    assert officer.violations() == []
    assert service.node.trust_store().list_of("330000") is None
    page.get_by_label("列表密钥的指纹").fill("0" * 64)
    page.get_by_role("button", name="导入").click()
    assert page.get_by_role("alert").is_visible()
    assert service.node.trust_store().list_of("330000") is None
    page.get_by_label("列表地址").fill(zhejiang.base_url)
    page.get_by_label("列表密钥的指纹").fill(zhejiang.pin.upper())
    page.get_by_role("button", name="导入").click()
    assert page.get_by_text("已导入浙江省的列表。").is_visible()
    assert page.get_by_role("link", name="浙江省").is_visible()
    service.node.held.state(zhejiang.ref(3), datetime.now(UTC))
    officer.speak("en")
    officer.go("/trust/regions/330000")
    assert page.get_by_text("Status list of licences").is_visible()
    assert officer.violations() == []
    officer.shot("trust-region")
    officer.context.close()  # the refused fingerprint was a 400, which the browser complains of


@pytest.mark.parametrize(("lang", "size"), [("zh", "desk"), ("en", "phone"), ("zh", "phone")])
def test_everybody_may_look_and_only_officers_are_offered_more(
    browser: Any, service: Service, zhejiang: ForeignRegion, lang: str, size: str
) -> None:
    if service.node.trust_store().list_of("330000") is None:
        service.node.region_desk.import_from(service.node.actor(None), zhejiang.base_url, pin=zhejiang.pin)
    for who, forms in ((None, 0), ("handler", 0), ("officer", 2)):
        person = Person(browser, service, size=size, lang=lang)
        person.be(who)
        person.go("/trust")
        assert person.page.locator("main form").count() == forms
        assert person.page.get_by_role("link", name="浙江省").is_visible()
        assert person.fits()
        if who == "officer":
            person.shot("trust-regions")
        person.go("/trust/regions/330000")  # who imported it is for those who work here
        assert person.page.locator(".history").count() == (0 if who is None else 1)
        person.close()


def test_a_region_whose_service_fails_or_whose_list_ran_out_is_told_apart_at_a_glance(
    browser: Any, service: Service, zhejiang: ForeignRegion
) -> None:
    operator = service.node.actor(None)
    ran_out = zhejiang.trust_list(20, issued=datetime.now(UTC) - timedelta(days=40))
    service.node.region_desk.import_text(operator, ran_out, pin=zhejiang.pin)
    zhejiang.server.pages["/trust/list.jws"] = zhejiang.trust_list(19)
    person = Person(browser, service)
    person.be("officer")
    person.go("/trust")
    person.page.get_by_role("button", name="立即更新").click()
    row = person.page.get_by_role("row", name="浙江省")
    assert "已过期" in row.inner_text()
    assert "最近一次未能取得" in row.inner_text()
    person.go("/trust/regions/330000")
    assert "序号为 19，而已知序号为 20" in person.page.get_by_role("alert").inner_text()
    assert person.violations() == []
    person.shot("trust-region-stale")
    person.page.get_by_role("link", name="停止采信").click()
    person.shot("trust-forget")
    person.page.get_by_role("button", name="停止采信").click()
    assert person.page.get_by_text("已停止采信浙江省。").is_visible()
    assert service.node.trust_store().list_of("330000") is None
    person.close()
