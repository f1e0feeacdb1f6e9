"""加注件 over HTTP and on the page for typed codes; and the attack on paper: an altered print."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pikepdf
import pypdfium2
import pytest
import zxingcpp
from PIL import Image, ImageDraw

from ceremonies.sample import FEDERATION, sample_uscc
from formats import checkcode
from formats.dates import BEIJING
from people.demo import demo_citizen
from tests.citizens import client
from tests.node_home import EXAMPLES, REGION, Service, founded_home, serving

CERTIFICATE: dict[str, Any] = json.loads((EXAMPLES / "disability-certificate.json").read_text("utf-8"))
SHOP: dict[str, Any] = json.loads((EXAMPLES / "licence.json").read_text("utf-8"))
TODAY = datetime.now(BEIJING).date()
SOON = TODAY + timedelta(days=20)
WISH = {"purpose": "申领残疾人补贴", "until": SOON.isoformat(), "matter": "disability-benefit"}


class Desk:
    """A running node with one licence of each type, each with a copy made by its holder."""

    def __init__(self, service: Service) -> None:
        self.service = service
        node, operator = service.node, service.node.actor(None)
        service.registrar()
        uscc = sample_uscc(REGION, FEDERATION)
        node.seals.create(operator, owner_name=FEDERATION, owner_uscc=uscc, idempotency_key="federation")
        owner = demo_citizen("owner")
        shop = {**SHOP, "representative": owner.name, "representative_id": owner.id_number}
        self.shop = node.licences.issue(operator, "business-licence", shop)[0]["id"]
        self.certificate = node.licences.issue(operator, "disability-certificate", CERTIFICATE)[0]["id"]
        node.renew_trust()
        self.elder, self.owner, self.stranger = (client(service, who) for who in ("elder", "owner", "staff"))
        self.copy = self.made(self.elder, self.certificate)
        self.shop_copy = self.made(self.owner, self.shop, purpose="开立银行账户", matter="open-bank-account")

    def made(self, who: httpx.Client, licence: str, **changes: Any) -> dict[str, Any]:
        answer = who.post(f"/api/v1/licences/{licence}/copies", json={**WISH, **changes})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def document(self, who: httpx.Client, copy: dict[str, Any]) -> bytes:
        answer = who.get(copy["document_url"])
        assert answer.headers["content-type"] == "application/pdf"
        return answer.content

    def verify(self, name: str, data: bytes, kind: str, **more: str) -> dict[str, Any]:
        with self.service.client() as anyone:
            answer = anyone.post("/api/v1/verifications", files={"file": (name, data, kind)}, data=more)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def code(self, copy: dict[str, Any], **more: str) -> httpx.Response:
        with self.service.client() as anyone:
            return anyone.get(f"/api/v1/check-codes/{copy['check_code']}", params=more)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with serving(founded_home("annotated")) as running:
        yield Desk(running)


def decision(verdict: dict[str, Any]) -> str:
    return str(verdict["answer"]["decision"])


def shown(verdict: dict[str, Any]) -> dict[str, Any]:
    """What a clerk compares with the paper."""
    return {**verdict["licence"], **(verdict.get("presentation") or {})}


# -- making and finding ---------------------------------------------------------------------------------------------------


def test_the_holder_makes_a_copy_and_finds_it_again(desk: Desk) -> None:
    listed = desk.elder.get(f"/api/v1/licences/{desk.certificate}/copies").json()["items"]
    assert desk.copy["id"] in [one["id"] for one in listed]
    assert desk.elder.get(f"/api/v1/annotated-copies/{desk.copy['id']}").json() == desk.copy
    assert (desk.copy["holder"], desk.copy["maker"], desk.copy["channel"]) == ("赵*", "持证人 赵*", "holder")
    verdict = desk.verify("copy.pdf", desk.document(desk.elder, desk.copy), "application/pdf", matter="disability-benefit")
    assert (verdict["verdict"], decision(verdict)) == ("TOTAL-PASSED", "accept")


def test_nobody_else_knows_of_it(desk: Desk) -> None:
    paths = [f"/api/v1/annotated-copies/{desk.copy['id']}", desk.copy["document_url"]]
    for path in (*paths, f"/api/v1/licences/{desk.certificate}/copies"):
        assert desk.stranger.get(path).status_code == 404, path
        assert desk.owner.get(path).status_code == 404, path
        with desk.service.client() as anyone:
            assert anyone.get(path).status_code == 401, path
    assert desk.stranger.post(f"/api/v1/licences/{desk.certificate}/copies", json=WISH).status_code == 404
    assert desk.stranger.post(f"{paths[0]}/withdraw").status_code == 404


def test_a_cookie_alone_changes_nothing(desk: Desk) -> None:
    token = desk.elder.headers.pop("X-CSRF-Token")
    try:
        assert desk.elder.post(f"/api/v1/licences/{desk.certificate}/copies", json=WISH).status_code == 403
    finally:
        desk.elder.headers["X-CSRF-Token"] = token


def test_the_authority_copies_its_own_licences_with_the_command_line_and_over_http(desk: Desk) -> None:
    with desk.service.client("clerk") as clerk:
        answer = clerk.post(f"/api/v1/licences/{desk.shop}/copies", json={**WISH, "purpose": "归档", "matter": None})
        assert answer.status_code == 201
        assert (answer.json()["channel"], answer.json()["maker"]) == ("staff", "云江市市场监督管理局")
    with desk.service.client("handler") as handler:
        assert handler.post(f"/api/v1/licences/{desk.shop}/copies", json=WISH).status_code == 403


def test_a_typed_code_gives_the_verdict_of_the_printed_one(desk: Desk) -> None:
    verdict = desk.code(desk.copy, matter="disability-benefit").json()
    assert decision(verdict) == "accept"
    assert (shown(verdict)["purpose"], shown(verdict)["holder"]) == ("申领残疾人补贴", "赵*")
    assert decision(desk.code(desk.copy, matter="open-bank-account").json()) == "check"
    assert CERTIFICATE["id_number"] not in json.dumps(verdict, ensure_ascii=False)


def test_a_slip_costs_no_try_and_guessing_is_slowed_down(desk: Desk) -> None:
    with desk.service.client() as guesser:
        wrong = desk.copy["check_code"][:-1] + ("3" if desk.copy["check_code"][-1] != "3" else "4")
        assert [guesser.get(f"/api/v1/check-codes/{wrong}").status_code for _ in range(30)] == [400] * 30
        answers = [guesser.get(f"/api/v1/check-codes/{checkcode.new()}").status_code for _ in range(30)]
    assert answers[0] == 404
    assert answers[-1] == 429
    desk.service.app.state.check_limit._buckets.clear()


def test_the_page_for_typed_codes_leads_to_the_answer(desk: Desk) -> None:
    with httpx.Client(base_url=desk.service.url, follow_redirects=True) as browser:
        found = browser.post("/check", data={"code": f" {desk.copy['check_code'].lower()} ", "matter": "disability-benefit"})
        assert "可以采信" in found.text
        missing = browser.post("/check", data={"code": checkcode.new()})
        assert (missing.status_code, "查无此码" in missing.text) == (404, True)
        slip = browser.post("/check", data={"code": "0OIL"})
        assert slip.status_code == 400
        assert "形近" in slip.text


# -- the attack: an altered print -----------------------------------------------------------------------------------------


def printed(data: bytes, dpi: int = 200) -> Image.Image:
    with pypdfium2.PdfDocument(data) as pdf:
        pdf.init_forms()
        return pdf[0].render(scale=dpi / 72).to_pil().convert("RGB")


def png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def where(picture: Image.Image) -> tuple[int, int, int, int]:
    """The code's place, with its quiet zone."""
    (found,) = zxingcpp.read_barcodes(picture.convert("L"))
    corners = [found.position.top_left, found.position.bottom_right]
    rim = (corners[1].x - corners[0].x) // 18
    return corners[0].x - rim, corners[0].y - rim, corners[1].x + rim, corners[1].y + rim


