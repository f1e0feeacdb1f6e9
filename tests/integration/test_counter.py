"""The counter: an identity card, yes or no, and one record with the phone; nothing without the person."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from api.sessions import COOKIE
from ceremonies.sample import FEDERATION, sample_uscc
from crypto.errors import Forbidden
from formats.dates import BEIJING
from licences.copies import NoSuchCopy
from licences.service import NoSuchLicence
from people.cardreader import NoCard, NoCardReader, SimulatedReader, card_reader
from people.demo import demo_citizen
from people.schemas import Actor
from records.counter import BadMatter, CounterService, NoSuchVisit, VisitEnded
from tests.citizens import citizen
from tests.node_home import EXAMPLES, REGION, Service, founded_home, serving
from tests.soft_phone import SoftPhone

CERTIFICATE: dict[str, Any] = json.loads((EXAMPLES / "disability-certificate.json").read_text("utf-8"))
ELDER, AGENT = demo_citizen("elder"), demo_citizen("agent")
BENEFIT = "disability-benefit"
TODAY = datetime.now(BEIJING).date()
SOON = TODAY + timedelta(days=20)


class Hall:
    """A running node with a window clerk, and the certificate of somebody who comes to the window."""

    def __init__(self, service: Service) -> None:
        self.service = service
        node, operator = service.node, service.node.actor(None)
        uscc = sample_uscc(REGION, FEDERATION)
        node.seals.create(operator, owner_name=FEDERATION, owner_uscc=uscc, idempotency_key="federation")
        self.certificate = node.licences.issue(operator, "disability-certificate", CERTIFICATE)[0]["id"]
        self.clerk: Actor = node.accounts.get("window")
        self.counter: CounterService = node.counter

    def visit(self, name: str = ELDER.name) -> str:
        return str(self.counter.identify(self.clerk, name)["id"])

    def browser(self, account: str = "window") -> Browser:
        return Browser(self.service, account)


class Browser:
    """Somebody's signed-in browser that fills in forms."""

    def __init__(self, service: Service, account: str) -> None:
        session = service.node.accounts.open_session(service.node.accounts.get(account))
        self.http = httpx.Client(base_url=service.url, cookies={COOKIE: session.token}, follow_redirects=True, timeout=60)
        self.page = ""

    def get(self, path: str) -> httpx.Response:
        answer = self.http.get(path)
        self.page = answer.text
        return answer

    def post(self, path: str, **form: str) -> httpx.Response:
        token = re.search(r'name="csrf" value="([0-9a-f]+)"', self.page)
        answer = self.http.post(path, data={"csrf": token[1] if token else "", **form})
        self.page = answer.text
        return answer


@pytest.fixture(scope="module")
def hall() -> Iterator[Hall]:
    with serving(founded_home("counter")) as running:
        yield Hall(running)


# -- the card -------------------------------------------------------------------------------------------------------------


def test_a_production_node_refuses_the_simulated_reader() -> None:
    with pytest.raises(NoCardReader):
        card_reader("production", [(ELDER.name, ELDER.id_number)])
    reader = card_reader("development", [(ELDER.name, ELDER.id_number)])
    assert reader.simulated
    assert ELDER.id_number not in repr(reader.read(ELDER.name))
    with pytest.raises(NoCard):
        SimulatedReader([]).read("谁")


def test_of_a_card_only_a_key_and_a_mask_are_kept(hall: Hall) -> None:
    visit = hall.visit()
    shown = hall.counter.visit(hall.clerk, visit)
    assert (shown["name"], shown["simulated"]) == ("样本 赵*", True)
    said = json.dumps([[e.subject, e.data] for e in hall.service.node.audit.history(visit)], ensure_ascii=False)
    person = hall.service.node.citizens.person_key(ELDER.id_number)
    for secret in (ELDER.name, ELDER.id_number, person):
        assert secret not in said


