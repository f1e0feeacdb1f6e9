"""People over HTTP and at the command line: accounts, departments, delegations, hand-overs, tokens for a system's key."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from joserfc import jwk, jwt

from cli.main import main
from tests.node_home import Service, founded_home, serving

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home()) as running:
        running.node.accounts._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        yield running


def xinyin(service: Service, *words: str, status: int = 0) -> Any:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        found = main(["--home", str(service.node.home), "--json", *words])
    assert found == status, out.getvalue() + err.getvalue()
    return json.loads(out.getvalue())


def soon(**span: float) -> str:
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


def test_an_administrator_keeps_accounts_and_departments_over_http(service: Service) -> None:
    with service.client("admin") as admin:
        bureau = admin.post("/api/v1/departments", json={"name": "云江市统计局", "parent": "云江市人民政府"}).json()
        made = admin.post(
            "/api/v1/accounts",
            json={
                "name": "http.one",
                "display_name": "样本 一",
                "roles": ["handler"],
                "department": "云江市统计局",
                "password": PASSWORD,
            },
        )
        assert made.status_code == 201, made.text
        account = made.json()
        assert (account["department"], account["status"], account["roles"]) == (bureau["id"], "active", ["handler"])
        changed = admin.patch(
            f"/api/v1/accounts/{account['id']}", json={"roles": ["reviewer"], "display_name": "样本 壹"}
        ).json()
        assert (changed["roles"], changed["display_name"], changed["department"]) == (["reviewer"], "样本 壹", bureau["id"])
        assert admin.patch("/api/v1/accounts/http.one", json={"status": "disabled"}).json()["status"] == "disabled"
        found = admin.get("/api/v1/accounts", params={"department": "云江市统计局", "status": "disabled"}).json()
        assert [one["name"] for one in found["items"]] == ["http.one"]
        again = admin.post("/api/v1/accounts", json={"name": "http.one"})
        assert (again.status_code, again.json()["code"]) == (409, "name-taken")
        assert admin.patch("/api/v1/accounts/http.one", json={"roles": ["officer", "auditor"]}).status_code == 409
        renamed = admin.patch(f"/api/v1/departments/{bureau['id']}", json={"name": "云江市统计信息局"}).json()
        assert renamed["name"] == "云江市统计信息局"
        first = admin.get("/api/v1/accounts", params={"limit": 2}).json()
        second = admin.get("/api/v1/accounts", params={"limit": 2, "cursor": first["next"]}).json()
        assert not {one["id"] for one in first["items"]} & {one["id"] for one in second["items"]}


def test_people_know_of_themselves_and_not_of_others(service: Service) -> None:
    with service.client("handler") as handler:
        mine = handler.get("/api/v1/accounts/me").json()
        assert handler.get(f"/api/v1/accounts/{mine['id']}").status_code == 200
        assert handler.get("/api/v1/accounts").status_code == 403
        signer = service.node.accounts.get("signer").id
        for method, path, body in (
            ("GET", f"/api/v1/accounts/{signer}", None),
            ("PATCH", f"/api/v1/accounts/{signer}", {"roles": ["handler"]}),
            ("POST", f"/api/v1/accounts/{signer}/hand-over", {"to_account": "handler"}),
            ("GET", "/api/v1/accounts/nobody", None),
        ):
            answer = handler.request(method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (404, "no-such-account"), (method, path)
        assert handler.patch(f"/api/v1/accounts/{mine['id']}", json={"roles": ["signer_off"]}).status_code == 403
        assert handler.post("/api/v1/departments", json={"name": "x"}).status_code == 403


def test_a_delegation_over_http_is_seen_by_both_and_by_nobody_else(service: Service) -> None:
    accounts = service.node.accounts
    city = service.node.department("云江市人民政府")
    accounts.create("http.chief", None, roles={"signer_off"}, department=city, display_name="样本 长")
    with service.client("http.chief") as chief, service.client("keeper") as keeper, service.client("clerk") as clerk:
        body = {"to_account": "keeper", "roles": ["signer_off"], "until": soon(days=2), "matters": ["approval-reply"]}
        made = chief.post("/api/v1/delegations", json=body)
        assert made.status_code == 201, made.text
        one = made.json()
        assert one["status"] == "active"
        assert [d["id"] for d in keeper.get("/api/v1/delegations").json()["items"]] == [one["id"]]
        assert keeper.get("/api/v1/accounts/me").json()["stands_in"][0]["delegation"] == one["id"]
        assert clerk.get("/api/v1/delegations").json()["items"] == []
        for path in ("", "/withdraw"):
            answer = clerk.request("POST" if path else "GET", f"/api/v1/delegations/{one['id']}{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "no-such-delegation")
        for_another = {**body, "from_account": service.node.accounts.get("signer").id}
        assert clerk.post("/api/v1/delegations", json=for_another).status_code == 404
        stranger = {**body, "to_account": "nobody.here"}
        assert chief.post("/api/v1/delegations", json=stranger).status_code == 404
        assert keeper.post(f"/api/v1/delegations/{one['id']}/withdraw").json()["status"] == "withdrawn", "given back"
        assert keeper.get("/api/v1/accounts/me").json()["stands_in"] == []


def test_a_system_gets_its_token_over_http_and_calls_with_it(service: Service) -> None:
    key = jwk.generate_key("EC", "P-256")
    made = service.node.accounts.create("http.system", None, roles={"handler"}, kind="system")
    service.node.accounts.clients.add(made.id, json.dumps(key.as_dict(private=False)), name="x", actor="admin")
    with service.client() as anyone:
        described = anyone.get("/.well-known/oauth-authorization-server").json()
        assert described["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
        now = int(time.time())
        claims = {"iss": "http.system", "sub": "http.system", "aud": described["issuer"], "exp": now + 60, "jti": str(now)}
        signed = jwt.encode({"alg": "ES256", "kid": key.thumbprint()}, claims, key)
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": signed,
        }
        answer = anyone.post("/oauth/token", data=form)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert anyone.get("/api/v1/accounts/me", headers=bearer).json()["name"] == "http.system"
        assert anyone.post("/oauth/token", data=form).json()["error"] == "invalid_client"
        assert anyone.post("/oauth/token").status_code == 400


def test_the_administrator_s_commands(service: Service) -> None:
    department = xinyin(service, "department", "create", "云江市审计局", "--parent", "云江市人民政府")
    assert department["name"] in [one["name"] for one in xinyin(service, "department", "list")["items"]]
    made = xinyin(service, "account", "create", "cli.head", "--role", "signer_off", "--department", "云江市审计局")
    xinyin(service, "account", "create", "cli.deputy", "--role", "handler", "--department", "云江市审计局")
    until = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
    one = xinyin(
        service, "delegation", "grant", "--from", "cli.head", "--to", "cli.deputy", "--role", "signer_off", "--until", until
    )
    assert one["status"] == "active"
    assert xinyin(service, "account", "show", "cli.deputy")["stands_in_for"] == [made["id"]]
    assert one["id"] in [d["id"] for d in xinyin(service, "delegation", "list", "--account", "cli.head")["items"]]
    assert xinyin(service, "delegation", "withdraw", one["id"])["status"] == "withdrawn"
    done = xinyin(service, "account", "hand-over", "cli.head", "--to", "cli.deputy", "--leaves", "--reason", "退休")
    assert done["roles"] == ["signer_off"]
    assert xinyin(service, "account", "show", "cli.head")["status"] == "disabled"
    assert sorted(xinyin(service, "account", "show", "cli.deputy")["roles"]) == ["handler", "signer_off"]
    assert xinyin(service, "account", "change", "cli.deputy", "--role", "reviewer")["roles"] == ["reviewer"]
    assert (
        xinyin(service, "account", "bind", "cli.deputy", "--issuer", "https://sso.example", "--subject", "7")["status"]
        == "bound"
    )
    refused = xinyin(service, "--as", "handler", "account", "disable", "cli.deputy", status=1)
    assert refused["error"]["code"] == "not-allowed"


def test_what_the_database_cannot_keep_is_bad_input_and_no_failure() -> None:
    """PostgreSQL refuses NUL and what is too long for its column; SQLite takes both."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from sqlalchemy.exc import DataError

    from api import problems

    app = FastAPI()
    problems.install(app, lambda request, found: problems.respond(found))

    @app.get("/")
    def route() -> None:
        raise DataError("insert", {}, Exception("value too long"))

    answer = TestClient(app).get("/")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-input")
    assert "too long" not in answer.json().get("values", {})
