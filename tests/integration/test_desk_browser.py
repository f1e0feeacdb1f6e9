"""The seal desk in a real browser: the seal is moved by mouse, keys and fingers, and stands where it was put."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.documents import office_document
from tests.node_home import EXAMPLES, Service, founded_home, serving
from tests.pdf_samples import plain

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
    pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="no pdftoppm on this machine (poppler-utils)"),
]
APPROVAL = (EXAMPLES / "approval.pdf").read_bytes()
WITHIN_MM = 1.0
PER_MM = 5  # pixels, when a sealed page is measured


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home()) as running:
        running.seal()
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


SignIn = Callable[..., Any]


@pytest.fixture
def sign_in(browser: Any, service: Service) -> Iterator[SignIn]:
    """Opens a page as somebody; fails the test on any script error or refused resource."""
    from api.sessions import COOKIE

    contexts, complaints = [], []

    def opened(
        who: str, *, width: int = 1280, height: int = 900, script: bool = True, touch: bool = False, refused: str = "-"
    ) -> Any:
        account = next(one for one in service.node.accounts.accounts(limit=1000) if one.name == who)
        context = browser.new_context(viewport={"width": width, "height": height}, java_script_enabled=script, has_touch=touch)
        contexts.append(context)
        token = service.node.accounts.open_session(account).token
        context.add_cookies([{"name": COOKIE, "value": token, "url": service.url}])
        page = context.new_page()
        page.on(
            "console", lambda said: complaints.append(said.text) if said.type == "error" and refused not in said.text else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def upload(page: Any, service: Service, *files: tuple[str, bytes]) -> None:
    """New documents, up to the page where the seal is placed."""
    page.goto(f"{service.url}/desk/new")
    page.set_input_files("[name=file]", [{"name": n, "mimeType": "application/pdf", "buffer": data} for n, data in files])
    page.click("main form .actions button")
    page.wait_for_url(re.compile(r"/desk/new/draft_\w+$"))
    page.wait_for_selector(".sheet.full")


def fields(page: Any) -> tuple[int, float, float]:
    """Page and millimetres as the form says."""
    return int(page.input_value("[name=page-1]")), float(page.input_value("[name=x-1]")), float(page.input_value("[name=y-1]"))


def on_screen(page: Any, x_mm: float, y_mm: float) -> tuple[float, float]:
    """A point of the shown page in pixels of the window."""
    found = page.evaluate(
        """([x, y]) => { const sheet = document.querySelector(".sheet.full");
           const p = new DOMPoint(x, y).matrixTransform(sheet.getScreenCTM()); return [p.x, p.y]; }""",
        [x_mm, y_mm],
    )
    return found[0], found[1]


def drag(page: Any, to: tuple[float, float]) -> None:
    """The seal, by its rim and not its middle, so that its centre comes to ``to`` (mm)."""
    page.wait_for_selector(".seal[tabindex]")
    page.locator(".desk-top").scroll_into_view_if_needed()
    _, x, y = fields(page)
    page.evaluate(
        "([y]) => { const top = document.querySelector('.desk-top'); const s = document.querySelector('.sheet.full');"
        " top.scrollTop = (y / s.viewBox.baseVal.height) * s.clientHeight - top.clientHeight / 2; }",
        [(y + to[1]) / 2],
    )
    page.mouse.move(*on_screen(page, x + 12, y + 9))
    page.mouse.down()
    page.mouse.move(*on_screen(page, (x + to[0]) / 2, (y + to[1]) / 2), steps=4)
    page.mouse.move(*on_screen(page, to[0] + 12, to[1] + 9), steps=4)
    page.mouse.up()


def hand_in(page: Any) -> str:
    page.click("[name=do][value=submit]")
    page.wait_for_url(re.compile(r"/desk/application_\w+"))
    return str(re.search(r"application_\w+", page.url)[0])  # type: ignore[index]


def sealed_by_the_department(service: Service, application: str, n: int = 1) -> bytes:
    """Signed off and sealed by those whose turn it is; the sealed file."""
    applications = service.node.seals.applications
    people = {one.name: one for one in service.node.accounts.accounts(limit=1000)}
    applications.sign_off(people["signer"], application)
    applications.seal(people["keeper"], application)
    return applications.document(people["keeper"], application, n, sealed=True)[1]


def red_box(pdf: bytes, page: int, folder: Path) -> tuple[float, float, float, float]:
    """Left, top, right, bottom in mm of what is red on a page, as poppler draws it."""
    (folder / "sealed.pdf").write_bytes(pdf)
    command = ["pdftoppm", "-cropbox", "-r", str(PER_MM * 25.4), "-f", str(page), "-l", str(page), "-png"]
    subprocess.run([*command, str(folder / "sealed.pdf"), str(folder / "page")], check=True, timeout=60)
    (drawn,) = folder.glob("page*.png")
    picture = Image.open(BytesIO(drawn.read_bytes())).convert("RGB")
    drawn.unlink()
    red = Image.eval(picture.getchannel("R"), lambda v: 255 if v > 150 else 0)
    for channel in "GB":
        other = Image.eval(picture.getchannel(channel), lambda v: 255 if v < 90 else 0)
        red = Image.composite(other, Image.new("L", red.size, 0), red)
    box = red.getbbox()
    assert box is not None, "no seal on the page"
    return tuple(edge / PER_MM for edge in box)  # type: ignore[return-value]


def middle(box: tuple[float, float, float, float]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


@pytest.mark.parametrize(
    ("name", "data", "number", "to"),
    [
        ("approval.pdf", APPROVAL, 2, (62.0, 140.0)),
        ("turned-and-cropped.pdf", plain(1, Rotate=90, CropBox=[50, 100, 500, 800]), 1, (120.0, 60.0)),
        ("small.pdf", office_document("收据", organ="", date="", width_mm=148, height_mm=105), 1, (110.0, 70.0)),
    ],
)
def test_the_seal_stands_where_it_was_dragged(
    sign_in: SignIn, service: Service, tmp_path: Path, name: str, data: bytes, number: int, to: tuple[float, float]
) -> None:
    page = sign_in("handler")
    upload(page, service, (name, data))
    drag(page, to)
    shown, x, y = fields(page)
    assert shown == number
    assert (x, y) == pytest.approx(to, abs=0.4), "the numbers follow the seal, to a pixel of the screen"
    sealed = sealed_by_the_department(service, hand_in(page))
    box = red_box(sealed, number, tmp_path)
    assert middle(box) == pytest.approx((x, y), abs=WITHIN_MM)
    assert box[2] - box[0] == pytest.approx(42, abs=WITHIN_MM), "at true size"


def test_without_a_hand_on_it_the_seal_goes_over_organ_and_date(sign_in: SignIn, service: Service, tmp_path: Path) -> None:
    page = sign_in("handler")
    upload(page, service, ("approval.pdf", APPROVAL))
    number, x, y = fields(page)
    assert (number, x) == (2, pytest.approx(137.1, abs=0.5))
    sealed = sealed_by_the_department(service, hand_in(page))
    assert middle(red_box(sealed, 2, tmp_path)) == pytest.approx((x, y), abs=WITHIN_MM)


def test_arrow_keys_move_the_seal_by_steps_and_a_reader_is_told(sign_in: SignIn, service: Service) -> None:
    page = sign_in("handler")
    upload(page, service, ("approval.pdf", APPROVAL))
    _, x, y = fields(page)
    page.focus(".seal")
    for key, across, down in (
        ("ArrowRight", 1, 0),
        ("ArrowDown", 0, 1),
        ("Shift+ArrowLeft", -10, 0),
        ("Shift+ArrowUp", 0, -10),
        ("Alt+ArrowDown", 0, 0.1),
    ):
        page.keyboard.press(key)
        x, y = x + across, y + down
        assert fields(page)[1:] == pytest.approx((x, y), abs=0.01), key
    assert f"{x:g}" in page.get_attribute(".seal", "aria-label")
    page.wait_for_selector("[data-say]:has-text('毫米')", state="attached")
    for _ in range(40):
        page.keyboard.press("Shift+ArrowLeft")
    assert fields(page)[1] == 21, "the whole seal stays on the page"


def test_a_finger_moves_the_seal_and_the_page_does_not_scroll(sign_in: SignIn, service: Service) -> None:
    page = sign_in("handler", width=390, height=800, touch=True)
    upload(page, service, ("approval.pdf", APPROVAL))
    page.wait_for_selector(".seal[tabindex]")
    page.locator(".seal").scroll_into_view_if_needed()
    _, x, y = fields(page)
    start, end = on_screen(page, x, y), on_screen(page, x - 30, y - 20)
    before = page.evaluate("scrollY")
    session = page.context.new_cdp_session(page)
    for kind, at in (("touchStart", start), ("touchMove", middle((*start, *end))), ("touchMove", end), ("touchEnd", None)):
        points = [{"x": at[0], "y": at[1]}] if at else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_timeout(60)  # a finger takes its time; moves of one frame are merged
    assert fields(page)[1:] == pytest.approx((x - 30, y - 20), abs=1.0)
    assert page.evaluate("scrollY") == before
    page.touchscreen.tap(*on_screen(page, 45, y - 20))
    assert fields(page)[1:] == pytest.approx((45, y - 20), abs=1.0), "a tap puts it there"


def test_numbers_move_the_seal_and_true_size_is_true(sign_in: SignIn, service: Service) -> None:
    page = sign_in("handler")
    upload(page, service, ("approval.pdf", APPROVAL))
    page.wait_for_selector(".seal[tabindex]")
    page.fill("[name=x-1]", "70.5")
    assert "translate(70.5 " in page.get_attribute(".seal", "transform")
    page.click("[data-zoom-to=true]")
    pixels = page.evaluate("document.querySelector('.seal > image').getBoundingClientRect().width")
    assert pixels == pytest.approx(42 * 96 / 25.4, abs=1), "42 mm are 42 mm of CSS"
    page.click("[data-zoom-by='1']")
    assert page.evaluate("document.querySelector('.seal > image').getBoundingClientRect().width") > pixels * 1.2


def test_on_another_page_and_back_over_the_signature_line(sign_in: SignIn, service: Service) -> None:
    page = sign_in("handler")
    upload(page, service, ("approval.pdf", APPROVAL))
    before = fields(page)
    page.click("[name=show][value='1-1']")
    page.wait_for_selector("[name=shown][value='1-1']", state="attached")
    assert page.locator(".seal.away").count() == 1
    page.mouse.click(*on_screen(page, 60, 60))
    assert fields(page) == (1, pytest.approx(60, abs=0.5), pytest.approx(60, abs=0.5))
    page.click("[name=do][value=expected]")
    page.wait_for_selector("[name=shown][value='1-2']", state="attached")
    assert fields(page) == before


def test_a_keyword_and_an_edge_show_where_the_seal_will_be(sign_in: SignIn, service: Service, tmp_path: Path) -> None:
    page = sign_in("handler")
    upload(page, service, ("approval.pdf", APPROVAL))
    page.fill("[name=keyword-1]", "此复")
    page.press("[name=keyword-1]", "Tab")
    page.wait_for_selector(".how-fields .soft")
    shown = page.evaluate(
        "(() => { const s = document.querySelector('.stamp-part'); return [s.x.baseVal.value + s.width.baseVal.value / 2,"
        " s.y.baseVal.value + s.height.baseVal.value / 2]; })()"
    )
    page.fill("[name=keyword-1]", "没有的文字")
    page.press("[name=keyword-1]", "Tab")
    page.wait_for_selector(".panel .error")
    assert "没有找到" in page.inner_text(".panel .error")
    page.fill("[name=keyword-1]", "此复")
    page.press("[name=keyword-1]", "Tab")
    page.wait_for_selector(".how-fields .soft")
    sealed = sealed_by_the_department(service, hand_in(page))
    assert middle(red_box(sealed, 2, tmp_path)) == pytest.approx(tuple(shown), abs=WITHIN_MM)


def test_a_seal_across_the_pages_is_shown_page_by_page(sign_in: SignIn, service: Service, tmp_path: Path) -> None:
    page = sign_in("handler")
    upload(page, service, ("three.pdf", plain(3)))
    page.check("[name=how-1][value=straddle]")
    page.wait_for_selector(".stamp-part")
    boxes = {}
    for number in (1, 2, 3):
        page.click(f"[name=show][value='1-{number}']")
        page.wait_for_selector(f"[name=shown][value='1-{number}']", state="attached")
        boxes[number] = page.evaluate(
            "(() => { const s = document.querySelector('.stamp-part'); return ['x','y','width','height']"
            ".map((k) => s[k].baseVal.value); })()"
        )
    sealed = sealed_by_the_department(service, hand_in(page))
    for number, (x, y, width, height) in boxes.items():
        red = red_box(sealed, number, tmp_path)
        assert x - WITHIN_MM <= red[0]
        assert red[2] <= x + width + WITHIN_MM
        assert red[2] - red[0] > 10
        if number == 2:
            assert (red[1], red[3]) == pytest.approx((y, y + height), abs=WITHIN_MM)


def test_without_javascript_everything_is_done_by_forms(sign_in: SignIn, service: Service, tmp_path: Path) -> None:
    page = sign_in("handler", script=False)
    upload(page, service, ("approval.pdf", APPROVAL))
    page.fill("[name=x-1]", "60")
    page.fill("[name=y-1]", "120.5")
    page.click(".no-script button")
    assert page.get_attribute(".seal", "transform") == "translate(60 120.5)"
    page.click("[name=show][value='1-1']")
    page.click("[name=do][value=here]")
    assert fields(page) == (1, 60, 120.5)
    page.fill("[name=page-1]", "2")
    page.press("[name=page-1]", "Enter")
    assert page.url.split("/")[-1].startswith("draft_"), "Enter shows, it does not hand in"
    sealed = sealed_by_the_department(service, hand_in(page))
    assert middle(red_box(sealed, 2, tmp_path)) == pytest.approx((60, 120.5), abs=WITHIN_MM)


def test_what_is_typed_while_the_page_is_renewed_is_kept(sign_in: SignIn, service: Service) -> None:
    page = sign_in("handler")
    upload(page, service, ("approval.pdf", APPROVAL))
    page.route("**/desk/new/draft_*", lambda route: (page.wait_for_timeout(300), route.continue_()))
    page.select_option("[name=matter]", "approval-reply")
    page.fill("[name=title]", "边等边写的标题")
    page.wait_for_selector(".steps-line:has-text('审核')")
    assert page.input_value("[name=title]") == "边等边写的标题"


def test_what_should_be_looked_at_is_said_and_shown(sign_in: SignIn, service: Service) -> None:
    page = sign_in("handler")
    draft = office_document("申请人：\\_\\_\\_\\_\\_\\_\\_\\_", organ="云江市公安局", after="#pagebreak() #pagebreak()")
    upload(page, service, ("draft.pdf", draft))
    words = page.inner_text(".panel")
    for said in ("空白页", "空白待填", "落款单位为“云江市公安局”"):
        assert said in words
    page.click(".findings li:has-text('空白待填') button")
    page.wait_for_selector(".sheet.full .mark")


def test_a_document_that_cannot_be_sealed_is_named_at_once(sign_in: SignIn, service: Service) -> None:
    page = sign_in("handler", refused="400 (Bad Request)")
    page.goto(f"{service.url}/desk/new")
    wrong = {"name": "说明.pdf", "mimeType": "application/pdf", "buffer": b"PK\x03\x04 not a PDF"}
    page.set_input_files("[name=file]", [wrong])
    with page.expect_response(lambda r: r.request.method == "POST") as answer:
        page.click("main form .actions button")
    assert answer.value.status == 400
    page.wait_for_selector("[role=alert]")
    assert "说明.pdf" in page.inner_text("[role=alert]")
