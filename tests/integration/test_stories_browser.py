"""The stories of the people inside, told by one script in a real browser; what they saw stays in build/screenshots.

Each story begins where a person would begin and goes through the pages only. Every page that matters is kept as a picture in
Chinese and in English, at a desk; the last story walks them again on a telephone.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ceremonies import training
from formats.dates import BEIJING
from tests.browser import SCREENSHOTS, Person, chromium, needs_chromium
from tests.node_home import EXAMPLES, Service, founded_home, serving

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
        person.reload()
        assert person.page.get_attribute("html", "lang") == {"zh": "zh-CN", "en": "en"}[lang]
        assert person.fits(), name
        person.shot(f"stories/{name}")
    assert person.violations() == [], name


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


def hand_in(person: Person, file: Path, *, title: str, matter: str, number: str) -> str:
    """Upload a document, leave the seal where it belongs, hand it in; the application's address."""
    page = person.page
    person.go("/desk/new")
    page.set_input_files("[name=file]", file)
    page.click("form.upload button.button")
    page.wait_for_selector("[data-placing]")
    page.wait_for_selector(".seal[tabindex]")
    page.select_option("[name=matter]", matter)
    page.wait_for_selector("[name=title]")
    page.fill("[name=title]", title)
    page.fill("[name=number]", number)
    return str(page.url)


def test_a_department_has_an_approval_sealed_returned_corrected_delivered_and_voided(
    someone: Callable[..., Any], tmp_path: Path
) -> None:
    with (
        someone("handler") as handler,
        someone("reviewer") as reviewer,
        someone("signer") as signer,
        someone("keeper") as keeper,
        someone() as applicant,
    ):
        handler.go("/desk")
        both(handler, "10-desk")
        handler.go("/desk/new")
        both(handler, "11-new")
        hand_in(
            handler,
            EXAMPLES / "approval.pdf",
            title="同意设立便民服务站的批复",
            matter="approval-reply",
            number="云审批〔2026〕811号",
        )
        handler.shot("stories/12-placing")
        handler.page.focus(".seal")
        handler.page.keyboard.press("ArrowRight")
        handler.page.click("button[value=submit]")
        handler.page.wait_for_selector("text=给申请人的进度链接")
        application = re.sub(r"[?#].*", "", handler.page.url).rpartition("/")[2]
        handler.go(f"/desk/{application}")
        both(handler, "13-handed-in")
        assert "等待 样本 审核人" in words(handler)

        applicant.page.goto(handler.page.get_attribute(".follow a", "href").replace("/t/", f"{applicant.base}/t/"))
        both(applicant, "14-follow-received")

        reviewer.go("/desk")
        both(reviewer, "15-reviewer-desk")
        reviewer.page.click("text=同意设立便民服务站的批复")
        reviewer.page.fill("[name=note]", "文号应为云审批〔2026〕118号")
        reviewer.page.click("button[value=return]")
        assert "退回补正" in words(reviewer)

        handler.go(f"/desk/{application}")
        both(handler, "16-returned")
        handler.page.click("text=去补正")
        handler.page.wait_for_selector("[data-placing]")
        handler.page.fill("[name=number]", "云审批〔2026〕118号")
        handler.page.click("button[value=submit]")
        handler.page.wait_for_selector("text=给申请人的进度链接")

        reviewer.go(f"/desk/{application}")
        both(reviewer, "17-review")
        reviewer.page.click("button[value=review]")
        reviewer.page.wait_for_selector("[role=status]")
        signer.go(f"/desk/{application}")
        both(signer, "18-sign-off")
        signer.page.click("button[value=sign-off]")
        signer.page.wait_for_selector("[role=status]")
        keeper.go(f"/desk/{application}")
        both(keeper, "19-seal")
        keeper.page.click("button[value=seal]")
        keeper.page.wait_for_selector("text=下载已盖章文件")
        handler.go(f"/desk/{application}")
        with handler.page.expect_download() as download:
            handler.page.click("text=下载已盖章文件")
        sealed = tmp_path / "sealed.pdf"
        download.value.save_as(sealed)
        handler.page.fill("[name=recipient]", "云江市青禾信息科技有限公司")
        handler.page.fill("[name=receipt]", "本人签收")
        handler.page.click("button[value=deliver]")
        handler.page.wait_for_selector("h1 + .tag:has-text('已送达')")
        both(handler, "20-delivered")
        applicant.reload()
        both(applicant, "21-follow-delivered")

        applicant.go("/verify")
        applicant.page.set_input_files("#file", sealed)
        applicant.page.wait_for_selector("#answer")
        assert applicant.page.inner_text("#answer") == "可以采信"

        keeper.go("/register")
        both(keeper, "22-register")
        signer.go(f"/desk/{application}")
        signer.page.click("text=作废或更正")
        both(signer, "23-void")
        signer.page.fill("[name=reason]", "面积写错，另行更正")
        signer.page.click("button.danger")
        signer.page.wait_for_selector(".doc-head .tag.bad")
        both(signer, "24-voided")
        applicant.go("/verify")
        applicant.page.set_input_files("#file", sealed)
        applicant.page.wait_for_selector("#answer")
        assert applicant.page.inner_text("#answer") == "不予采信"
        applicant.shot("stories/25-voided-verified")


