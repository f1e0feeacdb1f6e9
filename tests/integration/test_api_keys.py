"""Keys over HTTP and on the officers' pages: seen by whom it concerns, rotated step by step with approvals, stopped at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import unescape
from typing import Any

import httpx
import pytest

from ceremonies.sample import APPROVER
from tests.node_home import Service, founded_home, serving
from tests.officers import Officer, officer


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home("ceremonies")) as running:
        running.node.rotation.drain = timedelta(0)
        yield running


@pytest.fixture(scope="module")
def officers(service: Service) -> list[Officer]:
    node = service.node
    return [officer(node.accounts, node.approvals, name, node.actor(None)) for name in ("officer", "officer2", "officer3")]


@pytest.fixture(scope="module")
def role(service: Service) -> str:
    seal = service.seal()["id"]
    roles = service.node.rotation.book.roles(service.node.actor(None))
    return next(str(r["id"]) for r in roles if r["seal"] and r["seal"]["id"] == seal and r["suite"] == "p256")


def approved(service: Service, officers: list[Officer], approval: dict[str, Any]) -> str:
    for one in officers[1:]:
        one.approve(service.node.approvals, approval["id"])
    return str(approval["id"])


def test_a_rotation_over_http_from_the_plan_to_the_end_of_the_old_key(
    service: Service, officers: list[Officer], role: str
) -> None:
    with service.client("officer") as client:
        plan = client.get(f"/api/v1/keys/{role}/plan").json()
        assert plan["label_zh"] == f"印章：{APPROVER}（P-256）"
        assert client.post(f"/api/v1/keys/{role}/stage", json={}).json()["code"] == "approval-needed"

        def take(step: str, target: str) -> dict[str, Any]:
            asked = client.post("/api/v1/keys/ask", json={"step": step, "target": target})
            assert asked.status_code == 201, asked.text
            body = {"approval": approved(service, officers, asked.json())}
            path = f"{role}/stage" if step == "stage" else f"generations/{target}/{step}"
            taken = client.post(f"/api/v1/keys/{path}", json=body)
            assert taken.status_code in (200, 201), taken.text
            return dict(taken.json())

        old = client.get(f"/api/v1/keys/{role}").json()["active"]
        new = take("stage", role)["id"]
        out_of_order = client.post(f"/api/v1/keys/generations/{new}/activate", json={})
        assert (out_of_order.status_code, out_of_order.json()["code"]) == (409, "rotation-step")
        assert client.post(f"/api/v1/keys/generations/{new}/prove", json={}).status_code == 200
        request = client.get(f"/api/v1/keys/generations/{new}/request")
        assert request.text.startswith("-----BEGIN CERTIFICATE REQUEST-----")
        for step in ("certify", "file", "activate"):
            take(step, new)
        for step in ("retire", "destroy"):
            take(step, old)
        shown = client.get(f"/api/v1/keys/{role}").json()
        assert shown["active"] == new
        assert [(g["number"], g["status"]) for g in shown["generations"]] == [(2, "active"), (1, "destroyed")]


def test_the_list_of_keys_pages_and_what_runs_out_is_there(service: Service) -> None:
    with service.client("auditor") as client:
        first = client.get("/api/v1/keys", params={"limit": 3}).json()
        second = client.get("/api/v1/keys", params={"limit": 1000, "cursor": first["next"]}).json()
        everything = client.get("/api/v1/keys", params={"limit": 1000}).json()
        assert first["items"] + second["items"] == everything["items"]
        assert second["next"] is None
        assert client.get("/api/v1/keys/due", params={"days": 400}).json()["items"]


@pytest.mark.parametrize("account", ["handler", "keeper", "clerk", None])
def test_whoever_holds_no_keys_sees_and_does_nothing_here(service: Service, role: str, account: str | None) -> None:
    node = service.node
    key = node.keys.active(role).id
    attempts = [
        ("GET", "/api/v1/keys", None),
        ("GET", f"/api/v1/keys/{role}", None),
        ("GET", "/api/v1/keys/due", None),
        ("GET", "/api/v1/keys/ceremonies", None),
        ("POST", f"/api/v1/keys/{role}/stage", {}),
        ("POST", f"/api/v1/keys/generations/{key}/retire", {"now": True}),
        ("POST", f"/api/v1/keys/generations/{key}/compromise", {"reason": "x"}),
        ("POST", "/api/v1/keys/drills", {"suite": "p256"}),
        ("POST", "/api/v1/keys/ask", {"step": "stage", "target": role}),
    ]
    with service.client(account) as client:
        for method, path, body in attempts:
            answer = client.request(method, path, json=body)
            assert answer.status_code in (401, 403), (path, answer.text)
    assert node.keys.generation(key).state == "active"


def test_unknown_keys_and_steps_are_answered_as_such(service: Service) -> None:
    with service.client("officer") as client:
        assert client.get("/api/v1/keys/role_none").status_code == 404
        assert client.post("/api/v1/keys/generations/key_none/prove", json={}).status_code == 404
        assert client.post("/api/v1/keys/generations/key_none/fly", json={}).status_code == 422
        assert client.get("/api/v1/keys/ceremonies/ceremony_none").status_code == 404
        assert client.post("/api/v1/keys/ask", json={"step": "certify", "target": "key_none"}).status_code == 404


# -- pages --------------------------------------------------------------------------------------------------------------------


@contextmanager
def signed_in(service: Service, account: str) -> Iterator[httpx.Client]:
    """A browser without JavaScript, signed in."""
    password = json.loads((service.node.home / "secrets" / "demo-accounts.json").read_text("utf-8"))[account]
    with httpx.Client(base_url=service.url, timeout=120, follow_redirects=True) as client:
        form = fields(client.get("/signin").text)
        answer = client.post("/signin", data={**form, "name": account, "password": password})
        assert answer.status_code == 200, answer.text
        yield client


def fields(html: str) -> dict[str, str]:
    """Hidden fields of the page's forms; of several under one name the last."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', html)
    return {name: unescape(value) for name, value in found}