def test_only_the_clerk_who_looked_at_the_person_goes_on(hall: Hall) -> None:
    visit, node = hall.visit(), hall.service.node
    node.accounts.create("window2", None, roles=["window_clerk"], department=hall.clerk.department, kind="system")
    other = node.accounts.get("window2")
    for who in (other, node.accounts.get("clerk"), node.accounts.get("auditor"), node.actor(None)):
        with pytest.raises((NoSuchVisit, Forbidden)):
            hall.counter.ask(who, visit, "disability-certificate", BENEFIT)
    for who in (node.accounts.get("clerk"), node.actor(None)):
        with pytest.raises(Forbidden):
            hall.counter.identify(who, ELDER.name)


def test_a_visit_ends_by_itself_and_by_the_clerk(hall: Hall) -> None:
    first, second = hall.visit(), hall.visit()
    hall.counter.end(hall.clerk, first)
    clock = hall.counter._now
    try:
        hall.counter._now = lambda: clock() + timedelta(minutes=31)
        with pytest.raises(VisitEnded):
            hall.counter.ask(hall.clerk, second, "disability-certificate", BENEFIT)
    finally:
        hall.counter._now = clock
    with pytest.raises(VisitEnded):
        hall.counter.use(hall.clerk, first, hall.certificate, BENEFIT)
    assert hall.counter.slip(hall.clerk, first)["status"] == "ended"


# -- asking and using -----------------------------------------------------------------------------------------------------


def test_yes_or_no_comes_before_any_data(hall: Hall) -> None:
    visit = hall.visit()
    yes = hall.counter.ask(hall.clerk, visit, "disability-certificate", BENEFIT)
    assert (yes["holds"], [one["role"] for one in yes["licences"]]) == (True, ["holder"])
    no = hall.counter.ask(hall.clerk, visit, "business-licence", BENEFIT)
    assert (no["holds"], no["licences"]) == (False, [])
    answers = json.dumps([yes, no], ensure_ascii=False)
    for datum in (CERTIFICATE["name"], CERTIFICATE["id_number"], CERTIFICATE["address"], CERTIFICATE["category"]):
        assert datum not in answers
    with pytest.raises(BadMatter):
        hall.counter.ask(hall.clerk, visit, "disability-certificate", "anything")


def test_what_a_clerk_sees_is_masked_and_on_record(hall: Hall) -> None:
    visit = hall.visit()
    content = hall.counter.see(hall.clerk, visit, hall.certificate, BENEFIT)
    values = {one["label"]: one["value"] for one in content["fields"]}
    assert (values["身份证号"], values["残疾等级"]) == ("9900************19", "二级")
    assert CERTIFICATE["id_number"] not in json.dumps(content)
    assert [one["kind"] for one in hall.counter.slip(hall.clerk, visit)["acts"]] == ["seen"]


def test_a_use_at_the_counter_is_seen_by_its_holder_on_the_phone(hall: Hall) -> None:
    visit = hall.visit()
    hall.counter.use(hall.clerk, visit, hall.certificate, BENEFIT)
    uses = hall.service.node.uses.of_licence(hall.certificate)
    assert (uses[0]["channel"], uses[0]["matter"], uses[0]["decision"]) == ("counter", BENEFIT, "accept")
    assert hall.counter.standing(hall.clerk, visit)["uses"][0]["id"] == uses[0]["id"]  # and who has no phone, at the counter


def test_nobody_uses_what_is_not_theirs(hall: Hall) -> None:
    visit = hall.visit(demo_citizen("staff").name)
    assert not hall.counter.ask(hall.clerk, visit, "disability-certificate", BENEFIT)["holds"]
    for act in (hall.counter.use, hall.counter.see):
        with pytest.raises(NoSuchLicence):
            act(hall.clerk, visit, hall.certificate, BENEFIT)


def test_a_licence_that_is_not_in_force_is_a_no(hall: Hall) -> None:
    operator = hall.service.node.actor(None)
    hall.service.node.licences.suspend(operator, hall.certificate, basis="核查")
    try:
        assert not hall.counter.ask(hall.clerk, hall.visit(), "disability-certificate", BENEFIT)["holds"]
    finally:
        hall.service.node.licences.resume(operator, hall.certificate, basis="核查完毕")


# -- copies and agents: one record with the phone -------------------------------------------------------------------------