def enrol(officer: Person, admin: Person, name: str) -> None:
    """An officer adds a passkey and puts it forward for approvals; the administrator (in training: the node) confirms it."""
    officer.carry_passkey()
    officer.go("/account")
    officer.page.fill("#new-passkey [name=name]", name)
    officer.page.click("#new-passkey button")
    officer.page.wait_for_selector(f"#passkeys th:has-text('{name}')")
    officer.go("/officer/approvals/keys")
    officer.page.click("section:has(#with-passkey) button.button")
    officer.page.wait_for_selector("[role=status]")
    admin.go("/officer/approvals/keys")
    confirm = admin.page.locator("table.list button.small >> text=确认属于此人")
    if confirm.count():
        confirm.first.click()
        admin.page.wait_for_selector("[role=status]")
    assert name in words(admin)


def approve(officer: Person, request: str) -> None:
    """An officer reads what will happen and approves it with the passkey."""
    officer.go(request)
    officer.page.click("[data-passkey=get]")
    officer.page.wait_for_url("**done=*")


def test_two_officers_change_a_key_step_by_step(someone: Callable[..., Any], service: Service) -> None:
    cases = training.prepared(service.node)
    assert cases is not None
    with someone("officer") as first, someone("officer2") as second, someone("admin") as admin:
        enrol(first, admin, "办公室指纹")
        first.go("/account")
        both(first, "31-account")
        enrol(second, admin, "随身密钥")
        second.go("/officer/approvals/keys")
        both(second, "32-approval-keys")
        first.go("/officer")
        both(first, "33-expiring")
        role = f"/officer/keys/{cases.role}"
        first.go(role)
        both(first, "34-key")
        for number, verb in enumerate(["stage", "prove", "certify", "file", "activate"]):
            first.go(role)
            if first.page.locator("form[action$='/ask']").count():
                first.page.click("form[action$='/ask'] button")
                first.go(role)
            waiting = first.page.locator(".next a[href^='/officer/approvals/']")
            if waiting.count():
                request = waiting.first.get_attribute("href")
                if number == 0:
                    first.go(request)
                    both(first, "35-asked")
                approve(first, request)
                if number == 0:
                    both(first, "36-one-of-two")
                approve(second, request)
                first.go(role)
            first.page.click("form[action$='/step'] button")
            first.page.wait_for_selector("main .alert.good")
            both(first, f"37-{number + 1}-{verb}")
        assert "第 2 代" in words(first)
        first.go("/officer/approvals")
        both(first, "38-approvals")


