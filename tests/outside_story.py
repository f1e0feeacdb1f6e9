"""The story of the people outside: a shop owner in Shanghai, her phone, her staff, and a counter in Zhejiang.

Told in Chromium windows through the pages alone: the owner's phone at 390 px, the counter at 1280 px, whose camera sees what
the phone's screen shows. Every page that matters is left as a picture in ``build/screenshots/outside``: in both languages, the
phone's in large type too. Each chapter checks its own outcome.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from people.demo import demo_citizen
from tests.browser import PICTURES, SCREENSHOTS, Person, chromium
from tests.phone_world import Phone, issue
from tests.regions_world import Regions, two_regions
from verify.receipt import check

FOLDER = "outside"
OWNER, STAFF = demo_citizen("owner"), demo_citizen("staff")
BANK, TRANSPORT, TAXES = "open-bank-account", "road-transport-permit", "tax-registration"
DESK = (150, 140, 130)
"""The colour of what lies behind a phone that is held before a camera."""


class Holder(Phone):
    """A citizen with a phone, who signs in as people do. Its screen has three dots a pixel, as most phones have."""

    options: ClassVar[dict[str, Any]] = {"device_scale_factor": 3, "locale": "zh-CN"}
    large = False

    def arrive(self, key: str) -> None:
        """Sign in at the region's identity provider; leaves the page with the licences."""
        self.go("/phone/signin?to=/phone")
        self.page.click("main a[href^='/phone/signin/start']")
        self.page.click(f"button[name=citizen][value={key}]")
        self.page.wait_for_url("**/phone")
        self.page.wait_for_selector("main h1")

    def take(self) -> None:
        """Put the licence that is listed on this phone; leaves the page that shows it."""
        self.page.click("a[data-download]")
        self.page.click("form[data-get] button.big")
        self.page.wait_for_url("**/phone/show#*")
        self.shown()

    def screen(self) -> Image.Image:
        """What others see of this phone now."""
        self.page.evaluate("scrollTo(0, 0)")
        return Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")

    def renew(self) -> None:
        """Have the next code drawn, as its owner does by a tap."""
        self.page.click("[data-again]")
        self.shown()

    def keep(self, name: str, *, large: bool = True) -> None:
        """Leave the page as pictures, in both languages, in usual and in large type; it must fit the phone each time."""
        for lang, big in (("en", False), ("en", large), ("zh", large), ("zh", False))[:: 1 if large else 3]:
            self.read(lang, large=big)
            self.reload()
            if self.page.locator("[data-shell]").count():
                self.page.wait_for_selector("[data-canvas][data-drawn], [data-ended]:not([hidden])")
            assert self.fits(), f"{name} {lang} {'large' if big else ''}"
            self.shot(f"{FOLDER}/{name}")

    def read(self, lang: str, *, large: bool) -> None:
        """Choose language and size of type for what follows."""
        self.speak(lang)
        self.large = large
        self.context.clear_cookies(name="xinyin_large")
        if large:
            self.context.add_cookies([{"name": "xinyin_large", "value": "1", "url": self.base}])

    def shot(self, name: str) -> None:
        """The whole page as on a phone that is as long as the page, so that what sticks to the bottom is there."""
        if not PICTURES:
            return
        usual = self.page.viewport_size
        whole = self.page.evaluate("document.documentElement.scrollHeight")
        self.page.set_viewport_size({"width": usual["width"], "height": max(usual["height"], whole)})
        SCREENSHOTS.joinpath(FOLDER).mkdir(parents=True, exist_ok=True)
        large = "-large" if self.large else ""
        self.page.screenshot(path=SCREENSHOTS / f"{name}{large}-{self.lang}-{self.size}.png", scale="css")
        self.page.set_viewport_size(usual)


class Counter(Person):
    """The window clerk of Zhejiang with a camera on the desk."""

    options: ClassVar[dict[str, Any]] = {"locale": "zh-CN"}

    def __init__(self, browser: Any, regions: Regions, film: Path) -> None:
        super().__init__(browser, regions.zhejiang)
        self.be("window")
        self.film = film

    def scan(self, screen: Image.Image, matter: str) -> str:
        """Hold a phone's screen before the camera; the answer in the page's own words."""
        held_before_camera(screen, self.film)
        self.go("/verify")
        self.page.select_option("#matter", matter)
        self.page.click("[data-start]")
        self.page.wait_for_selector("section.answer.whole", timeout=60_000)
        return str(self.page.inner_text("#answer"))

    def keep(self, name: str) -> None:
        """Leave the page as pictures in both languages; it must fit and please axe."""
        for lang in ("en", "zh"):
            self.speak(lang)
            self.reload()
            assert self.fits(), f"{name} {lang}"
            self.shot(f"{FOLDER}/{name}")
        assert self.violations() == [], name

    def says(self) -> str:
        """What the page says."""
        return str(self.page.inner_text("main"))


