"""The pages about people, as a browser posts to them: sessions, the own account, and what the administrator does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from argon2 import PasswordHasher

from people.demo import demo_passwords
from policies.authorise import NotAllowed
from seals.schemas import NoSuchImpression
from tests.node_home import Service, founded_home, serving

PASSWORD = "correct horse battery"
PAGES = ["/people", "/people/new", "/people/departments", "/people/delegations", "/people/requests"]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home()) as running:
        running.node.accounts._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        yield running


class Browser:
    """One browser: its cookies, and the forms' token of the page that it saw last."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.http = httpx.Client(base_url=service.url, headers={"Accept": "text/html"}, timeout=60)
        self.csrf = ""

    def get(self, path: str) -> httpx.Response:
        answer = self.http.get(path, follow_redirects=True)
        found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
        self.csrf = found.group(1) if found else ""
        return answer

    def post(self, path: str, **fields: object) -> httpx.Response:
        return self.http.post(path, data={"csrf": self.csrf, **fields}, follow_redirects=True)

    def sign_in(self, name: str, password: str | None = None, **fields: object) -> httpx.Response:
        password = password or demo_passwords(self.service.node.home / "secrets")[name]
        self.get("/signin")
        self.service.app.state.signin_limit._buckets.clear()
        return self.http.post("/signin", data={"csrf": self.csrf, "name": name, "password": password, **fields})

    def as_(self, name: str, password: str | None = None) -> Browser:
        assert self.sign_in(name, password).status_code == 303
        self.get("/account")
        return self


@pytest.fixture
def browser(service: Service) -> Browser:
    return Browser(service)


@pytest.fixture
def admin(service: Service) -> Browser:
    return Browser(service).as_("admin")


def person(service: Service, name: str, *roles: str) -> str:
    """An account of the city; its identifier. The password is ``correct horse NAME``."""
    city = service.node.department("云江市人民政府")
    made = service.node.accounts.create(
        name, "correct horse battery", roles=roles, department=city, display_name=f"样本 {name}"
    )
    return made.id


def test_a_session_known_before_the_sign_in_is_never_a_signed_in_one(service: Service, browser: Browser) -> None:
    """Session fixation: whoever planted a cookie beforehand holds nothing afterwards."""
    planted = "planted-by-somebody-else-0123456789abcdef"
    browser.http.cookies.set("xinyin_session", planted, domain="127.0.0.1")
    browser.as_("handler")
    given = [c.value for c in browser.http.cookies.jar if c.name == "xinyin_session" and c.value != planted]
    assert given
    stranger = httpx.Client(base_url=service.url, cookies={"xinyin_session": planted})
    assert stranger.get("/account").status_code in (303, 401)
    browser.http.cookies.set("xinyin_form", "f" * 32)
    words = {"csrf": "f" * 32, "name": "two.tabs", "password": PASSWORD}
    person(service, "two.tabs", "handler")
    assert browser.http.post("/signin", data=words).status_code == 303
    assert service.node.accounts.by_session(str(given[0])) is None, "the session that the browser had is over"


def test_after_signing_in_people_go_where_they_wanted_and_nowhere_else(browser: Browser) -> None:
    answer = browser.http.get("/account")
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin?to=/account")
    assert 'name="to" value="/account"' in browser.get("/account").text
    assert browser.sign_in("handler", to="/account").headers["location"] == "/account"
    for elsewhere in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        other = Browser(browser.service)
        assert other.sign_in("handler", to=elsewhere).headers["location"] == "/desk"


@pytest.mark.parametrize(("name", "place"), [("handler", "/desk"), ("admin", "/people"), ("auditor", "/audit")])
def test_each_person_begins_at_their_own_work(browser: Browser, name: str, place: str) -> None:
    assert browser.sign_in(name).headers["location"] == place


def test_a_form_without_its_token_changes_nothing(service: Service, browser: Browser) -> None:
    account = person(service, "csrf.one", "handler")
    browser.as_("admin")
    browser.csrf = "0" * 64
    for path, fields in (
        (f"/people/{account}/status", {"status": "disabled"}),
        (f"/people/{account}/password", {}),
        (f"/people/{account}/change", {"display_name": "x", "role": "officer"}),
        ("/people/new", {"name": "csrf.two", "display_name": "x"}),
        ("/account/password", {"current": "x", "password": "y", "again": "y"}),
        ("/account/sessions/others/end", {}),
    ):
        assert browser.post(path, **fields).status_code == 403, path
    assert service.node.accounts.get(account).status == "active"


def test_people_see_and_end_their_own_sessions(service: Service, browser: Browser) -> None:
    person(service, "two.places", "handler")
    phone = Browser(service)
    phone.http.headers["User-Agent"] = "Mozilla/5.0 (Linux; Android 14) Chrome/129.0 Mobile"
    phone.as_("two.places", PASSWORD)
    browser.as_("two.places", PASSWORD)
    assert "Chrome · Android" in browser.get("/account").text
    (other,) = [
        one for one in service.node.accounts.sessions(service.node.accounts.get("two.places").id) if "Android" in one.agent
    ]
    stranger = Browser(service).as_("handler")
    assert stranger.post(f"/account/sessions/{other.id}/end").status_code == 404, "a session of somebody else"
    assert "登录已结束" in browser.post(f"/account/sessions/{other.id}/end").text
    assert phone.http.get("/account").status_code == 303
    assert browser.http.get("/account").status_code == 200


