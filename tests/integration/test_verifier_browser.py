"""The verifier's page in a real Chromium whose camera sees a licence: scan, answer, receipt, going on, slip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CHROMIUM, Person, chromium, needs_chromium
from tests.node_home import Service, founded_home, serving
from tests.verifier_world import Shown, camera, jpeg, picture

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home("verifier-browser")) as running:
        yield running


@pytest.fixture(scope="module")
def shown(service: Service) -> Shown:
    return Shown(service, "browser")


@contextmanager
def seeing(film: Path) -> Iterator[Any]:
    """A Chromium whose camera plays a film; it asks nobody for leave."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-video-capture={film}",
            ],
        )
        yield opened
        opened.close()


def test_a_window_scans_a_licence_and_reads_the_answer_at_once(service: Service, shown: Shown, tmp_path: Path) -> None:
    film = camera(tmp_path / "good.mjpeg", shown.good[0]["code"], angle=7)
    with seeing(film) as browser:
        window = Person(browser, service)
        window.be("window")
        window.go("/verify")
        window.page.select_option("#matter", "open-bank-account")
        window.shot("verifier-page")
        window.page.click("[data-start]")
        window.page.wait_for_selector("section.answer.whole", timeout=20_000)
        assert window.page.inner_text("#answer") in ("可以采信", "需要核实")
        assert window.page.evaluate("document.activeElement.id") == "answer"
        assert "/verify/" in window.page.url
        assert "云江市青禾信息科技有限公司" in window.page.inner_text(".compare")
        assert window.fits()
        assert window.violations() == []
        window.shot("verifier-scanned")
        window.page.click("text=出具回执")
        window.page.wait_for_url("**/receipts/receipt_*")
        window.shot("verifier-receipt")
        assert window.violations() == []
        window.page.go_back()
        window.page.wait_for_selector("text=查看回执")
        again = window.page.get_attribute("[data-again]", "href")
        assert again == "/verify?matter=open-bank-account#camera"
        window.page.click("[data-again]")  # the next one: the camera is on again, the matter still chosen
        window.page.wait_for_selector("section.answer.whole", timeout=20_000)
        window.close()


def test_a_camera_that_sees_no_code_keeps_looking_and_can_be_closed(service: Service, tmp_path: Path) -> None:
    film = camera(tmp_path / "blank.mjpeg", None)
    with seeing(film) as browser:
        phone = Person(browser, service, size="phone", lang="en")
        looks: list[str] = []
        phone.page.on("request", lambda asked: looks.append(asked.url) if asked.url.endswith("/verify/scan") else None)
        phone.go("/verify")
        phone.page.click("[data-start]")
        phone.page.wait_for_selector(".finder:not([hidden])")
        phone.page.wait_for_timeout(3200)
        assert 2 <= len(looks) <= 8
        assert phone.fits()
        phone.shot("verifier-looking")
        phone.page.click("[data-stop]")
        assert "closed" in phone.page.inner_text(".scan [role=status]")
        count = len(looks)
        phone.page.wait_for_timeout(1200)
        assert len(looks) <= count + 1
        phone.close()


def test_without_a_camera_the_page_says_what_else_works(service: Service) -> None:
    with chromium() as browser:
        person = Person(browser, service)
        person.go("/verify")
        person.page.click("[data-start]")
        person.page.wait_for_selector(".scan [role=status]:has-text('照片')")
        person.close()


def test_only_the_verifiers_page_may_use_the_camera(service: Service) -> None:
    with service.client() as http:
        assert "camera=(self)" in http.get("/verify").headers["permissions-policy"]
        for path in ("/", "/v", "/signin", "/s"):
            if path != "/":
                assert "camera=()" in http.get(path).headers["permissions-policy"], path