def held_before_camera(screen: Image.Image, film: Path) -> None:
    """Film a phone's screen as a camera on a desk does: nothing at first, then the phone, a little askew."""
    scene, size = Image.new("RGB", (1280, 960), DESK), (880 * screen.width // screen.height, 880)
    phone = screen.resize(size, Image.Resampling.LANCZOS).rotate(
        4, expand=True, fillcolor=DESK, resample=Image.Resampling.BICUBIC
    )
    frames = [_jpeg(scene)] * 6
    scene.paste(phone, ((scene.width - phone.width) // 2, (scene.height - phone.height) // 2))
    film.write_bytes(b"".join(frames + [_jpeg(scene)] * 60))


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


class Story:
    """The chapters, in order. ``phone`` is the owner's, ``staff`` the phone of whom she authorises."""

    def __init__(self, browser: Any, regions: Regions, film: Path) -> None:
        self.regions = regions
        self.browser = browser
        self.phone = Holder(browser, regions.shanghai)
        self.staff = Holder(browser, regions.shanghai)
        self.counter = Counter(browser, regions, film)
        self.licence = issue(regions.shanghai, key="outside")
        regions.shanghai.node.renew_trust()
        regions.refresh()

    @property
    def chapters(self) -> tuple[Callable[[], None], ...]:
        """What happens, one after the other."""
        return (
            self.the_owner_signs_in,
            self.she_downloads_the_licence,
            self.she_authorises_her_staff,
            self.the_counter_scans_her_phone,
            self.the_clerk_keeps_a_receipt,
            self.the_same_screen_again_is_no_second_showing,
            self.for_another_matter_it_is_refused,
            self.the_staff_member_shows_it_for_her_matter_alone,
            self.the_owner_sees_who_verified,
            self.without_any_network_it_is_shown_and_verified,
            self.the_staff_members_authorisation_is_withdrawn,
            self.the_licence_is_withdrawn_and_refused,
        )

    def close(self) -> None:
        """Close the windows. That a network is away is what browsers complain of then, and some say so late."""
        for person in (self.phone, self.staff, self.counter):
            person.complaints = [one for one in person.complaints if "net::ERR_" not in one]
            person.close()

    # -- Shanghai: the phone ----------------------------------------------------------------------------------------------

    def the_owner_signs_in(self) -> None:
        phone = self.phone
        phone.go("/phone")
        phone.keep("01-welcome")
        phone.page.click("main a[href^='/phone/signin']")
        phone.keep("02-sign-in")
        phone.page.click("main a[href^='/phone/signin/start']")
        assert "非真实身份" in phone.page.inner_text("body"), "the development provider says what it is"
        phone.keep("03-identity", large=False)
        phone.page.click("button[name=citizen][value=owner]")
        phone.page.wait_for_url("**/phone")
        phone.page.wait_for_selector("a[data-download]")
        phone.keep("04-my-licences")

    def she_downloads_the_licence(self) -> None:
        phone = self.phone
        phone.page.click("a[data-download]")
        phone.keep("05-download")
        phone.page.click("form[data-get] button.big")
        phone.page.wait_for_url("**/phone/show#*")
        assert phone.shown().startswith(f"{phone.base}/v#")
        phone.keep("06-show")
        phone.go("/phone")
        phone.page.wait_for_selector("[data-show]:visible")
        phone.keep("07-on-this-phone")

    def she_authorises_her_staff(self) -> None:
        phone = self.phone
        phone.go("/phone/authorise")
        phone.keep("10-nobody-authorised")
        phone.page.click("main a[href='/phone/authorise/new']")
        phone.keep("11-authorise")
        phone.page.check("[name=kind][value=staff]")
        phone.page.fill("[name=name]", STAFF.name)
        phone.page.fill("[name=id_number]", STAFF.id_number)
        phone.page.check(f"[name=matter][value={BANK}]")
        phone.shot(f"{FOLDER}/11-authorise-filled")
        phone.page.click("main form button.big")
        phone.page.wait_for_selector("main .alert.good")
        phone.keep("12-authorised")
        phone.go("/phone/authorise")
        phone.keep("13-authorisations")
        self.staff.arrive("staff")
        self.staff.keep("14-staff-licences")
        self.staff.take()
        self.staff.keep("15-staff-shows")

    # -- Zhejiang: the counter --------------------------------------------------------------------------------------------

    def the_counter_scans_her_phone(self) -> None:
        self.phone.go("/phone/show")
        self.phone.shown()
        counter = self.counter
        counter.go("/verify")
        counter.keep("20-verifier")
        self.screen = self.phone.screen()
        assert counter.scan(self.screen, BANK) == "可以采信", counter.says()
        assert OWNER.name in counter.says()
        counter.keep("21-accepted")

    def the_clerk_keeps_a_receipt(self) -> None:
        counter = self.counter
        counter.page.click("form[action$='/receipt'] button")
        counter.page.wait_for_url("**/receipts/receipt_*")
        counter.keep("22-receipt")
        with counter.page.expect_download() as download:
            counter.page.click("a[download]")
        receipt = check(download.value.path().read_text("ascii"), self.regions.shanghai.node.trust_store())
        assert (receipt["status"], receipt["region"], receipt["matter"]) == ("genuine", "330000", BANK)
        said = json.dumps(receipt, ensure_ascii=False)
        for personal in (OWNER.name, OWNER.name.removeprefix("样本 "), OWNER.id_number, self.licence["identifier"]):
            assert personal not in said, "a receipt holds no personal data"
        counter.go("/receipts")
        counter.keep("23-receipts")

    def the_same_screen_again_is_no_second_showing(self) -> None:
        assert self.counter.scan(self.screen, BANK) == "需要核实", self.counter.says()
        self.counter.keep("24-shown-before")

    def for_another_matter_it_is_refused(self) -> None:
        self.phone.renew()
        assert self.counter.scan(self.phone.screen(), TRANSPORT) == "不予采信", self.counter.says()
        assert "请先在本省设立分支机构" in self.counter.says()
        self.counter.keep("25-other-matter")
        self.counter.page.click("form[action$='/receipt'] >> nth=-1 >> button")
        self.counter.page.wait_for_url("**/receipts/receipt_*")

    def the_staff_member_shows_it_for_her_matter_alone(self) -> None:
        self.staff.renew()
        assert self.counter.scan(self.staff.screen(), BANK) == "可以采信", self.counter.says()
        assert STAFF.name in self.counter.says()
        self.counter.keep("26-staff-accepted")
        self.staff.renew()
        assert self.counter.scan(self.staff.screen(), TAXES) == "不予采信", self.counter.says()
        self.counter.keep("27-staff-outside-her-matters")

    def the_owner_sees_who_verified(self) -> None:
        self.regions.deliver()
        self.phone.go("/phone/uses")
        said = self.phone.page.inner_text("main")
        assert "开立银行账户" in said
        assert "道路运输许可" in said
        self.phone.keep("30-uses")

    # -- without network --------------------------------------------------------------------------------------------------

    def without_any_network_it_is_shown_and_verified(self) -> None:
        phone = self.phone
        for lang, large in (("en", False), ("en", True), ("zh", True), ("zh", False)):
            phone.read(lang, large=large)
            phone.go("/phone/show")
            phone.shown()
            phone.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
            with offline(phone):
                phone.go("/phone/show")
                phone.shown()
                assert phone.page.locator("[data-offline]").is_visible()
                assert phone.fits()
                phone.shot(f"{FOLDER}/31-offline")
        with self.regions.without_shanghai(), offline(phone):
            phone.go("/phone/show")
            phone.shown()
            assert self.counter.scan(phone.screen(), BANK) == "可以采信", self.counter.says()
            assert "依据上海市的状态列表，距今" in self.counter.says(), "it says how old what it holds is"
            self.counter.keep("32-verified-with-what-is-held")

    # -- withdrawn --------------------------------------------------------------------------------------------------------

    def the_staff_members_authorisation_is_withdrawn(self) -> None:
        phone = self.phone
        phone.go("/phone/authorise")
        phone.page.click("main .cards a")
        phone.page.click("a.danger")
        phone.keep("40-withdraw")
        phone.page.click("main form button")
        phone.page.wait_for_selector("main .alert.good")
        phone.keep("41-withdrawn")
        self.regions.refresh()
        self.staff.renew()
        assert self.counter.scan(self.staff.screen(), BANK) == "不予采信", self.counter.says()
        self.counter.keep("42-staff-refused")
        self.staff.page.reload()
        self.staff.page.wait_for_selector("[data-ended]:not([hidden])")
        self.staff.keep("43-staff-ended")

    def the_licence_is_withdrawn_and_refused(self) -> None:
        phone = self.phone
        phone.go("/phone/show")
        phone.shown()
        node = self.regions.shanghai.node
        node.licences.revoke(node.actor(None), self.licence["id"], kind="吊销", effective=None, basis="样本：行政处罚决定书")
        self.regions.refresh()
        phone.renew()
        assert self.counter.scan(phone.screen(), BANK) == "不予采信", self.counter.says()
        self.counter.keep("44-refused")
        phone.page.reload()
        phone.page.wait_for_selector("[data-ended]:not([hidden])")
        phone.keep("45-ended")
        phone.go("/phone")
        phone.keep("46-my-licences")


@contextmanager
def offline(phone: Phone) -> Iterator[None]:
    """The phone has no network. What its browser complains of meanwhile is just that."""
    before = len(phone.complaints)
    phone.context.set_offline(True)
    try:
        yield
    finally:
        phone.context.set_offline(False)
        del phone.complaints[before:]


@contextmanager
def told(folder: Path) -> Iterator[Story]:
    """The regions, the browser and the windows for one telling; ``folder`` takes the camera's film."""
    shutil.rmtree(SCREENSHOTS / FOLDER, ignore_errors=True)
    film = folder / "camera.mjpeg"
    held_before_camera(Image.new("RGB", (390, 844), DESK), film)
    with two_regions("outside") as regions, chromium(film) as browser:
        yield Story(browser, regions, film)
