"""An enquiry goes to the region that issued the licence and comes back under seal: two real nodes, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pikepdf
import pypdfium2
import pytest
import sqlalchemy as sa

from ceremonies.sample import REGISTRAR
from formats.canonical import canonical_json
from formats.identifiers import LicenceIdentifier
from people.schemas import Account
from policies.authorise import NotAllowed
from records.between_models import EnquiryRow, PeerMessageRow
from records.enquiries import EnquiryAnswered, NoSuchEnquiry
from records.enquiry_outcome import judged
from records.enquiry_questions import BadEnquiry, digest, in_one_form
from records.peers import BadMessage, Message, UnknownPeer
from seals.placement import Placement
from store.db import utc_now
from store.ids import new_id
from store.models import AuditLeafRow
from tests.edited_rows import findings_after
from tests.node_home import EXAMPLES, Service
from tests.regions_world import SHANGHAI, ZHEJIANG, Regions, acquaint, two_regions
from verify.worker import verify_many

LICENCE = json.loads((EXAMPLES / "licence.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def regions() -> Iterator[Regions]:
    with two_regions("enquiries") as found:
        yield found


@pytest.fixture(scope="module")
def issued(regions: Regions) -> tuple[dict[str, Any], bytes]:
    node = regions.shanghai.node
    made = node.licences.issue(node.actor(None), "business-licence", LICENCE, seal_id=regions.shanghai.registrar()["id"])
    acquaint(regions.shanghai.node, regions.zhejiang.node)  # with the keys that the first issue made
    return made


def window(service: Service) -> Account:
    return service.node.accounts.get("window")


def clerk(service: Service) -> Account:
    return service.node.accounts.get("clerk")


def ask(regions: Regions, identifier: str | None, **more: Any) -> dict[str, Any]:
    return regions.zhejiang.node.enquiries.send(window(regions.zhejiang), region=SHANGHAI, identifier=identifier, **more)


def shown(regions: Regions, asked: dict[str, Any]) -> dict[str, Any]:
    return regions.zhejiang.node.enquiries.show(window(regions.zhejiang), asked["id"])


def answered(regions: Regions, asked: dict[str, Any]) -> dict[str, Any]:
    """The enquiry once its answer is here: on a busy machine the sender may give up waiting before the letter is verified."""
    deadline = time.monotonic() + 30
    while (back := shown(regions, asked))["status"] != "answered" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert back["status"] == "answered"
    return back


def theirs(regions: Regions, asked: dict[str, Any]) -> dict[str, Any]:
    """The same enquiry at the node that is asked."""
    node = regions.shanghai.node
    with node.db.read() as session:
        wanted = sa.select(EnquiryRow.id).where(EnquiryRow.direction == "in", EnquiryRow.reference == asked["id"])
        found = session.scalars(wanted).one()
    return node.enquiries.show(clerk(regions.shanghai), found)


def leaves(service: Service, object_id: str) -> list[str]:
    return [entry.kind for entry in reversed(service.node.audit.history(object_id))]


def test_a_plain_yes_is_answered_at_once_by_rule_and_comes_back_under_seal(
    regions: Regions, issued: tuple[dict[str, Any], bytes]
) -> None:
    licence, document = issued
    asked = ask(
        regions,
        licence["identifier"],
        document_sha256=hashlib.sha256(document).hexdigest(),
        matter="open-bank-account",
        particulars={"holder": LICENCE["name"], "number": LICENCE["uscc"], "representative": LICENCE["representative"]},
    )
    assert (asked["status"], asked["delivery"], asked["direction"]) == ("open", "waiting", "out")
    regions.deliver()
    back = answered(regions, asked)
    answer = back["answer"]
    assert (answer["outcome"], answer["in_force"], answer["document"], answer["by_rule"]) == ("yes", True, True, True)
    assert answer["particulars"] == {"holder": True, "number": True, "representative": True}
    assert (answer["organ"], back["region_name"]) == (REGISTRAR, "上海市")
    assert back["letter_verdict"]["counts"] is True
    assert back["letter_verdict"]["regions"] == [SHANGHAI]
    assert leaves(regions.zhejiang, asked["id"]) == ["enquiry.sent", "message.delivered", "enquiry.returned"]
    there = theirs(regions, asked)
    assert leaves(regions.shanghai, there["id"]) == ["enquiry.received", "enquiry.answered", "message.delivered"]


def test_the_letter_is_a_sealed_document_that_anybody_can_verify_and_holds_the_answer_for_programs(
    regions: Regions, issued: tuple[dict[str, Any], bytes]
) -> None:
    asked = ask(regions, issued[0]["identifier"], particulars={"holder": LICENCE["name"]})
    regions.deliver()
    node = regions.zhejiang.node
    letter = node.enquiries.letter(window(regions.zhejiang), asked["id"])
    verdict = verify_many([("letter.pdf", letter)], node.verification_context)[0]
    assert (verdict["verdict"], verdict["answer"]["seal"]["state"]) == ("TOTAL-PASSED", "ok")
    assert REGISTRAR in verdict["answer"]["seal"]["message_zh"]
    attached, text = opened(letter)
    assert attached == shown(regions, asked)["answer"] | {"reference": asked["id"]}
    for said in (asked["id"], "协查复函", issued[0]["identifier"], "是：证照有效"):
        assert said in text
    changed = letter.replace(b"%%EOF", b"%%E0F", 1)
    says = canonical_json(attached)
    assert judged(verdict, SHANGHAI, says)["counts"] is True
    assert judged(verify_many([("l.pdf", changed)], node.verification_context)[0], SHANGHAI, says)["counts"] is False
    assert judged(verdict, "110000", says)["counts"] is False, "a letter of another region answers for that region only"


def opened(letter: bytes) -> tuple[dict[str, Any], str]:
    with pikepdf.open(io.BytesIO(letter)) as pdf:
        attached = json.loads(pdf.attachments["answer.json"].get_file().read_bytes())
    text = pypdfium2.PdfDocument(letter)[0].get_textpage().get_text_range()
    return attached, "".join(text.split()).replace("\u200b", "")


def test_what_does_not_agree_waits_for_a_clerk_who_answers_no(regions: Regions, issued: tuple[dict[str, Any], bytes]) -> None:
    asked = ask(regions, issued[0]["identifier"], particulars={"holder": "样本 另一家公司", "number": LICENCE["uscc"]})
    assert regions.deliver() == 1
    assert shown(regions, asked)["status"] == "open"
    there = theirs(regions, asked)
    assert there["may_answer"] is True
    assert there["register"]["particulars"] == {"holder": False, "number": True}
    with pytest.raises(NotAllowed):
        regions.shanghai.node.enquiries.answer(window(regions.shanghai), there["id"])
    regions.shanghai.node.enquiries.answer(clerk(regions.shanghai), there["id"], remark="请核对名称。")
    with pytest.raises(EnquiryAnswered):
        regions.shanghai.node.enquiries.answer(clerk(regions.shanghai), there["id"])
    regions.deliver()
    answer = shown(regions, asked)["answer"]
    assert (answer["outcome"], answer["in_force"], answer["by_rule"]) == ("no", True, False)
    assert answer["particulars"] == {"holder": False, "number": True}
    assert answer["remark"] == "请核对名称。"


def test_a_licence_that_was_never_issued_is_answered_no(regions: Regions, issued: tuple[dict[str, Any], bytes]) -> None:
    known = LicenceIdentifier.parse(issued[0]["identifier"])
    forged = LicenceIdentifier.build(type_code=known.type_code, issuer_code=known.issuer_code, serial="0000099999")
    asked = ask(regions, str(forged), particulars={"holder": LICENCE["name"]})
    regions.deliver()
    there = theirs(regions, asked)
    assert there["department"] == known.issuer_code, "the organ that the identifier names sees it"
    regions.shanghai.node.enquiries.answer(clerk(regions.shanghai), there["id"], seal_id=regions.shanghai.registrar()["id"])
    regions.deliver()
    answer = shown(regions, asked)["answer"]
    assert (answer["outcome"], answer["in_force"], answer["particulars"]) == ("no", None, {"holder": None})


def test_a_withdrawn_licence_is_answered_no_and_the_applicant_reads_what_happens_next(regions: Regions) -> None:
    node = regions.shanghai.node
    operator = node.actor(None)
    licence, _ = node.licences.issue(operator, "business-licence", LICENCE, seal_id=regions.shanghai.registrar()["id"])
    asked = ask(regions, licence["identifier"], slip="slip_withdrawn")
    (before,) = regions.zhejiang.node.enquiries.of_slip("slip_withdrawn")
    assert "已向上海市发起协查" in before["message_zh"]
    node.licences.revoke(operator, licence["id"], kind="吊销", basis="样本依据")
    regions.deliver()
    node.enquiries.answer(clerk(regions.shanghai), theirs(regions, asked)["id"])
    regions.deliver()
    answer = shown(regions, asked)["answer"]
    assert (answer["outcome"], answer["in_force"], answer["state"]) == ("no", False, "withdrawn")
    (after,) = regions.zhejiang.node.enquiries.of_slip("slip_withdrawn")
    assert (after["status"], after["outcome"]) == ("answered", "no")
    assert "未能确认" in after["message_zh"]
    assert LICENCE["name"] not in json.dumps(after, ensure_ascii=False)


def test_an_enquiry_may_be_declined_with_a_reason(regions: Regions, issued: tuple[dict[str, Any], bytes]) -> None:
    asked = ask(regions, issued[0]["identifier"], particulars={"address": "别处"})
    regions.deliver()
    there = theirs(regions, asked)
    with pytest.raises(BadEnquiry):
        regions.shanghai.node.enquiries.answer(clerk(regions.shanghai), there["id"], declined=True)
    regions.shanghai.node.enquiries.answer(clerk(regions.shanghai), there["id"], declined=True, remark="请另行来函。")
    regions.deliver()
    answer = shown(regions, asked)["answer"]
    assert (answer["outcome"], answer["in_force"], answer["particulars"]) == ("declined", None, {})


def test_no_particular_leaves_the_counter_or_is_kept_anywhere(regions: Regions, issued: tuple[dict[str, Any], bytes]) -> None:
    secret = "样本不可泄露的住所一百零八号"
    asked = ask(regions, issued[0]["identifier"], particulars={"address": secret})
    with regions.zhejiang.node.db.read() as session:
        sent = session.scalars(sa.select(PeerMessageRow).where(PeerMessageRow.about == asked["id"])).one().body
    assert sent["particulars"] == {"address": digest(sent["salt"], "address", secret)}
    regions.deliver()
    node = regions.shanghai.node
    node.enquiries.answer(clerk(regions.shanghai), theirs(regions, asked)["id"])
    regions.deliver()
    letter = node.enquiries.letter(clerk(regions.shanghai), theirs(regions, asked)["id"])
    for kept in (json.dumps(sent, ensure_ascii=False), opened(letter)[1], json.dumps(opened(letter)[0], ensure_ascii=False)):
        assert secret not in kept
        assert LICENCE["address"] not in kept
        assert LICENCE["name"] not in kept
    for service in (regions.shanghai, regions.zhejiang):
        with service.node.db.read() as session:
            bodies = session.scalars(sa.select(AuditLeafRow.body).where(AuditLeafRow.kind.startswith("enquiry."))).all()
        assert bodies
        assert not [body for body in bodies if secret in body or LICENCE["name"] in body]


def test_a_letter_that_is_not_sealed_there_or_answers_something_else_is_shown_as_not_confirmed(
    regions: Regions, issued: tuple[dict[str, Any], bytes]
) -> None:
    service = regions.zhejiang.node.enquiries
    answer = {"outcome": "yes", "in_force": True, "state": "in-force", "document": None, "particulars": {}, "remark": None}
    answer |= {"organ": REGISTRAR, "by_rule": True, "at": int(utc_now().timestamp())}
    unsealed = (EXAMPLES / "approval.pdf").read_bytes()
    sealed_here = regions.zhejiang.node.seals.apply(
        regions.zhejiang.node.actor(None), unsealed, seal_id=regions.zhejiang.seal()["id"], placement=Placement(1, 100, 200)
    )[1]
    earlier = ask(regions, issued[0]["identifier"])
    regions.deliver()
    elsewhere = service.letter(window(regions.zhejiang), earlier["id"])  # genuine, and the answer to another enquiry
    for letter in (unsealed, sealed_here, elsewhere, b"no letter at all"):
        asked = ask(regions, issued[0]["identifier"], slip="slip_forged")
        body = {"reference": asked["id"], "answer": answer, "letter": base64.b64encode(letter).decode()}
        take = service.returned(Message(new_id("message"), SHANGHAI, "enquiry-answer", body, utc_now()))
        regions.zhejiang.node.db.run(take)
        assert shown(regions, asked)["letter_verdict"]["counts"] is False
        assert "未能核实" in service.of_slip("slip_forged")[-1]["message_zh"]


def test_a_region_answers_only_what_it_was_asked(regions: Regions, issued: tuple[dict[str, Any], bytes]) -> None:
    asked = ask(regions, issued[0]["identifier"])
    answer = {"outcome": "yes", "in_force": True, "state": "in-force", "document": None, "particulars": {}, "remark": None}
    answer |= {"organ": REGISTRAR, "by_rule": True, "at": 0}
    body = {"reference": asked["id"], "answer": answer, "letter": ""}
    for region, change in (("110000", {}), (SHANGHAI, {"reference": "enquiry_nobody"}), (SHANGHAI, {"answer": {}})):
        message = Message(new_id("message"), region, "enquiry-answer", {**body, **change}, utc_now())
        with pytest.raises(BadMessage):
            regions.zhejiang.node.enquiries.returned(message)


def test_other_departments_do_not_see_an_enquiry(regions: Regions, issued: tuple[dict[str, Any], bytes]) -> None:
    asked = ask(regions, issued[0]["identifier"])
    node = regions.zhejiang.node
    elsewhere = node.accounts.create_department("云江市气象局", uscc="11330000MB0X799990")
    other = node.accounts.create("weather", None, roles=["handler"], department=elsewhere.id)
    with pytest.raises(NoSuchEnquiry):
        node.enquiries.show(other, asked["id"])
    assert asked["id"] not in {one["id"] for one in node.enquiries.list(other).items}
    assert asked["id"] in {one["id"] for one in node.enquiries.list(window(regions.zhejiang)).items}


def test_an_enquiry_goes_over_http_from_asking_to_the_letter(regions: Regions, issued: tuple[dict[str, Any], bytes]) -> None:
    asking, answering = regions.zhejiang.client("window"), regions.shanghai.client("clerk")
    wish = {"region": SHANGHAI, "identifier": issued[0]["identifier"], "particulars": {"address": "别处"}}
    made = asking.post("/api/v1/enquiries", json=wish)
    assert made.status_code == 201, made.text
    path = f"/api/v1/enquiries/{made.json()['id']}"
    assert asking.get(f"{path}/letter").status_code == 404
    regions.deliver()
    waiting = answering.get("/api/v1/enquiries", params={"direction": "in", "status": "open"}).json()["items"]
    there = next(one["id"] for one in waiting if one["reference"] == made.json()["id"])
    refused = regions.shanghai.client("window").post(f"/api/v1/enquiries/{there}/answer", json={})
    assert (refused.status_code, refused.json()["code"]) == (403, "not-allowed")
    assert answering.post(f"/api/v1/enquiries/{there}/answer", json={"remark": "请核对。"}).json()["status"] == "answered"
    regions.deliver()
    back = asking.get(path).json()
    assert (back["answer"]["outcome"], back["answer"]["particulars"]) == ("no", {"address": False})
    letter = asking.get(back["letter_url"])
    assert letter.headers["content-type"] == "application/pdf"
    assert hashlib.sha256(letter.content).hexdigest() == back["letter_sha256"]
    assert regions.zhejiang.client().get(path).status_code == 401


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"region": ZHEJIANG, "identifier": "ID"}, BadEnquiry),
        ({"region": "110000", "identifier": "ID"}, UnknownPeer),
        ({"region": SHANGHAI}, BadEnquiry),
        ({"region": SHANGHAI, "identifier": "no identifier"}, BadEnquiry),
        ({"region": SHANGHAI, "document_sha256": "no digest"}, BadEnquiry),
        ({"region": SHANGHAI, "identifier": "ID", "particulars": {"phone": "1"}}, BadEnquiry),
        ({"region": SHANGHAI, "identifier": "ID", "particulars": {"holder": "  "}}, BadEnquiry),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(
    regions: Regions, issued: tuple[dict[str, Any], bytes], wanted: dict[str, Any], error: type[Exception]
) -> None:
    wanted = {**wanted, **({"identifier": issued[0]["identifier"]} if wanted.get("identifier") == "ID" else {})}
    with pytest.raises(error):
        regions.zhejiang.node.enquiries.send(window(regions.zhejiang), **wanted)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("holder", "云江市青禾（样本）有限公司", " 云江市青禾(样本)有限公司"),
        ("number", "91310000ma1fl0001x", "９１310000MA1FL0001X"),
        ("valid_to", "2036-01-05", "2036年1月5日"),
        ("valid_to", "20360105", "2036年01月05日"),
    ],
)
def test_the_same_particular_written_in_two_ways_agrees(name: str, one: str, other: str) -> None:
    assert in_one_form(name, one) == in_one_form(name, other)


def test_an_answer_that_is_late_is_shown_as_overdue(
    regions: Regions, issued: tuple[dict[str, Any], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(regions, issued[0]["identifier"], particulars={"holder": "另一家"})
    service = regions.zhejiang.node.enquiries
    now = service._now
    monkeypatch.setattr(service, "_now", lambda: now() + timedelta(hours=49))
    assert shown(regions, asked)["overdue"] is True


EDITS = {
    "zhejiang": [
        *("matter='tax-registration'", "peer='440000'", "letter='00'", "asked_by='x'"),
        *("status='open'", "remark='x'", "letter_verdict='{\"counts\": false}'"),
    ],
    "shanghai": ["identifier='x'", 'answer=\'{"outcome": "no"}\'', "answered_by='x'", "particulars='{}'"],
}


def test_an_edited_enquiry_is_noticed_on_either_side(regions: Regions, issued: tuple[dict[str, Any], bytes]) -> None:
    asked = ask(regions, issued[0]["identifier"], matter="open-bank-account", particulars={"holder": LICENCE["name"]})
    regions.deliver()
    answered(regions, asked)
    for of, edits in EDITS.items():
        node = {"zhejiang": regions.zhejiang, "shanghai": regions.shanghai}[of].node
        assert findings_after(node, "SELECT 1") == []
        for edit in edits:
            found = findings_after(node, f"UPDATE enquiries SET {edit} WHERE reference='{asked['id']}'")
            assert [one.code for one in found] == ["row-edited"], edit