def test_an_officer_without_javascript_rotates_a_key_with_two_others(service: Service, officers: list[Officer]) -> None:
    seal = service.registrar()["id"]
    roles = service.node.rotation.book.roles(service.node.actor(None))
    role = next(str(r["id"]) for r in roles if r["seal"] and r["seal"]["id"] == seal and r["suite"] == "rsa")
    address = f"/officer/keys/{role}"
    with signed_in(service, "officer") as browser:
        assert "请密钥管理员批准" in browser.get(address).text
        for expected in ("stage", "prove", "certify", "file", "activate", "retire", "destroy"):
            page = browser.get(address).text
            form = fields(page[page.index("<main") :])
            assert form["step"] == expected
            if expected != "prove":
                asked = browser.post(f"{address}/ask", data=form)
                approval = asked.url.path.rpartition("/")[2]
                page = browser.get(address).text
                assert "等待批准：0 / 2" in page
                approved(service, officers, {"id": approval})
                page = browser.get(address).text
                form = fields(page[page.index("<main") :])
                assert form["approval"] == approval
            taken = browser.post(f"{address}/step", data=form)
            assert "已完成：" in taken.text, taken.text
        assert service.node.keys.active(role).number == 2


def test_a_step_from_another_site_is_refused(service: Service, role: str) -> None:
    with signed_in(service, "officer") as browser:
        answer = browser.post(f"/officer/keys/{role}/step", data={"step": "stage", "csrf": "guess"})
        assert answer.status_code == 403
    assert all(g.state != "staged" for g in service.node.keys.generations(role))


def test_an_officer_declares_a_key_compromised_and_takes_the_list_home(service: Service) -> None:
    seal = service.registrar()["id"]
    roles = service.node.rotation.book.roles(service.node.actor(None))
    role = next(str(r["id"]) for r in roles if r["seal"] and r["seal"]["id"] == seal and r["suite"] == "sm2")
    key = service.node.keys.active(role).id
    with signed_in(service, "officer") as browser:
        form = fields(browser.get(f"/officer/compromise/{key}").text)
        again = browser.post(f"/officer/compromise/{key}", data={**form, "reason": "x", "since": "yesterday"})
        assert again.status_code == 400
        report = browser.post(f"/officer/compromise/{key}", data={**form, "reason": "信封被拆", "since": ""})
        assert "已采取的措施" in report.text
        assert browser.get(f"{report.url.path}.csv").text.startswith("\ufeffkind,")
        overview = browser.get("/officer").text
        assert "没有启用的密钥" in overview
    assert service.node.keys.generation(key).state == "retired"


def test_people_without_keys_do_not_open_the_officers_pages(service: Service, role: str) -> None:
    with signed_in(service, "handler") as browser:
        for path in ("/officer", f"/officer/keys/{role}", f"/officer/compromise/{service.node.keys.active(role).id}"):
            assert browser.get(path).status_code == 403, path
