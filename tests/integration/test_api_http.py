"""The HTTP interface against a running service on real tokens."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from api import schemas
from api.limits import RateLimit
from api.routes.keys import KeyRoleOut
from tests.node_home import EXAMPLES, Service, founded_home, serving

APPROVAL = (EXAMPLES / "approval.pdf").read_bytes()
LICENCE = json.loads((EXAMPLES / "licence.json").read_text("utf-8"))
PLACE = {"page": "2", "x_mm": "137", "y_mm": "175"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home()) as running:
        yield running


def apply(client: httpx.Client, seal: str, key: str | None = None, data: bytes = APPROVAL, **more: str) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    form = {"seal": seal, **PLACE, **more}
    return client.post("/api/v1/impressions", files={"file": ("approval.pdf", data)}, data=form, headers=headers)


def verify(client: httpx.Client, data: bytes, name: str = "document.pdf") -> dict[str, Any]:
    answer = client.post("/api/v1/verifications", files={"file": (name, data)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_what_is_sealed_over_http_is_verified_by_anyone(service: Service) -> None:
    seal = service.seal()
    with service.client("keeper") as keeper, service.client() as anyone:
        made = apply(keeper, seal["id"], level="LT")
        assert made.status_code == 201, made.text
        sealed = keeper.get(made.json()["document_url"])
        assert sealed.headers["content-type"] == "application/pdf"
        assert sealed.content.startswith(APPROVAL), "the original stays byte for byte"
        verdict = verify(anyone, sealed.content)
        assert (verdict["verdict"], verdict["answer"]["decision"]) == ("TOTAL-PASSED", "accept"), verdict["reasons"]
        changed = bytearray(sealed.content)
        changed[len(APPROVAL) // 2] ^= 1
        assert verify(anyone, bytes(changed))["answer"]["decision"] != "accept"
        assert verify(anyone, APPROVAL)["verdict"] == "NO-SIGNATURE"
        assert verify(anyone, b"no document")["verdict"] == "UNREADABLE"


@pytest.mark.parametrize("more", [{"keyword": "云江市"}, {"straddle": "right"}])
def test_two_places_for_one_seal_are_refused(service: Service, more: dict[str, str]) -> None:
    seal = service.seal()
    with service.client("keeper") as keeper:
        refused = apply(keeper, seal["id"], **more)
        assert (refused.status_code, refused.json()["code"]) == (400, "bad-input")


def test_a_voided_document_is_no_longer_accepted(service: Service) -> None:
    with service.client("keeper") as keeper, service.client() as anyone:
        made = apply(keeper, service.seal()["id"]).json()
        sealed = keeper.get(made["document_url"]).content
        done = keeper.post(f"/api/v1/impressions/{made['id']}/void", json={"reason": "typing error"})
        assert done.json()["status"] == "voided"
        assert verify(anyone, sealed)["answer"]["decision"] != "accept"


def test_a_licence_is_issued_verified_withdrawn_and_refused(service: Service) -> None:
    service.registrar()
    with service.client("clerk") as clerk, service.client() as anyone:
        made = clerk.post("/api/v1/licences", json={"type": "business-licence", "data": LICENCE})
        assert made.status_code == 201, made.text
        licence = made.json()
        document = clerk.get(licence["document_url"]).content
        assert verify(anyone, document)["answer"]["decision"] == "accept"
        ended = clerk.post(f"/api/v1/licences/{licence['id']}/revoke", json={"kind": "撤销", "basis": "测试"})
        assert ended.status_code == 200, ended.text
        verdict = verify(anyone, document)
        assert (verdict["verdict"], verdict["answer"]["decision"]) == ("TOTAL-PASSED", "refuse")
        wrong = clerk.post("/api/v1/licences", json={"type": "business-licence", "data": {**LICENCE, "uscc": "?"}})
        assert wrong.status_code == 422
        assert wrong.json()["values"]["problems"], "every problem is named"


CHANGING = [
    ("POST", "/api/v1/seals", {"json": {"owner_name": "x", "owner_uscc": "1" * 18}}),
    ("POST", "/api/v1/seals/any/suspend", {"json": {"reason": "x"}}),
    ("POST", "/api/v1/seals/any/resume", {"json": {"reason": "x"}}),
    ("POST", "/api/v1/seals/any/revoke", {"json": {"reason": "x"}}),
    ("POST", "/api/v1/impressions", {"files": {"file": b"x"}, "data": {"seal": "any"}}),
    ("POST", "/api/v1/impressions/any/void", {"json": {"reason": "x"}}),
    ("POST", "/api/v1/applications", {"json": {"purpose": "use-seal", "seal": "any"}}),
    ("POST", "/api/v1/applications/any/amend", {"json": {"copies": 2}}),
    ("POST", "/api/v1/applications/any/review", {}),
    ("POST", "/api/v1/applications/any/countersign", {}),
    ("POST", "/api/v1/applications/any/sign-off", {}),
    ("POST", "/api/v1/applications/any/return", {"json": {"reason": "x"}}),
    ("POST", "/api/v1/applications/any/refuse", {"json": {"reason": "x"}}),
    ("POST", "/api/v1/applications/any/withdraw", {}),
    ("POST", "/api/v1/applications/any/seal", {}),
    ("POST", "/api/v1/applications/any/deliver", {"data": {"recipient": "x"}}),
    ("POST", "/api/v1/licences", {"json": {"type": "business-licence", "data": LICENCE}}),
    ("POST", "/api/v1/licences/any/change", {"json": {"data": LICENCE}}),
    ("POST", "/api/v1/licences/any/suspend", {"json": {"basis": "x"}}),
    ("POST", "/api/v1/licences/any/resume", {"json": {"basis": "x"}}),
    ("POST", "/api/v1/licences/any/revoke", {"json": {"kind": "撤销", "basis": "x"}}),
    ("POST", "/api/v1/accounts", {"json": {}}),
    ("PATCH", "/api/v1/accounts/any", {"json": {}}),
    ("POST", "/api/v1/accounts/any/hand-over", {"json": {}}),
    ("POST", "/api/v1/departments", {"json": {}}),
    ("PATCH", "/api/v1/departments/any", {"json": {}}),
    ("POST", "/api/v1/delegations", {"json": {}}),
    ("POST", "/api/v1/delegations/any/withdraw", {}),
    ("POST", "/api/v1/approvals", {"json": {}}),
    ("POST", "/api/v1/approvals/any/assertion-options", {}),
    ("POST", "/api/v1/approvals/any/refuse", {"json": {"reason": "x"}}),
    ("POST", "/api/v1/approvals/any/signatures", {"json": {}}),
    ("POST", "/api/v1/approvals/any/withdraw", {}),
    ("POST", "/api/v1/officer-keys", {"json": {}}),
    ("POST", "/api/v1/officer-keys/any/confirm", {"json": {}}),
    ("POST", "/api/v1/officer-keys/any/remove", {"json": {}}),
    ("POST", "/api/v1/officer-keys/challenge", {"json": {}}),
    ("POST", "/api/v1/keys/ask", {"json": {"step": "stage", "target": "any"}}),
    ("POST", "/api/v1/keys/drills", {"json": {}}),
    ("POST", "/api/v1/keys/any/stage", {"json": {}}),
    ("POST", "/api/v1/keys/generations/any/any", {"json": {}}),
    ("POST", "/api/v1/keys/generations/any/compromise", {"json": {"reason": "x"}}),
    ("POST", "/api/v1/audit/checks", {}),
    ("POST", "/api/v1/audit/traces", {"files": {"file": b"x"}}),
    ("POST", "/api/v1/subscriptions", {"json": {"url": "https://oa.example/"}}),
    ("POST", "/api/v1/subscriptions/any/end", {}),
    ("POST", "/api/v1/subscriptions/any/test", {}),
    ("POST", "/api/v1/subscriptions/any/deliveries/any/retry", {}),
]
READING = [
    ("GET", path, {})
    for path in (
        "/api/v1/seals",
        "/api/v1/seals/any",
        "/api/v1/impressions",
        "/api/v1/impressions/any",
        "/api/v1/impressions/any/document",
        "/api/v1/applications",
        "/api/v1/applications/any",
        "/api/v1/applications/any/documents/any",
        "/api/v1/matters",
        "/api/v1/register",
        "/api/v1/register.csv",
        "/api/v1/licences",
        "/api/v1/licences/any",
        "/api/v1/licences/any/document",
        "/api/v1/accounts",
        "/api/v1/accounts/any",
        "/api/v1/accounts/me",
        "/api/v1/departments",
        "/api/v1/delegations",
        "/api/v1/delegations/any",
        "/api/v1/approvals",
        "/api/v1/approvals/any",
        "/api/v1/approvals/any/document",
        "/api/v1/officer-keys",
        "/api/v1/keys",
        "/api/v1/keys/any",
        "/api/v1/keys/any/plan",
        "/api/v1/keys/ceremonies",
        "/api/v1/keys/ceremonies/any",
        "/api/v1/keys/ceremonies/any/in-doubt.csv",
        "/api/v1/keys/due",
        "/api/v1/keys/generations/any/request",
        "/api/v1/audit",
        "/api/v1/audit/state",
        "/api/v1/audit/any",
        "/api/v1/audit/any/proof",
        "/api/v1/audit/checkpoint",
        "/api/v1/audit/keys",
        "/api/v1/audit/consistency",
        "/api/v1/audit/checks",
        "/api/v1/audit/traces",
        "/api/v1/audit-export",
        "/api/v1/trust-lists",
        "/api/v1/subscriptions",
        "/api/v1/subscriptions/any",
        "/api/v1/subscriptions/any/deliveries",
        "/api/v1/events",
        "/api/v1/events/any",
    )
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGING + READING)
def test_nobody_in_particular_may_not(service: Service, method: str, path: str, body: dict[str, Any]) -> None:
    with service.client() as anyone:
        answer = anyone.request(method, path, **body)
        assert answer.status_code == 401, answer.text
        assert answer.headers["www-authenticate"].startswith("Bearer")
        forged = anyone.request(method, path, headers={"Authorization": "Bearer xinyin_guess"}, **body)
        assert forged.status_code == 401


OPEN_TO_ALL = {
    "/api/v1/verifications",
    "/api/v1/verifications/scan",
    "/api/v1/licence-types",
    "/api/v1/tracking/{code}",
    "/api/v1/check-codes/{code}",
    "/api/v1/peer-messages",
    "/api/v1/receipts/check",
    "/api/v1/slips/{slip}",
}
"""What needs no account: verifying, what is public or has a code nobody guesses, and messages that their signature proves."""


def test_nobody_in_particular_may_do_any_other_operation_of_the_document(service: Service) -> None:
    with service.client() as anyone:
        described = anyone.get("/api/openapi.json").json()["paths"]
        operations = {
            (method.upper(), re.sub(r"\{\w+\}", "any", path))
            for path, methods in described.items()
            for method in methods
            if path.startswith("/api/v1/") and path not in OPEN_TO_ALL
        }
        above = {(method, path) for method, path, _ in CHANGING + READING}
        assert above <= operations, "an operation was renamed"
        answers = {(method, path): anyone.request(method, path).status_code for method, path in operations - above}
    assert {one for one, status in answers.items() if status != 401} == set()
    assert any(path.startswith("/api/v1/wallet/") for _, path in answers)


def test_roles_do_only_what_their_rules_allow(service: Service) -> None:
    seal = service.seal()["id"]
    for account in ("auditor", "officer", "reviewer", "clerk", "admin"):
        with service.client(account) as other:
            refused = apply(other, seal)
            assert refused.status_code == 403, account
            assert refused.json()["code"] == "not-allowed"
            assert "message_zh" in refused.json()
    with service.client("keeper") as keeper, service.client("auditor") as auditor, service.client("officer") as officer:
        assert keeper.get("/api/v1/audit").status_code == 403
        assert auditor.get("/api/v1/audit").json()["items"]
        assert officer.get("/api/v1/keys").json()["items"][0]["generations"]
        licence = {"type": "business-licence", "data": LICENCE}
        assert keeper.post("/api/v1/licences", json=licence).status_code == 403


def test_every_kind_of_failure_is_a_problem_document(service: Service) -> None:
    with service.client("keeper") as client:
        cases = {
            404: client.get("/api/v1/nothing-here"),
            405: client.delete("/api/v1/verifications"),
            400: client.post("/api/v1/verifications"),
            422: client.get("/api/v1/seals", params={"limit": "many"}),
            401: httpx.get(f"{service.url}/api/v1/seals"),
            403: client.get("/api/v1/keys"),
        }
        missing = client.get("/api/v1/impressions/impression_none")
    assert (missing.status_code, missing.json()["code"]) == (404, "no-such-impression")
    for status, answer in cases.items():
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        body = answer.json()
        assert body["status"] == status
        assert body["type"] == f"urn:xinyin:error:{body['code']}"
        assert body["title"]
        assert body["message"]
        assert body["message_zh"]
    assert cases[405].headers["allow"] == "POST"


def test_an_internal_error_gives_a_number_and_no_detail(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(service.node.seals, "list", broken)
    with service.client("keeper") as client:
        answer = client.get("/api/v1/seals")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert re.fullmatch(r"[0-9a-f]{8}", answer.json()["values"]["report"])
    assert "secret detail" not in answer.text


def test_the_same_key_gives_the_same_result_and_another_body_is_refused(service: Service) -> None:
    seal = service.seal()["id"]
    with service.client("keeper") as keeper, service.client("handler") as handler:
        first, second = apply(keeper, seal, "same-1"), apply(keeper, seal, "same-1")
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json() == second.json()
        other = apply(keeper, seal, "same-1", x_mm="100")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")
        theirs = apply(handler, seal, "same-1")
        assert theirs.status_code == 201
        assert theirs.json()["id"] != first.json()["id"], "keys count per account"


def test_two_requests_at_once_with_one_key_are_one_use_of_the_seal(service: Service) -> None:
    seal = service.seal()["id"]

    def ask(_: int) -> httpx.Response:
        with service.client("keeper") as keeper:
            return apply(keeper, seal, "at-once", level="LTA")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert {a.status_code for a in answers} <= {201, 409}, [a.text for a in answers]
    with service.client("keeper") as keeper:
        final = apply(keeper, seal, "at-once", level="LTA").json()
        ids = {a.json()["id"] for a in answers if a.status_code == 201} | {final["id"]}
        assert len(ids) == 1
        leaves = service.node.audit.history(final["id"])
    assert [leaf.kind for leaf in leaves] == ["seal.applied"]


def test_lists_are_paged_by_cursor_without_gap_or_repetition(service: Service) -> None:
    seal = service.seal()["id"]
    with service.client("keeper") as keeper:
        for n in range(3):
            apply(keeper, seal, f"paged-{n}")
        whole = [i["id"] for i in keeper.get("/api/v1/impressions", params={"limit": 1000}).json()["items"]]
        paged: list[str] = []
        cursor: str | None = None
        while True:
            page = keeper.get("/api/v1/impressions", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
            paged += [i["id"] for i in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
    assert paged == whole
    assert len(set(paged)) == len(paged) >= 3


def test_a_body_over_the_limit_is_refused_while_it_arrives(service: Service) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 1 << 16
            yield b"x" * (1 << 16)

    with service.client() as anyone:
        try:
            answer = anyone.post("/ocsp", content=endless())
        except httpx.TransportError:
            answer = None  # the server hung up on the sender: refused as well
        declared = anyone.post("/tsa", content=b"x" * 100_000)
    assert answer is None or answer.status_code == 413
    assert sent < 64 << 20, "the server did not wait for the whole body"
    assert declared.status_code == 413
    assert declared.json()["code"] == "too-large"


def test_every_answer_carries_the_security_headers(service: Service) -> None:
    with service.client() as anyone:
        for path in ("/", "/api/v1/seals", "/nothing", "/static/xinyin.css", "/trust/list.jws"):
            headers = anyone.get(path, headers={"Accept": "text/html"}).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"


def sign_in(service: Service, name: str = "keeper") -> httpx.Client:
    from people.demo import demo_passwords

    client = service.client()
    page = client.get("/signin")
    token = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert token
    password = demo_passwords(service.node.home / "secrets")[name]
    done = client.post("/signin", data={"name": name, "password": password, "csrf": token[1]})
    assert done.status_code == 303, done.text
    return client


def test_a_browser_cannot_be_made_to_act_by_another_page(service: Service) -> None:
    seal = service.seal()["id"]
    with closing(sign_in(service)) as browser:
        assert browser.cookies.get("xinyin_session")
        files = {"file": ("a.pdf", APPROVAL)}
        assert browser.post("/desk/new", files=files).status_code == 403
        assert browser.post("/desk/new", data={"csrf": "0" * 64}, files=files).status_code == 403
        assert apply(browser, seal).status_code == 403, "a cookie alone changes nothing through the API"
        assert browser.get("/api/v1/seals").status_code == 200
        desk = browser.get("/desk").text
        csrf = re.search(r'name="csrf" value="([^"]+)"', desk)
        assert csrf
        kept = browser.post("/desk/new", data={"csrf": csrf[1]}, files=files)
        assert kept.status_code == 303, kept.text
        assert browser.post("/signout", data={"csrf": "wrong"}).status_code == 403
        old = browser.cookies.get("xinyin_session")
        assert browser.post("/signout", data={"csrf": csrf[1]}).status_code == 303
        again = httpx.get(f"{service.url}/desk", cookies={"xinyin_session": str(old)}, headers={"Accept": "text/html"})
        assert again.headers["location"].startswith("/signin"), "ended for good"


def test_signing_in_gives_a_new_cookie_that_scripts_and_other_sites_do_not_get(service: Service) -> None:
    with service.client() as client:
        client.cookies.set("xinyin_session", "planted", domain="127.0.0.1")
        page = client.get("/signin")
        assert client.post("/signin", data={"name": "keeper", "password": "x", "csrf": "none"}).status_code == 403
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert csrf
        wrong = client.post("/signin", data={"name": "keeper", "password": "wrong", "csrf": csrf[1]})
        assert wrong.status_code == 401
        assert "用户名或密码错误" in wrong.text
    with closing(sign_in(service, "handler")) as browser:
        cookie = next(c for c in browser.cookies.jar if c.name == "xinyin_session")
        assert cookie.value != "planted"
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert cookie.get_nonstandard_attr("SameSite") == "strict"


def test_the_pages_work_without_javascript_in_both_languages(service: Service) -> None:
    with service.client() as browser:
        browser.follow_redirects = True
        first = browser.get("/", headers={"Accept": "text/html"})
        assert 'lang="zh-CN"' in first.text
        result = browser.post("/verify", files={"file": ("a.pdf", APPROVAL)}, headers={"Accept": "text/html"})
        assert "需要核实" in result.text
        english = browser.get(str(result.url.path), headers={"Cookie": "xinyin_lang=en"})
        assert "Check further" in english.text
        assert browser.get("/lang/en?back=https://evil.example/").url.path == "/"
        nothing = browser.post("/verify", files={"file": ("", b"")}, headers={"Accept": "text/html"})
        assert nothing.status_code in (400, 422)
        gone = browser.get("/verify/never-kept", headers={"Accept": "text/html"})
        assert gone.status_code == 404
        assert "<main" in gone.text


def test_a_link_in_a_language_leads_to_pages_in_that_language(service: Service) -> None:
    with service.client() as browser:
        browser.follow_redirects = True
        assert "Verify a document" in browser.get("/?lang=en").text
        result = browser.post("/verify", files={"file": ("a.pdf", APPROVAL)}, headers={"Accept": "text/html"})
        assert "Check further" in result.text
        assert "需要核实" not in result.text


def test_samples_are_offered_where_the_demo_left_them_and_never_in_production(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = service.node.home / "demo"
    with service.client() as browser:
        browser.follow_redirects = True
        assert "/try/" not in browser.get("/").text
        assert browser.get("/try/unsealed").status_code == 404
        folder.mkdir()
        (folder / "approval.pdf").write_bytes(APPROVAL)
        try:
            assert "/try/unsealed" in browser.get("/").text
            assert "需要核实" in browser.get("/try/unsealed").text
            assert browser.get("/try/..%2f..%2fnode.toml").status_code == 404
            monkeypatch.setattr(service.node, "mode", "production")
            assert "/try/" not in browser.get("/").text
            assert browser.get("/try/unsealed").status_code == 404
        finally:
            shutil.rmtree(folder)


def test_the_name_of_a_file_cannot_inject_into_the_page(service: Service) -> None:
    with service.client() as browser:
        browser.follow_redirects = True
        page = browser.post("/verify", files={"file": ("<img src=x onerror=alert(1)>.pdf", APPROVAL)})
    assert "<img" not in page.text
    assert "&lt;" in page.text


def test_health_is_green_and_turns_red_when_trust_is_gone(service: Service) -> None:
    with service.client() as anyone:
        assert anyone.get("/healthz").json()["status"] == "ok"
        service.node.audit.sequence(service.node.checkpoint_key())  # as the worker does, which does not run here
        assert anyone.get("/readyz").status_code == 200, anyone.get("/readyz").text
        metrics = anyone.get("/metrics").text
        assert "xinyin_audit_leaves" in metrics
        listed = service.node.home / "trust" / "list.jws"
        kept = listed.read_bytes()
        listed.unlink()
        try:
            red = anyone.get("/readyz")
            assert anyone.get("/trust/list.jws").status_code == 404
        finally:
            listed.write_bytes(kept)
        assert red.status_code == 503
        assert [c["name"] for c in red.json()["checks"] if not c["ok"]] == ["trust"]


def test_well_known_addresses_answer_as_the_standards_say(service: Service) -> None:
    from crypto.suites import DigestAlgorithm
    from formats import tsp
    from formats.x509 import Certificate

    names = [a.name for a in service.node.ca.authorities()]
    with service.client() as anyone:
        for name in names:
            certificate = anyone.get(f"/ca/{name}.crt")
            assert certificate.headers["content-type"] == "application/pkix-cert"
            assert Certificate.parse(certificate.content).is_ca
            crl = anyone.get(f"/crl/{name}.crl")
            assert crl.headers["content-type"] == "application/pkix-crl"
        assert anyone.get("/crl/none.crl").status_code == 404
        request = tsp.build_request(DigestAlgorithm.SHA256, hashlib.sha256(b"x").digest())
        stamp = anyone.post("/tsa", content=request, headers={"Content-Type": "application/timestamp-query"})
        assert stamp.headers["content-type"] == "application/timestamp-reply"
        assert anyone.post("/ocsp", content=b"nonsense").headers["content-type"] == "application/ocsp-response"


def test_timestamps_are_limited_by_rate(service: Service) -> None:
    with service.client() as anyone:
        usual, service.app.state.tsa_limit = service.app.state.tsa_limit, RateLimit(per_second=0.01, burst=2)
        try:
            statuses = [anyone.post("/tsa", content=b"nonsense").status_code for _ in range(3)]
        finally:
            service.app.state.tsa_limit = usual
    assert statuses == [200, 200, 429]


def test_a_printed_code_is_verified_from_its_address_alone(service: Service) -> None:
    service.registrar()
    with service.client("clerk") as clerk, service.client() as anyone:
        made = clerk.post("/api/v1/licences", json={"type": "business-licence", "data": LICENCE}).json()
        genuine = anyone.post("/api/v1/verifications", data={"code": made["code"]}).json()
        assert genuine["answer"]["decision"] == "accept", genuine["reasons"]
        assert genuine["licence"]["identifier"] == made["identifier"]
        payload = made["code"].split("#")[1]
        assert anyone.post("/api/v1/verifications", data={"code": payload}).json()["answer"]["decision"] == "accept"
        clerk.post(f"/api/v1/licences/{made['id']}/revoke", json={"kind": "吊销", "basis": "测试"})
        assert anyone.post("/api/v1/verifications", data={"code": made["code"]}).json()["answer"]["decision"] == "refuse"
        junk = anyone.post("/api/v1/verifications", data={"code": "https://evil.example/v#AAAA"}).json()
        assert junk["verdict"] == "UNREADABLE"


def test_the_openapi_document_names_every_operation_once(service: Service) -> None:
    with service.client() as anyone:
        described = anyone.get("/api/openapi.json").json()
    operations = [op for methods in described["paths"].values() for op in methods.values()]
    names = [op["operationId"] for op in operations]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)
    assert described["components"]["schemas"]["Problem"]
    for op in operations:
        for status, response in op["responses"].items():
            if op["operationId"] == "oauth_token" and status in ("400", "401"):
                continue  # an error of RFC 6749
            if status == "default" or (status >= "400" and op["operationId"] != "ready"):
                assert list(response["content"]) == ["application/problem+json"], (op["operationId"], status)
            else:
                assert response.get("content") or status == "204", (op["operationId"], status)
    known = described["components"]["schemas"]
    references = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described))
    assert set(references) <= set(known)


JUNK = ["\x00", "'\";--", "../../etc/passwd", "🀄" * 50, "x" * 5000, "-1"]
JSON = {"Content-Type": "application/json"}


def test_junk_never_gives_a_server_error(service: Service) -> None:
    seal = service.seal()["id"]
    with service.client() as anyone:
        described = anyone.get("/api/openapi.json").json()["paths"]
    accounts = ("admin", "keeper", "clerk", "auditor")
    with ExitStack() as stack:
        clients = [stack.enter_context(service.client(name)) for name in accounts]
        for path, methods in described.items():
            if not path.startswith("/api/v1/"):
                continue
            for number, junk in enumerate(JUNK):
                address = re.sub(r"\{\w+\}", quote(junk, safe="") or "%20", path)
                client = clients[number % len(clients)]
                for method in methods:
                    answers = [
                        client.request(method, address, params={"limit": junk, "cursor": junk, "at": junk, "seal": junk})
                    ]
                    if method == "post":
                        answers += [
                            client.post(address, content=junk.encode(), headers=JSON),
                            client.post(address, json={"type": junk, "data": {junk: junk}, "reason": junk, "basis": junk}),
                            client.post(address, data={"seal": junk, "page": junk, "x_mm": junk}, files={"file": (junk, b"x")}),
                        ]
                    for answer in answers:
                        assert answer.status_code < 500, (method, address, answer.text)
        for x in ("nan", "inf", "-1", "1e308"):
            odd = apply(clients[1], seal, x_mm=x)
            assert odd.status_code < 500, odd.text
            assert odd.status_code >= 400, x


def test_what_is_answered_has_the_shape_that_the_document_promises(service: Service) -> None:
    seal = service.seal()["id"]
    service.registrar()
    with ExitStack() as stack:
        keeper, clerk, officer, auditor, anyone = (
            stack.enter_context(service.client(name)) for name in ("keeper", "clerk", "officer", "auditor", None)
        )
        made = schemas.ImpressionOut.model_validate(apply(keeper, seal).json())
        verdict = anyone.post("/api/v1/verifications", files={"file": keeper.get(str(made.document_url)).content}).json()
        issued = clerk.post("/api/v1/licences", json={"type": "business-licence", "data": LICENCE}).json()
        schemas.VerdictOut.model_validate(verdict)
        schemas.VerdictOut.model_validate(anyone.post("/api/v1/verifications", data={"code": issued["code"]}).json())
        schemas.LicenceOut.model_validate(issued)
        schemas.SealOut.model_validate(keeper.get(f"/api/v1/seals/{seal}").json())
        schemas.LogStateOut.model_validate(auditor.get("/api/v1/audit/state").json())
        pages: list[tuple[httpx.Client, str, type[Any]]] = [
            (keeper, "seals", schemas.SealOut),
            (keeper, "impressions", schemas.ImpressionOut),
            (keeper, "applications", schemas.ApplicationOut),
            (clerk, "licences", schemas.LicenceOut),
            (anyone, "licence-types", schemas.LicenceTypeOut),
            (officer, "keys", KeyRoleOut),
            (auditor, "audit", schemas.LeafOut),
            (officer, "trust-lists", schemas.TrustListOut),
        ]
        for client, name, item in pages:
            answer = client.get(f"/api/v1/{name}")
            assert answer.status_code == 200, answer.text
            page = schemas.Page[item].model_validate(answer.json())  # type: ignore[valid-type]
            assert page.items or name == "applications", name
