"""Approvals as officers meet them: over HTTP, on the pages without JavaScript, and with a passkey in a real browser."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api.sessions import COOKIE
from ceremonies.plain import plain
from people.schemas import local_operator
from tests.browser import Person, chromium, needs_chromium
from tests.node_home import REGION, Service, founded_home, serving
from tests.officers import Officer, add_passkey, officer

OPERATOR = local_operator(REGION)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home("approvals")) as running:
        yield running


@pytest.fixture(scope="module")
def officers(service: Service) -> list[Officer]:
    """Two of the demo officers, with certificates that the operator confirmed."""
    node = service.node
    return [officer(node.accounts, node.approvals, name, OPERATOR) for name in ("officer", "officer2")]


@pytest.fixture
def staged(service: Service, request: pytest.FixtureRequest) -> str:
    """A staged key of a role of its own."""
    role = service.node.keys.create_role("receipt", "p256", f"样本 回执 {request.node.name[-4:]}")
    return service.node.keys.stage(role.id).id


def page_of(service: Service, account: str) -> httpx.Client:
    """A browser without JavaScript in which ``account`` is signed in."""
    accounts = service.node.accounts
    token = accounts.open_session(accounts.get(account)).token
    return httpx.Client(base_url=service.url, cookies={COOKIE: token}, timeout=60, follow_redirects=True)


def csrf(text: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', text)
    assert found
    return found.group(1)


def ask(service: Service, account: str, action: str, target: str) -> dict[str, Any]:
    with service.client(account) as client:
        answer = client.post("/api/v1/approvals", json={"action": action, "target": target})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())


def test_over_http_a_step_is_asked_for_signed_by_two_and_carried_out(
    service: Service, officers: list[Officer], staged: str
) -> None:
    asked = ask(service, "officer", "key.activate", staged)
    assert asked["status"] == "open"
    assert asked["words_zh"].startswith("启用“")
    for number, name in enumerate(("officer", "officer2")):
        with service.client(name) as client:
            message = client.get(f"/api/v1/approvals/{asked['id']}/document").content
            signature = base64.b64encode(officers[number].cms(message)).decode()
            given = client.post(f"/api/v1/approvals/{asked['id']}/signatures", json={"signature": signature})
            assert given.status_code == 200, given.text
            again = client.post(f"/api/v1/approvals/{asked['id']}/signatures", json={"signature": signature})
            assert (again.status_code, again.json()["code"]) == (409, "already-approved")
    assert given.json()["status"] == "granted"
    service.node.keys.activate(staged, actor=officers[0].account, approval=asked["id"])
    with service.client("auditor") as client:
        assert client.get(f"/api/v1/approvals/{asked['id']}").json()["status"] == "used"
        items = client.get("/api/v1/approvals", params={"status": "used"}).json()["items"]
        assert asked["id"] in [one["id"] for one in items]


def test_over_http_others_neither_ask_nor_look_nor_approve(service: Service, officers: list[Officer], staged: str) -> None:
    asked = ask(service, "officer", "key.activate", staged)
    address = f"/api/v1/approvals/{asked['id']}"
    for name in ("handler", "keeper", "admin", "auditor"):
        with service.client(name) as client:
            wish = {"action": "key.activate", "target": staged}
            assert client.post("/api/v1/approvals", json=wish).status_code == 403
            assert client.post(f"{address}/signatures", json={"signature": "AAAA"}).status_code == 403
            assert client.post(f"{address}/refuse", json={"reason": "no"}).status_code == 403
            assert client.post(f"{address}/withdraw").status_code == 403
            assert client.get(address).status_code == (200 if name in ("admin", "auditor") else 403)
    with service.client() as nobody:
        assert nobody.get(address).status_code == 401
    with service.client("officer3") as client:
        assert client.get("/api/v1/approvals/approval_none").status_code == 404
        refused = client.post(f"{address}/signatures", json={"signature": "AAAA"})
        assert (refused.status_code, refused.json()["code"]) == (403, "approval-short")
        assert client.post(f"{address}/signatures", json={}).status_code == 400
        assert client.post(f"{address}/refuse", json={"reason": "not today"}).json()["status"] == "refused"


def test_on_the_page_a_certificate_approves_without_javascript(service: Service, officers: list[Officer], staged: str) -> None:
    asked = ask(service, "officer", "key.activate", staged)
    with page_of(service, "officer2") as client:
        assert asked["words_zh"] in client.get("/officer/approvals").text
        page = client.get(f"/officer/approvals/{asked['id']}").text
        assert asked["digest"] in page
        message = client.get(f"/officer/approvals/{asked['id']}/statement.json").content
        wrong = {"file": ("s.p7s", officers[0].cms(message))}
        answer = client.post(f"/officer/approvals/{asked['id']}/certificate", data={"csrf": csrf(page)}, files=wrong)
        assert answer.status_code == 400
        assert "未被接受" in answer.text
        right = {"file": ("s.p7s", officers[1].cms(message))}
        without = client.post(f"/officer/approvals/{asked['id']}/certificate", files=right)
        assert without.status_code == 403, "a form of another site carries no token"
        answer = client.post(f"/officer/approvals/{asked['id']}/certificate", data={"csrf": csrf(page)}, files=right)
        assert "您的批准已记录" in answer.text
        done = client.post(
            f"/officer/approvals/{asked['id']}/refuse", data={"csrf": csrf(page), "reason": "<script>alert(1)</script>"}
        )
        assert "<script>alert" not in done.text
        assert "已否决" in done.text


def test_on_the_page_a_certificate_is_enrolled_without_javascript(service: Service) -> None:
    from crypto.keys import SoftwareKey
    from crypto.suites import Suite
    from tests.officers import certificate

    key = SoftwareKey.generate(Suite.SM2)
    new = Officer(service.node.accounts.get("officer3"), key, certificate(key, "officer3"))
    with page_of(service, "officer3") as client:
        page = client.get("/officer/approvals/keys").text
        pem = {"file": ("c.pem", new.certificate.pem().encode())}
        step = client.post("/officer/approvals/keys/certificate", data={"csrf": csrf(page)}, files=pem).text
        found = re.search(r'href="(/officer/approvals/keys/proof-[0-9a-f]{64}\.json)"', step)
        assert found
        proof = client.get(found.group(1)).content
        hidden = re.search(r'name="certificate" value="([^"]+)"', step)
        assert hidden
        fields = {"csrf": csrf(step), "certificate": hidden.group(1)}
        refused = client.post("/officer/approvals/keys/proof", data=fields, files={"file": ("p.p7s", b"nothing of use")})
        assert refused.status_code == 400
        done = client.post("/officer/approvals/keys/proof", data=fields, files={"file": ("p.p7s", new.cms(proof))})
        assert "审批密钥已登记" in done.text
    (row,) = service.node.approvals.keys.list(OPERATOR, account=new.account.id)
    assert row["status"] == "confirmed", "outside production an officer's own key counts at once"
    with page_of(service, "admin") as client:
        listed = client.get("/officer/approvals/keys").text
        assert new.account.display_name in listed
        answer = client.post(f"/officer/approvals/keys/{row['id']}/remove", data={"csrf": csrf(listed)})
        assert "审批密钥已停用" in answer.text


@needs_chromium
def test_in_a_browser_a_passkey_approves_over_the_digest(service: Service, officers: list[Officer], staged: str) -> None:
    from urllib.parse import urlsplit

    node = service.node
    host = node.accounts.passkeys.rp_id
    base = service.url.replace("127.0.0.1", host)
    asked = ask(service, "officer", "key.activate", staged)
    one = officers[0]
    add_passkey(node.accounts, node.approvals, one, OPERATOR, base, host)
    assert one.passkey is not None
    with chromium() as browser:
        person = Person(browser, service)
        person.base = base
        person.be("officer")
        devtools = person.context.new_cdp_session(person.page)
        devtools.send("WebAuthn.enable")
        how = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
        how |= {"isUserVerified": True, "automaticPresenceSimulation": True}
        made = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": how})
        private = one.passkey.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        credential = {
            "credentialId": base64.b64encode(one.passkey.credential_id).decode(),
            "isResidentCredential": False,
            "rpId": host,
            "privateKey": base64.b64encode(private).decode(),
            "signCount": 1,
        }
        devtools.send("WebAuthn.addCredential", {"authenticatorId": made["authenticatorId"], "credential": credential})
        for lang in ("en", "zh"):
            person.speak(lang)
            person.go(f"/officer/approvals/{asked['id']}")
            assert urlsplit(person.page.url).hostname == host
            assert person.fits()
            assert person.violations() == []
            person.shot("approvals/one")
        person.page.click("button[data-passkey=get]")
        person.page.wait_for_url("**done=approved")
        assert "您的批准已记录" in person.page.inner_text("main")
        person.shot("approvals/given")
        for path, name in (("/officer/approvals", "list"), ("/officer/approvals/keys", "keys")):
            person.go(path)
            assert person.violations() == []
            person.shot(f"approvals/{name}")
        person.close()
        phone = Person(browser, service, size="phone", lang="en", scheme="dark")
        phone.be("officer2")
        for path, name in (
            ("/officer/approvals", "list"),
            ("/officer/approvals/keys", "keys"),
            (f"/officer/approvals/{asked['id']}", "one"),
        ):
            phone.go(path)
            assert phone.fits(), path
            assert phone.violations() == []
            phone.shot(f"approvals/{name}")
        phone.close()
    shown = plain(node.approvals.show(OPERATOR, asked["id"]))
    assert [entry["kind"] for entry in shown["given"]] == ["passkey"]