def test_a_copy_made_at_the_counter_is_in_the_holders_list_and_withdrawn_from_the_phone(hall: Hall) -> None:
    visit, node = hall.visit(), hall.service.node
    copy, document = hall.counter.copy(
        hall.clerk, visit, hall.certificate, purpose="申领补贴", until=SOON, matter=BENEFIT, idempotency_key="counter-copy"
    )
    assert copy["maker"] == "云江市人民政府 窗口（样本 赵* 本人到场）"
    assert hall.counter.document(hall.clerk, visit, copy["id"]) == document
    with pytest.raises(NoSuchVisit):
        hall.counter.document(hall.clerk, hall.visit(), copy["id"])
    elder = citizen(node, "elder")
    assert copy["id"] in [one["id"] for one in node.annotated.of_licence(elder, hall.certificate)]
    node.annotated.withdraw(elder, copy["id"])
    assert copy["id"] not in [one["id"] for one in hall.counter.standing(hall.clerk, visit)["copies"]]


def test_an_agent_recorded_at_the_counter_is_seen_and_withdrawn_by_the_holder(hall: Hall) -> None:
    visit, node = hall.visit(), hall.service.node
    given = hall.counter.authorise(hall.clerk, visit, hall.certificate, card=AGENT.name, matter=BENEFIT, until=SOON)
    elder = citizen(node, "elder")
    (seen,) = [one for one in node.grants.mine(elder) if one["id"] == given["id"]]
    assert (seen["kind"], seen["basis"], seen["matters"]) == ("agent", "presence", [BENEFIT])
    # The agent comes alone, with an own card: for this matter, for no other.
    errand = hall.visit(AGENT.name)
    assert hall.counter.ask(hall.clerk, errand, "disability-certificate", BENEFIT)["holds"]
    assert not hall.counter.ask(hall.clerk, errand, "disability-certificate", "park-entry")["holds"]
    hall.counter.use(hall.clerk, errand, hall.certificate, BENEFIT)
    with pytest.raises(Forbidden):
        hall.counter.use(hall.clerk, errand, hall.certificate, "park-entry")
    # Withdrawn at the counter, it is over on the phone, and at every counter.
    hall.counter.withdraw_grant(hall.clerk, visit, given["id"])
    assert next(one for one in node.grants.mine(elder) if one["id"] == given["id"])["status"] == "withdrawn"
    assert not hall.counter.ask(hall.clerk, errand, "disability-certificate", BENEFIT)["holds"]
    acts = [one["kind"] for one in hall.counter.slip(hall.clerk, visit)["acts"]]
    assert acts == ["authorised", "withdrawn"]


def test_a_phone_is_reported_lost_by_whoever_comes_with_the_card_alone(hall: Hall) -> None:
    node, holder = hall.service.node, citizen(hall.service.node, ELDER.key)
    phones = [SoftPhone(), SoftPhone()]
    kept, lost = (
        node.copies.download(holder, hall.certificate, device=name, proof=phone.proof(node.copies.challenge(holder)))["id"]
        for name, phone in zip(("旧手机", "丢失的手机"), phones, strict=True)
    )
    online = node.citizens.open_session(holder).token
    page = hall.browser()
    page.get("/counter")
    visit = str(page.post("/counter", card=ELDER.name).url).rpartition("/")[2]
    assert "手机挂失" in page.page
    assert "丢失的手机" not in page.page, "which phones somebody has is told when it is asked"
    assert "丢失的手机" in page.get(f"/counter/{visit}/withdraw?what=phones").text
    page.get(f"/counter/{visit}/withdraw?what={lost}")
    assert "挂失“丢失的手机”？" in page.page
    assert ELDER.name not in page.page, "masked, as everywhere at the counter"
    page.post(f"/counter/{visit}/withdraw", what=lost)
    assert "已挂失" in page.page
    assert {one["id"]: one["state"] for one in node.copies.mine(holder) if one["id"] in (kept, lost)} == {
        kept: "in-force",
        lost: "lost",
    }
    assert node.citizens.by_session(online) is None, "the phone was signed in"
    assert "丢失的手机" in page.get(f"/counter/{visit}/slip").text
    with pytest.raises(NoSuchCopy):  # somebody else's phone
        hall.counter.report_lost(hall.clerk, hall.visit(AGENT.name), kept)
    node.copies.remove(holder, kept)