def test_attack_an_altered_print_with_the_code_of_another_licence(desk: Desk) -> None:
    """A genuine code on a foreign page: the answer is about the licence that the code belongs to, and asks to compare."""
    paper = printed(desk.document(desk.elder, desk.copy))
    other = printed(desk.document(desk.owner, desk.shop_copy))
    place = where(paper)
    paper.paste(other.crop(where(other)).resize((place[2] - place[0], place[3] - place[1])), place[:2])
    verdict = desk.verify("photo.png", png(paper), "image/png")
    said = shown(verdict)
    assert (said["type"], said["holder"], said["purpose"]) == ("营业执照", SHOP["name"], "开立银行账户")
    assert "核对" in verdict["answer"]["next_step_zh"]
    # And for what the paper claims to be for, it is not accepted at all.
    assert decision(desk.verify("photo.png", png(paper), "image/png", matter="disability-benefit")) == "check"


def test_attack_an_altered_print_with_changed_words_and_the_original_code(desk: Desk) -> None:
    """Purpose and name painted over: the answer repeats what was issued, not what the paper says now."""
    paper = printed(desk.document(desk.elder, desk.copy))
    draw = ImageDraw.Draw(paper)
    left, _, right, bottom = where(paper)
    draw.rectangle((left, bottom + 60, paper.width - left, bottom + 260), fill="white")  # the box with purpose and day
    draw.rectangle((right, 600, paper.width - 200, 1000), fill="white")  # the name and what stands beside it
    verdict = desk.verify("photo.png", png(paper), "image/png", matter="disability-benefit")
    said = shown(verdict)
    assert (said["purpose"], said["holder"]) == ("申领残疾人补贴", "赵*")
    assert said["purpose_until"].startswith(SOON.isoformat())
    assert "核对" in verdict["answer"]["next_step_zh"]