def test_whoever_is_away_has_somebody_sign_off_and_the_administrator_keeps_the_accounts(
    someone: Callable[..., Any], service: Service
) -> None:
    cases = training.prepared(service.node)
    assert cases is not None
    reviewer = service.node.accounts.get("reviewer")
    with someone("signer") as signer:
        signer.carry_passkey()
        signer.go("/account")
        signer.page.fill("#new-passkey [name=name]", "我的手机")
        signer.page.click("#new-passkey button")
        signer.page.wait_for_selector("#passkeys th:has-text('我的手机')")
        signer.page.select_option("[name=to]", reviewer.id)
        signer.page.fill("[name=until]", (datetime.now(BEIJING) + timedelta(days=7)).date().isoformat())
        signer.page.fill("form[action='/account/delegations'] [name=reason]", "出差")
        signer.page.click("form[action='/account/delegations'] button.button:not(.quiet)")
        signer.page.wait_for_selector("#delegations table.list")
        both(signer, "40-account")
        signer.page.click("header form button")
        signer.go("/signin")
        both(signer, "41-sign-in")
        signer.page.click("[data-passkey=get]")
        signer.page.wait_for_selector("header form[action='/signout']")
    with someone("reviewer") as deputy:
        deputy.go(f"/desk/{cases.applications['waiting']}")
        deputy.page.click("button[value=sign-off]")
        deputy.page.wait_for_selector("main .alert.good")
        both(deputy, "42-signed-off-for-another")
        assert "样本 审核人 代 样本 签发人" in deputy.page.inner_text(".events")
    with someone("admin") as admin:
        admin.go("/people")
        both(admin, "43-people")
        admin.go("/people/new")
        admin.page.fill("[name=display_name]", "样本 新来的")
        admin.page.fill("[name=name]", "xinlai")
        admin.page.check("[name=role][value=handler]")
        both(admin, "44-new-account")
        admin.page.fill("[name=display_name]", "样本 新来的")
        admin.page.fill("[name=name]", "xinlai")
        admin.page.check("[name=role][value=handler]")
        admin.page.click("form[action='/people/new'] button.button:not(.quiet)")
        admin.page.wait_for_selector("main .alert.good")
        admin.shot("stories/45-password-shown-once")
        admin.go("/people?q=xinlai")
        admin.page.click("table.list tbody th a")
        both(admin, "45-somebody")
        admin.go(f"/people/{reviewer.id}/hand-over")
        both(admin, "46-hand-over")
        admin.go("/people/departments")
        both(admin, "47-departments")
        admin.go("/people/delegations")
        both(admin, "48-delegations")


def test_a_new_user_goes_through_the_signers_door_to_the_end(someone: Callable[..., Any], service: Service) -> None:
    training.prepare(service.node, fresh=True)
    with someone(size="phone") as signer:
        signer.go("/")
        both(signer, "60-doors")
        signer.page.click("li:has(h2:text-is('签发人')) button")
        both(signer, "61-signer")
        signer.page.click(".tasks .current a.button")
        both(signer, "62-sign-off")
        signer.page.click("button[value=sign-off]")
        signer.page.wait_for_selector("main .alert.good")
        assert "已完成 1 步" in signer.page.get_attribute(".strip .dots", "aria-label")
        signer.page.click(".strip p:last-child a")
        assert "空白" in words(signer), "what nobody filled in is pointed out"
        both(signer, "63-unfilled")
        signer.page.fill("[name=note]", "第一行、日期和电话都没有填")
        signer.page.click("button[value=return]")
        signer.page.wait_for_selector("main [role=status]")
        signer.page.click(".strip p:last-child a")
        signer.page.click("text=作废或更正")
        both(signer, "64-void")
        signer.page.fill("[name=reason]", "盖错了文件")
        signer.page.click("button.danger")
        signer.page.wait_for_selector(".strip >> text=三步都走完了")
        both(signer, "65-done")


LOOKED_AT = {
    "handler": ("/desk", "/desk/new", "/account"),
    "keeper": ("/register",),
    "officer": ("/officer", "/officer/approvals", "/officer/keys/{role}"),
    "auditor": ("/audit", "/audit/log", "/audit/trace?id={sealed}"),
    "admin": ("/people", "/people/departments"),
}


@pytest.mark.parametrize(
    ("size", "scheme", "lang"), [("phone", "light", "zh"), ("phone", "dark", "en"), ("desk", "dark", "zh")]
)
def test_the_same_pages_on_a_telephone_and_by_night(
    someone: Callable[..., Any], service: Service, size: str, scheme: str, lang: str
) -> None:
    cases = training.prepared(service.node)
    assert cases is not None
    for account, paths in LOOKED_AT.items():
        with someone(account, size=size, scheme=scheme, lang=lang) as person:
            for path in paths:
                person.go(path.format(role=cases.role, sealed=cases.applications["sealed"]))
                assert person.fits(), path
                name = re.sub(r"_\w+|\{\w+\}|[^a-z]+", "-", path).strip("-")
                person.shot(f"stories/70-{account}-{name}")


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