@pytest.mark.parametrize(("lang", "size"), [("zh", "phone"), ("en", "desk"), ("zh", "desk"), ("en", "phone")])
def test_the_answer_fills_the_screen_for_good_doubtful_and_bad(service: Service, shown: Shown, lang: str, size: str) -> None:
    cases = {"accept": shown.good, "check": shown.suspended, "refuse": shown.withdrawn}
    with chromium() as browser:
        person = Person(browser, service, lang=lang, size=size)
        person.be("window")
        for decision, (licence, _) in cases.items():
            person.go("/verify")
            file = {"name": "IMG.jpg", "mimeType": "image/jpeg", "buffer": jpeg(picture(licence["code"], angle=12))}
            person.page.set_input_files("#file", files=[file])
            person.page.wait_for_selector("section.answer.whole")
            tone = {"accept": "good", "check": "doubt", "refuse": "bad"}[decision]
            assert tone in str(person.page.get_attribute("section.answer.whole", "class")), decision
            box = person.page.locator("section.answer.whole").bounding_box()
            assert box["height"] >= 0.3 * person.page.viewport_size["height"]
            assert person.fits()
            assert person.violations() == []
            person.shot(f"verifier-{decision}")
        person.close()


def test_from_a_doubt_to_the_slip_in_two_windows(service: Service, shown: Shown) -> None:
    with chromium() as browser:
        window, signer = Person(browser, service), Person(browser, service, lang="en")
        window.be("window")
        signer.be("signer")
        window.go("/v")
        window.page.fill("input[name=code]", shown.suspended[0]["code"])
        window.page.click("form[data-code] button")
        window.page.wait_for_selector("section.answer.doubt")
        window.page.click("text=容缺受理")
        window.page.wait_for_url("**/provisional")
        window.page.fill("#f-reason", "颁发机构系统检修，已电话核实证照有效")
        window.page.fill("#f-bring", "营业执照原件（样本）")
        window.page.fill("#f-until", (datetime.now(UTC) + timedelta(days=5)).date().isoformat())
        assert window.violations() == []
        window.shot("verifier-go-on")
        window.page.click("text=登记并请负责人确认")
        window.page.wait_for_url("**/provisionals/provisional_*")
        slip = window.page.get_attribute("a[href^='/s/']", "href")
        assert slip
        signer.go("/receipts")
        signer.shot("verifier-waiting")
        signer.page.click("table a[href^='/provisionals/']")
        signer.page.wait_for_url("**/provisionals/*")
        signer.shot("verifier-decide")
        assert signer.violations() == []
        signer.page.click("button[value=confirm]")
        signer.page.wait_for_selector("text=Confirmed, outstanding")
        phone = Person(browser, service, size="phone")
        phone.go(slip)
        assert "营业执照原件" in phone.page.inner_text("main")
        assert "已先行受理" in phone.page.inner_text("main")
        assert phone.fits()
        assert phone.violations() == []
        phone.shot("verifier-slip")
        phone.page.emulate_media(media="print")
        assert phone.page.evaluate("document.body.scrollHeight") < 1500
        window.reload()
        window.page.click("text=登记已补交")
        window.page.wait_for_selector("text=已补交")
        phone.go(slip)
        assert "材料已收齐" in phone.page.inner_text("main")
        for person in (window, signer, phone):
            person.close()


def test_the_page_works_by_keyboard_alone(service: Service, shown: Shown, tmp_path: Path) -> None:
    film = camera(tmp_path / "keys.mjpeg", shown.good[0]["code"])
    with seeing(film) as browser:
        person = Person(browser, service)
        person.go("/verify")
        for _ in range(30):
            person.page.keyboard.press("Tab")
            if person.page.evaluate("document.activeElement.hasAttribute('data-start')"):
                break
        person.page.keyboard.press("Enter")
        person.page.wait_for_selector("section.answer.whole", timeout=20_000)
        person.close()


def test_without_scripts_a_photo_is_verified_all_the_same(service: Service, shown: Shown) -> None:
    with service.client() as http:
        photo = jpeg(picture(shown.good[0]["code"], angle=90))
        answer = http.post(
            "/verify",
            files={"file": ("a.jpg", photo)},
            data={"matter": "tax-registration", "challenge": ""},
            follow_redirects=True,
        )
    assert answer.status_code == 200
    assert "云江市青禾信息科技有限公司" in answer.text