def test_nothing_is_authorised_or_withdrawn_for_who_is_not_there(hall: Hall) -> None:
    stranger = hall.visit(demo_citizen("staff").name)
    with pytest.raises(NoSuchLicence):
        hall.counter.authorise(hall.clerk, stranger, hall.certificate, card=AGENT.name, matter=BENEFIT, until=SOON)
    with pytest.raises(NoSuchLicence):
        hall.counter.copy(hall.clerk, stranger, hall.certificate, purpose="补贴", until=SOON, matter=BENEFIT)
    assert hall.counter.standing(hall.clerk, stranger) == {"grants": [], "copies": [], "uses": [], "phones": []}


def test_every_act_has_its_leaf_and_the_rows_agree_with_the_log(hall: Hall) -> None:
    node = hall.service.node
    node.audit.sequence(node.checkpoint_key())
    assert [one.message for one in node.verify_log().findings] == []


# -- the pages ------------------------------------------------------------------------------------------------------------


def test_the_whole_errand_by_forms_without_a_script(hall: Hall) -> None:
    clerk = hall.browser()
    assert "演示读卡器，非真实设备" in clerk.get("/counter").text
    visited = clerk.post("/counter", card=ELDER.name)
    path = visited.url.path
    assert clerk.post(f"{path}/ask", matter=BENEFIT, type="disability-certificate").status_code == 200
    assert ">是<" in clerk.page
    used = clerk.post(f"{path}/use", licence=hall.certificate, matter=BENEFIT)
    assert "免交复印件" in used.text
    clerk.get(f"{path}/copy?licence={hall.certificate}&matter={BENEFIT}")
    made = clerk.post(
        f"{path}/copy", licence=hall.certificate, matter=BENEFIT, purpose="申领补贴", until=SOON.isoformat(), key="k1"
    )
    pdf = re.search(rf"{path}/copies/annotated_\w+", made.text)
    assert pdf is not None
    assert clerk.get(pdf[0]).content.startswith(b"%PDF")
    clerk.get(f"{path}/agent?licence={hall.certificate}&matter={BENEFIT}")
    assert (
        "钱*"
        in clerk.post(f"{path}/agent", licence=hall.certificate, matter=BENEFIT, card=AGENT.name, until=SOON.isoformat()).text
    )
    what = re.search(r"withdraw\?what=(grant_\w+)", clerk.page)
    assert what is not None
    assert "确定撤回吗" in clerk.get(f"{path}/withdraw?what={what[1]}").text
    assert "已撤回" in clerk.post(f"{path}/withdraw", what=what[1]).text
    slip = clerk.get(f"{path}/slip").text
    for said in ("使用证照", "制作加注件", "登记代办人", "撤回", "无需再在网上或手机上重复办理", "样本 赵*"):
        assert said in slip, said
    assert ELDER.id_number not in slip
    clerk.get(path)
    assert "本次办理已结束" in clerk.post(f"{path}/end").text


def test_a_form_says_what_is_wrong_and_keeps_what_was_typed(hall: Hall) -> None:
    clerk = hall.browser()
    clerk.get("/counter")
    path = clerk.post("/counter", card=ELDER.name).url.path
    clerk.get(f"{path}/copy?licence={hall.certificate}&matter={BENEFIT}")
    wrong = clerk.post(f"{path}/copy", licence=hall.certificate, matter=BENEFIT, purpose="长" * 31, until=SOON.isoformat())
    assert wrong.status_code == 422
    assert "请精简" in wrong.text
    assert "长" * 31 in wrong.text
    assert clerk.post("/counter", card="").status_code == 404


def test_others_find_no_counter(hall: Hall) -> None:
    assert 'href="/counter"' in hall.browser().get("/verify").text
    for account in ("handler", "clerk", "auditor", "admin"):
        browser = hall.browser(account)
        assert browser.get("/counter").status_code == 403
        assert 'href="/counter"' not in browser.get("/verify").text