def test_a_new_password_needs_the_present_one_and_ends_the_other_sessions(service: Service, browser: Browser) -> None:
    person(service, "new.password", "handler")
    other = Browser(service).as_("new.password", PASSWORD)
    browser.as_("new.password", PASSWORD)
    words = {"password": "another long sentence", "again": "another long sentence"}
    assert browser.post("/account/password", current="wrong horse battery", **words).status_code == 401
    assert browser.post("/account/password", current=PASSWORD, password="a" * 20, again="b" * 20).status_code == 400
    assert "密码已更换" in browser.post("/account/password", current=PASSWORD, **words).text
    assert other.http.get("/account").status_code == 303
    assert browser.http.get("/account").status_code == 200
    assert service.node.accounts.authenticate("new.password", "another long sentence")


def test_a_signer_off_lets_a_colleague_stand_in_and_takes_it_back(service: Service, browser: Browser) -> None:
    person(service, "chief", "signer_off")
    colleague = person(service, "colleague", "handler")
    browser.as_("chief", PASSWORD)
    until = (date.today() + timedelta(days=5)).isoformat()
    page = browser.post("/account/delegations", to=colleague, role="signer_off", until=until, reason="休假")
    assert "代签授权已生效" in page.text
    held = Browser(service).as_("colleague", PASSWORD).get("/account").text
    assert "样本 chief" in held
    (made,) = service.node.accounts.delegations.list(colleague)
    assert service.node.accounts.get("colleague").stand_ins
    stranger = Browser(service).as_("handler")
    assert stranger.post(f"/account/delegations/{made.id}/withdraw").status_code == 404
    assert "已收回" in browser.post(f"/account/delegations/{made.id}/withdraw").text
    assert not service.node.accounts.get("colleague").stand_ins
    auditor = service.node.accounts.get("auditor").id
    for wrong in ({"to": auditor, "role": "signer_off", "until": until}, {"to": colleague, "role": "officer", "until": until}):
        assert browser.post("/account/delegations", **wrong).status_code == 400
    assert browser.post("/account/delegations", to=colleague, role="signer_off", until="soon").status_code == 400


def test_the_administrator_makes_an_account_whose_password_is_shown_once(service: Service, admin: Browser) -> None:
    page = admin.post(
        "/people/new",
        name="wang.fang",
        display_name="样本 王芳",
        kind="staff",
        role=["handler", "reviewer"],
        with_password="yes",
    )
    password = re.search(r'class="secret">([^<]+)<', page.text)
    assert password
    made = service.node.accounts.authenticate("wang.fang", password.group(1))
    assert made.roles == {"handler", "reviewer"}
    assert password.group(1) not in admin.get(f"/people/{made.id}").text
    again = admin.post("/people/new", name="wang.fang", display_name="x", kind="staff", role="handler")
    assert again.status_code == 409
    assert 'value="wang.fang"' in again.text, "what was typed is not lost"
    exclusive = admin.post("/people/new", name="too.much", display_name="x", kind="staff", role=["officer", "auditor"])
    assert exclusive.status_code == 409


def test_the_administrator_keeps_accounts_departments_and_systems(service: Service, admin: Browser) -> None:
    account = person(service, "kept", "handler")
    page = admin.post(f"/people/{account}/change", display_name="样本 新名", role="seal_keeper")
    assert "已保存" in page.text
    assert service.node.accounts.get(account).roles == {"seal_keeper"}
    assert "停用 样本 新名 的账户" in admin.get(f"/people/{account}/close").text
    admin.post(f"/people/{account}/status", status="disabled")
    assert service.node.accounts.get(account).status == "disabled"
    own = service.node.accounts.get("admin").id
    assert admin.post(f"/people/{own}/status", status="disabled").status_code == 400
    admin.post("/people/departments", name="云江市档案局")
    made = service.node.department("云江市档案局")
    city = service.node.department("云江市人民政府")
    admin.post(f"/people/departments/{made}", name="云江市档案馆", parent=city)
    assert service.node.department("云江市档案馆") == made
    assert admin.post(f"/people/departments/{city}", name="云江市人民政府", parent=made).status_code == 400, "no circle"
    system = service.node.accounts.create("a-system", None, roles={"handler"}, kind="system").id
    token = re.search(r'class="secret">([^<]+)<', admin.post(f"/people/{system}/tokens", label="脚本", days="30").text)
    assert token
    assert service.node.accounts.by_token(token.group(1)).id == system
    (listed,) = service.node.accounts.tokens(system)
    admin.post(f"/people/{system}/tokens/{listed.id}/revoke")
    assert service.node.accounts.tokens(system)[0].status == "revoked"
    assert admin.post(f"/people/{system}/keys", key="no key", label="x").status_code == 400


