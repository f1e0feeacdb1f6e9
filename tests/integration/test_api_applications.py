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
