"""The pages in a real browser: choose or drop a document, read the answer, in both languages, on a desktop and on a phone."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.node_home import EXAMPLES, Service, founded_home, serving

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
APPROVAL = (EXAMPLES / "approval.pdf").read_bytes()
SIZES = {"desktop": (1280, 800), "phone": (360, 740)}
WORDS = {"zh": ("可以采信", "不予采信", "需要核实"), "en": ("Accept", "Refuse", "Check further")}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home()) as running:
        yield running


@pytest.fixture(scope="module")
def documents(service: Service, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A good document, an altered copy, and the original without a seal."""
    from seals.sealing import Placement

    folder = tmp_path_factory.mktemp("documents")
    place = Placement(2, 137.0, 175.0)
    operator = service.node.actor(None)
    _, sealed = service.node.seals.apply(operator, APPROVAL, seal_id=service.seal()["id"], level="LT", placement=place)
    altered = bytearray(sealed)
    altered[len(APPROVAL) // 2] ^= 1
    made = {"sealed": sealed, "altered": bytes(altered), "plain": APPROVAL}
    for name, data in made.items():
        (folder / f"{name}.pdf").write_bytes(data)
    return {name: folder / f"{name}.pdf" for name in made}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, service: Service, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of the size and language asked for; fails the test on any script error or refused resource."""
    size, lang, script = getattr(request, "param", ("desktop", "zh", True))
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, java_script_enabled=script)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(f"{service.url}/lang/{lang}?back=/")
    yield opened
    context.close()
    assert complaints == []


def fits(page: Any) -> bool:
    """Nothing needs scrolling sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


EVERY = [(size, lang, True) for size in SIZES for lang in WORDS]


@pytest.mark.parametrize("page", EVERY, indirect=True, ids=[f"{s}-{lang}" for s, lang, _ in EVERY])
def test_choose_a_document_and_read_the_answer(
    page: Any, documents: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lang = "zh" if page.get_attribute("html", "lang") == "zh-CN" else "en"
    accept, refuse, check = WORDS[lang]
    assert fits(page)
    page.screenshot(path=tmp_path / "first.png", full_page=True)
    for name, words in (("sealed", accept), ("altered", refuse), ("plain", check)):
        page.goto(re.sub(r"(?<=\d)/.*", "/", page.url))
        page.set_input_files("#file", documents[name])
        page.wait_for_selector("#answer")
        assert page.inner_text("#answer") == words
        assert page.evaluate("document.activeElement.id") == "answer", "a screen reader starts at the answer"
        assert fits(page)
        assert page.locator(".four li").count() == 4
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)


def test_drop_a_document_and_switch_the_language_of_its_result(page: Any, documents: dict[str, Path]) -> None:
    data = base64.b64encode(documents["sealed"].read_bytes()).decode()
    page.evaluate(
        """(data) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
          const dropped = new DataTransfer();
          dropped.items.add(new File([bytes], "dropped.pdf", { type: "application/pdf" }));
          const zone = document.querySelector(".drop");
          for (const type of ["dragenter", "dragover", "drop"])
            zone.dispatchEvent(new DragEvent(type, { dataTransfer: dropped, bubbles: true, cancelable: true }));
        }""",
        data,
    )
    page.wait_for_selector("#answer")
    assert page.inner_text("#answer") == "可以采信"
    assert "dropped.pdf" in page.inner_text("main")
    address = page.url
    page.reload()
    assert page.inner_text("#answer") == "可以采信"
    page.click("a[hreflang=en]")
    page.wait_for_selector("html[lang=en]")
    assert page.url == address
    assert page.inner_text("#answer") == "Accept"
    page.go_back()


@pytest.mark.parametrize("page", [("phone", "zh", False)], indirect=True)
def test_without_javascript_the_form_posts_as_any_form_does(page: Any, documents: dict[str, Path]) -> None:
    page.set_input_files("#file", documents["sealed"])
    page.click("button[type=submit]")
    assert page.inner_text("#answer") == "可以采信"


def test_the_keyboard_reaches_everything_in_order(page: Any) -> None:
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert reached[0] == "跳到正文"
    assert "file" in reached
    assert any("English" in text for text in reached)


def test_a_scanned_code_is_answered_on_the_landing_page(page: Any, service: Service) -> None:
    import json

    service.registrar()
    data = json.loads((EXAMPLES / "licence.json").read_text("utf-8"))
    licence, _ = service.node.licences.issue(service.node.actor(None), "business-licence", data)
    service.node.renew_trust()
    page.goto(f"{service.url}/v#{licence['code'].split('#')[1]}")
    page.wait_for_selector("#answer")
    assert page.inner_text("#answer") == "可以采信"
    assert data["name"] in page.inner_text("main")


def test_signing_in_and_out(page: Any, service: Service) -> None:
    from people.demo import demo_passwords

    page.goto(f"{service.url}/signin")
    page.fill("[name=name]", "keeper")
    page.fill("[name=password]", demo_passwords(service.node.home / "secrets")["keeper"])
    page.click("main button")
    page.wait_for_url("**/desk")
    page.click("header form button")
    page.wait_for_url(re.compile(r":\d+/$"))
    page.goto(f"{service.url}/desk")
    assert page.url.endswith("/signin?to=/desk")