def test_a_hand_over_moves_open_applications_and_keeps_both_from_signing_off(service: Service, admin: Browser) -> None:
    node = service.node
    old, new = person(service, "leaver", "handler", "signer_off"), person(service, "successor")
    seal = service.seal()
    made = node.seals.applications.submit(
        node.accounts.get(old), purpose="use-seal", department=seal["owner_uscc"], seal_id=seal["id"], document_sha256="ab" * 32
    )
    page = admin.post(f"/people/{old}/hand-over", to=new, role=["handler", "signer_off"], reason="调任")
    assert "岗位交接已办理" in page.text
    found = node.seals.applications.show(node.accounts.get(new), made["id"])
    assert found["handler"]["id"] == new
    assert node.accounts.get(new).roles == {"handler", "signer_off"}
    node.accounts.set_roles(old, {"signer_off"}, actor="local-operator")
    for who in (old, new):
        with pytest.raises(NotAllowed) as refusal:
            node.seals.applications.sign_off(node.accounts.get(who), made["id"])
        assert refusal.value.detail["rule"] == "handled-and-signed-off-are-two-people"
    assert node.seals.applications.sign_off(node.accounts.get("signer"), made["id"])["status"] == "signed-off"
    kinds = {entry.kind for entry in node.audit.history(made["id"])}
    assert "application.handed-over" in kinds


def test_lists_are_searched_and_paged(service: Service, admin: Browser) -> None:
    for number in range(60):
        service.node.accounts.create(f"many.{number:02}", None, roles={"handler"}, kind="system", display_name="批量")
    first = admin.get("/people?q=many.")
    assert first.text.count(">many.") == 50
    following = re.search(r'href="(/people\?[^"]*cursor=[^"]+)"', first.text)
    assert following
    assert admin.get(following.group(1).replace("&amp;", "&")).text.count(">many.") == 10
    assert "样本 审计员" in admin.get("/people?role=auditor").text
    assert "many.00" not in admin.get("/people?role=auditor").text
    assert "没有符合条件的账户" in admin.get("/people?q=%25").text, "a percent sign is a percent sign"


@pytest.mark.parametrize("path", PAGES)
def test_the_administrator_s_pages_are_the_administrator_s(service: Service, path: str) -> None:
    assert Browser(service).as_("admin").get(path).status_code == 200
    assert Browser(service).as_("keeper").get(path).status_code == 403
    assert Browser(service).http.get(path).status_code == 303


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_page_about_people_reads_in_both_languages(service: Service, lang: str) -> None:
    admin = Browser(service).as_("admin")
    account = service.node.accounts.get("signer").id
    for path in (*PAGES, "/account", f"/people/{account}", f"/people/{account}/close", f"/people/{account}/hand-over"):
        page = admin.get(f"{path}?lang={lang}")
        assert page.status_code == 200, path
        assert page.text.count("<h1") == 1
        assert f'lang="{"zh-CN" if lang == "zh" else "en"}"' in page.text


def test_a_stand_in_for_one_matter_sees_what_was_sealed_in_it_and_nothing_else(service: Service) -> None:
    """Horizontal walls hold through a delegation: another department's work, in the matters that were lent."""
    from seals.sealing import Placement
    from tests.node_home import EXAMPLES

    node, seal = service.node, service.seal()
    owner = next(one.id for one in node.accounts.departments() if one.uscc == seal["owner_uscc"])
    elsewhere = node.accounts.create_department("云江市气象局").id
    node.accounts.create("bureau.keeper", None, roles={"seal_keeper"}, department=owner)
    node.accounts.create("outsider", None, roles={"handler"}, department=elsewhere)
    operator, approval = node.actor(None), (EXAMPLES / "approval.pdf").read_bytes()
    place = Placement(2, 137.0, 175.0)
    made, _ = node.seals.apply(operator, approval, seal_id=seal["id"], placement=place)
    outsider = node.accounts.get("outsider")
    assert seal["id"] not in [one["id"] for one in node.seals.list(outsider).items]
    until = datetime.now(UTC) + timedelta(days=1)
    for matters, sees in ((["approval-reply"], False), (["default"], True)):
        lent = node.accounts.delegations.grant(
            "bureau.keeper", "outsider", roles={"seal_keeper"}, matters=matters, until=until, actor="admin"
        )
        outsider = node.accounts.get("outsider")
        assert seal["id"] in [one["id"] for one in node.seals.list(outsider).items]
        found = [one["id"] for one in node.seals.list_impressions(outsider, seal_id=seal["id"]).items]
        assert (made["id"] in found) is sees
        listed = [one["id"] for one in node.seals.applications.register(outsider, seal_id=seal["id"], limit=200).items]
        assert (made["id"] in listed) is sees
        if sees:
            assert node.seals.show_impression(outsider, made["id"])["id"] == made["id"]
        else:
            with pytest.raises(NoSuchImpression):
                node.seals.show_impression(outsider, made["id"])
        node.accounts.delegations.withdraw(lent.id, actor="admin")
    assert node.seals.list_impressions(node.accounts.get("outsider"), seal_id=None).items == []