def test_attack_an_altered_file_of_a_copy(desk: Desk) -> None:
    """The file itself, with another purpose in its metadata, or its page painted over, is refused."""
    data = desk.document(desk.elder, desk.copy)
    with pikepdf.open(io.BytesIO(data)) as pdf:
        attached = json.loads(pdf.attachments["metadata.json"].get_file().read_bytes())
        changed = json.dumps({**attached, "JZJZZSY": "开立银行账户", "JZJYXQJZSJ": "20991231"}, ensure_ascii=False).encode()
        pdf.attachments["metadata.json"] = pikepdf.AttachedFileSpec(pdf, changed, filename="metadata.json")
        out = io.BytesIO()
        pdf.save(out)
    assert decision(desk.verify("copy.pdf", out.getvalue(), "application/pdf")) == "refuse"


def test_attack_an_altered_code_is_confirmed_by_nobody(desk: Desk) -> None:
    found = desk.service.node.annotated.by_check_code(desk.copy["check_code"])["code"]
    head, _, payload = found.partition("#")
    for place in range(40, len(payload), 97):
        bent = payload[:place] + ("A" if payload[place] != "A" else "B") + payload[place + 1 :]
        with desk.service.client() as anyone:
            verdict = anyone.post("/api/v1/verifications", data={"code": f"{head}#{bent}"}).json()
        assert decision(verdict) != "accept"
        assert verdict["verdict"] != "TOTAL-PASSED"


def test_attack_a_print_after_its_day_or_for_another_matter(desk: Desk) -> None:
    data, day = desk.document(desk.elder, desk.copy), timedelta(days=1)
    late = datetime.combine(SOON + day, datetime.min.time(), BEIJING).isoformat()
    for name, given, kind in (("copy.pdf", data, "application/pdf"), ("photo.png", png(printed(data)), "image/png")):
        assert decision(desk.verify(name, given, kind, matter="disability-benefit")) == "accept", name
        assert decision(desk.verify(name, given, kind, matter="disability-benefit", at=late)) == "refuse", name
        assert decision(desk.verify(name, given, kind, matter="open-bank-account")) == "check", name


def test_attack_a_print_that_was_withdrawn(desk: Desk) -> None:
    copy = desk.made(desk.elder, desk.certificate, purpose="公园免票", matter="park-entry")
    data = desk.document(desk.elder, copy)
    picture = png(printed(data))
    assert decision(desk.verify("photo.png", picture, "image/png", matter="park-entry")) == "accept"
    assert desk.elder.post(f"/api/v1/annotated-copies/{copy['id']}/withdraw").json()["status"] == "withdrawn"
    assert decision(desk.verify("photo.png", picture, "image/png", matter="park-entry")) == "refuse"
    assert decision(desk.verify("copy.pdf", data, "application/pdf", matter="park-entry")) == "refuse"
    assert decision(desk.code(copy).json()) == "refuse"
