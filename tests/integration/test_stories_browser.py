"""The stories of the people inside, told by one script in a real browser; what they saw stays in build/screenshots.

Each story begins where a person would begin and goes through the pages only. Every page that matters is kept as a picture in
Chinese and in English, at a desk; the last story walks them again on a telephone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ceremonies import training
from tests.browser import SCREENSHOTS, Person, chromium, needs_chromium
from tests.node_home import Service, founded_home, serving

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home("stories")) as running:
        training.prepare(running.node)
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    shutil.rmtree(SCREENSHOTS / "stories", ignore_errors=True)
    with chromium() as opened:
        yield opened


@pytest.fixture
def someone(browser: Any, service: Service) -> Callable[..., Any]:
    """Opens a window for an account, or for nobody in particular."""

    @contextmanager
    def open_window(account: str | None = None, **how: str) -> Iterator[Person]:
        person = Person(browser, service, **how)
        person.be(account)
        yield person
        person.close()

    return open_window


def both(person: Person, name: str) -> None:
    """Keep the page in both languages; it must fit and please axe in each."""
    for lang in ("en", "zh"):
        person.speak(lang)
        person.page.reload()
        assert person.page.get_attribute("html", "lang") == {"zh": "zh-CN", "en": "en"}[lang]
        assert person.fits(), name
        assert person.violations() == [], name
        person.shot(f"stories/{name}")


def words(person: Person) -> str:
    """What the page says in its main part."""
    return str(person.page.inner_text("main"))


def test_a_new_user_goes_through_the_doors_of_the_public(someone: Callable[..., Any]) -> None:
    with someone() as visitor:
        visitor.go("/")
        both(visitor, "01-doors")
        visitor.page.click("li:has-text('外省窗口') button")
        both(visitor, "02-counter")
        visitor.page.click(".tasks .current a.button")
        both(visitor, "03-five-licences")
        for number, answer in enumerate(["accept", "refuse", "refuse", "refuse", "accept"]):
            visitor.page.locator(".judge > li").nth(number).locator(f"button[value={answer}]").click()
            said = visitor.page.inner_text("main .alert[role=status]")
            assert ("一致" in said) == (number < 4), "the forged one was taken for good"
            if number == 4:
                visitor.shot("stories/04-forged")
            visitor.page.click("main .alert a")
        assert "已完成 1 步" in visitor.page.get_attribute(".strip .dots", "aria-label")
        visitor.page.click(".strip p:last-child a")
        visitor.page.wait_for_selector("#answer")
        assert visitor.page.inner_text("#answer") == "可以采信"
        visitor.page.click(".strip p:last-child a")
        assert visitor.page.get_attribute("html", "lang") == "en"
        assert visitor.page.inner_text("#answer") == "Refuse"
        assert "All three steps are done" in visitor.page.inner_text(".strip")


def test_the_auditor_traces_a_document_and_finds_the_log_whole(
    someone: Callable[..., Any], service: Service, tmp_path: Path
) -> None:
    cases = training.prepared(service.node)
    assert cases is not None
    _, sealed = service.node.seals.applications.document(service.node.actor(None), cases.applications["sealed"], 1, sealed=True)
    (tmp_path / "sealed.pdf").write_bytes(sealed)
    with someone("auditor") as auditor:
        auditor.go("/audit")
        both(auditor, "50-audit")
        auditor.page.set_input_files("[name=file] >> nth=0", tmp_path / "sealed.pdf")
        auditor.page.click("section:has(#trace) button")
        assert "样本 印章管理员" in words(auditor)
        auditor.shot("stories/51-traced")
        auditor.go(f"/audit/trace?id={cases.applications['sealed']}")
        both(auditor, "51-traced")
        auditor.go("/audit")
        auditor.page.click("section:has(#whole) button")
        auditor.page.wait_for_selector(".alert.good")
        both(auditor, "52-log-whole")
        auditor.go("/audit/log")
        both(auditor, "53-log")
        auditor.page.locator("table.list tbody a").first.click()
        both(auditor, "54-entry")
