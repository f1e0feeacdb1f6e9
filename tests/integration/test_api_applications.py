"""Applications and changes of licences over HTTP, against a running service on real tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from tests.node_home import EXAMPLES, Service, founded_home, serving

APPROVAL = (EXAMPLES / "approval.pdf").read_bytes()
LICENCE = json.loads((EXAMPLES / "licence.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home()) as running:
        yield running


def test_an_application_is_handled_by_one_and_signed_off_by_another_before_the_seal_is_used(service: Service) -> None:
    seal = service.seal()
    wish = {
        "purpose": "use-seal",
        "department": seal["owner_uscc"],
        "matter": "A-118",
        "seal": seal["id"],
        "document_sha256": hashlib.sha256(APPROVAL).hexdigest(),
    }
    form = {"seal": seal["id"], "page": "2", "x_mm": "137", "y_mm": "175", "matter": "A-118"}
    with service.client("handler") as handler, service.client("signer") as signer, service.client("keeper") as keeper:
        put = handler.post("/api/v1/applications", json=wish)
        assert put.status_code == 201, put.text
        form["application"] = put.json()["id"]
        early = keeper.post("/api/v1/impressions", files={"file": ("a.pdf", APPROVAL)}, data=form)
        assert early.status_code == 403
        assert handler.post(f"/api/v1/applications/{form['application']}/sign-off").status_code == 403
        signed = signer.post(f"/api/v1/applications/{form['application']}/sign-off")
        assert signed.json()["status"] == "signed-off", signed.text
        again = signer.post(f"/api/v1/applications/{form['application']}/refuse", json={"reason": "x"})
        assert again.status_code == 409
        made = keeper.post("/api/v1/impressions", files={"file": ("a.pdf", APPROVAL)}, data=form)
        assert made.status_code == 201, made.text
        assert made.json()["application"] == form["application"]
        assert form["application"] in [a["id"] for a in handler.get("/api/v1/applications").json()["items"]]
        assert handler.get(f"/api/v1/applications/{form['application']}").json()["signer_off"]
        assert handler.get("/api/v1/applications/application_none").status_code == 404
    with service.client() as nobody:
        assert nobody.post("/api/v1/applications", json=wish).status_code == 401
        assert nobody.get("/api/v1/applications").status_code == 401


def test_a_changed_licence_replaces_the_old_one_before_every_verifier(service: Service) -> None:
    service.registrar()
    with service.client("clerk") as clerk, service.client() as anyone:
        old = clerk.post("/api/v1/licences", json={"type": "business-licence", "data": LICENCE}).json()
        first = clerk.get(old["document_url"]).content
        changed = clerk.post(f"/api/v1/licences/{old['id']}/change", json={"data": {**LICENCE, "capital": "人民币800万元整"}})
        assert changed.status_code == 201, changed.text
        new = changed.json()
        assert (new["version"], new["serial"]) == (2, old["serial"])
        second = clerk.get(new["document_url"]).content
        answers = [
            anyone.post("/api/v1/verifications", files={"file": ("l.pdf", data)}).json()["answer"] for data in (first, second)
        ]
        assert answers[0]["decision"] != "accept"
        assert answers[1]["decision"] == "accept", answers[1]


def test_an_approval_system_hands_in_a_file_and_follows_it_to_delivery(service: Service) -> None:
    seal = service.seal()
    form = {
        "purpose": "use-seal",
        "department": seal["owner_uscc"],
        "matter": "approval-reply",
        "seal": seal["id"],
        "number": "云江审批〔2026〕7号",
        "copies": "3",
        "applicant": "云江市某某有限公司",
        "places": json.dumps([{"page": 2, "x_mm": 137, "y_mm": 175}]),
    }
    with (
        service.client("handler") as handler,
        service.client("reviewer") as reviewer,
        service.client("signer") as signer,
        service.client("keeper") as keeper,
        service.client() as anyone,
    ):
        key = {"Idempotency-Key": "reply-7"}
        put = handler.post("/api/v1/applications", data=form, files={"file": ("批复.pdf", APPROVAL)}, headers=key)
        assert put.status_code == 201, put.text
        found, at = put.json(), f"/api/v1/applications/{put.json()['id']}"
        again = handler.post("/api/v1/applications", data=form, files={"file": ("批复.pdf", APPROVAL)}, headers=key)
        assert again.json()["id"] == found["id"]
        other = handler.post("/api/v1/applications", data=form | {"copies": "4"}, files={"file": APPROVAL}, headers=key)
        assert other.status_code == 422
        assert (found["title"], found["documents"][0]["name"]) == ("批复", "批复.pdf")
        assert [step["step"] for step in found["steps"]] == ["handle", "review", "sign-off", "seal", "deliver"]
        assert signer.post(f"{at}/sign-off").status_code == 409
        assert found["id"] in [one["id"] for one in reviewer.get("/api/v1/applications?todo=true").json()["items"]]
        returned = reviewer.post(f"{at}/return", json={"reason": "文号有误"})
        assert returned.json()["returned_reason"] == "文号有误"
        assert anyone.get(f"/api/v1/tracking/{found['track_code']}").json()["status"] == "returned"
        amended = handler.post(f"{at}/amend", json={"number": "云江审批〔2026〕8号"})
        assert (amended.json()["round"], amended.json()["copies"]) == (2, 3)
        stale = reviewer.post(f"{at}/review", json={"content": found["content_sha256"]})
        assert stale.status_code == 409
        assert reviewer.post(f"{at}/review", json={"content": amended.json()["content_sha256"]}).status_code == 200
        assert keeper.post(f"{at}/seal").status_code == 409
        assert signer.post(f"{at}/sign-off", json={"note": "同意"}).json()["status"] == "signed-off"
        assert handler.post(f"{at}/seal").status_code == 403
        sealed = keeper.post(f"{at}/seal")
        assert sealed.json()["status"] == "sealed", sealed.text
        data = handler.get(f"{at}/documents/1", params={"sealed": True}).content
        assert data.startswith(APPROVAL)
        assert handler.get(f"{at}/documents/1").content == APPROVAL
        done = handler.post(f"{at}/deliver", data={"recipient": "王某", "receipt": "窗口领取"}, files={"receipt_file": b"scan"})
        assert done.json()["status"] == "delivered", done.text
        told = anyone.get(f"/api/v1/tracking/{found['track_code']}")
        assert told.json()["words_zh"] == "已送达。"
        assert not {"王某", "云江市某某有限公司", "handler"} & set(told.text.split('"'))
        assert anyone.get("/api/v1/tracking/00000000000000000000").status_code == 404
        use = signer.get("/api/v1/register", params={"seal": seal["id"], "q": "云江审批〔2026〕8号"}).json()["items"]
        assert [(one["application"], one["applicant"], one["copies"]) for one in use] == [(found["id"], form["applicant"], 3)]
        table = signer.get("/api/v1/register.csv", params={"q": "某某有限公司"})
        assert table.content.startswith("\ufeff用印时间".encode())
        assert len(table.text.splitlines()) == 2


def test_what_cannot_be_an_application_is_refused_with_a_sentence(service: Service) -> None:
    seal = service.seal()
    good = {
        "purpose": "use-seal",
        "department": seal["owner_uscc"],
        "seal": seal["id"],
        "page": "1",
        "x_mm": "100",
        "y_mm": "200",
    }
    with service.client("handler") as handler, service.client() as nobody:
        for change, files, status in (
            ({"copies": "many"}, {"file": APPROVAL}, 422),
            ({"facts": "{"}, {"file": APPROVAL}, 400),
            ({"places": "[]"}, {"file": APPROVAL}, 400),
            ({"page": "99"}, {"file": APPROVAL}, 400),
            ({"seal": "seal_none"}, {"file": APPROVAL}, 404),
            ({"department": "11310000MB2F30017A"}, {"file": APPROVAL}, 403),
            ({}, {"file": b"no PDF"}, 400),
            ({"page": "", "x_mm": "", "y_mm": "", "keyword": "没有这几个字"}, {"file": APPROVAL}, 400),
        ):
            answer = handler.post("/api/v1/applications", data=good | change, files=files)
            assert answer.status_code == status, (change, answer.text)
            assert answer.json()["message_zh"]
        assert handler.post("/api/v1/applications", content=b"<x/>", headers={"Content-Type": "text/xml"}).status_code == 415
        assert handler.post("/api/v1/applications", json={"purpose": "use-seal", "extra": 1}).status_code == 422
        assert nobody.post("/api/v1/applications", data=good, files={"file": APPROVAL}).status_code == 401
        assert handler.get("/api/v1/matters").json()["items"][1]["name_zh"] == "行政审批批复"
