"""A licence on a phone from download to withdrawal, as a counter of the same node sees it: codes, credential, paper."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from api.sessions import CITIZEN_COOKIE, CitizenBrowser
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import codes, jose, sdjwt
from formats.statuslist import read_jwt
from people.citizens import Statement
from tests.integration.holdings_world import BUSINESS
from tests.node_home import Service, founded_home, serving
from tests.presented_world import Holding, Memory
from tests.soft_phone import SoftPhone, identity_number
from verify.code import verify_code
from verify.credential import verify_sd_jwt
from verify.schemas import VerificationContext
from verify.trust import ServiceType

OWNER = identity_number(811)
AUDIENCE, NONCE = "https://counter.example", "n-0S6_WzA2Mj"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home("presented")) as found:
        found.registrar()
        yield found


def _issued(service: Service, **more: Any) -> dict[str, Any]:
    """A business licence of the owner's; the key that signs its code is on the published list."""
    node = service.node
    data = {**BUSINESS, "representative": "样本 李店主", "representative_id": OWNER, **more}
    licence, _ = node.licences.issue(node.actor(None), "business-licence", data)
    node.publish_trust()
    return {**licence, "data": data}


class Owner:
    """A legal representative with a phone, over HTTP."""

    def __init__(self, service: Service) -> None:
        citizen = service.node.citizens.signed_in(Statement("https://idp.example", OWNER, "样本 李店主", OWNER))
        token = service.node.citizens.open_session(citizen).token
        headers = {"X-CSRF-Token": CitizenBrowser(citizen, token).csrf}
        self.http = httpx.Client(base_url=service.url, cookies={CITIZEN_COOKIE: token}, headers=headers, timeout=60)
        self.phone = SoftPhone()

    def download(self, licence: str) -> dict[str, Any]:
        challenge = self.http.post("/api/v1/wallet/challenges").json()
        body = {"licence": licence, "device_name": "手机", "proof": self.phone.proof(challenge)}
        answer = self.http.post("/api/v1/wallet/copies", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def show(self, copy: dict[str, Any], **more: Any) -> str:
        credential = base64.urlsafe_b64decode(copy["credential"] + "=" * (-len(copy["credential"]) % 4))
        return codes.encode_shown(credential, more.pop("key", self.phone.key), copy["host"], at=datetime.now(UTC), **more)

    def present(self, copy: dict[str, Any], *names: str) -> str:
        shown = sdjwt.present(copy["sd_jwt"], lambda path: path[0] in names)
        return sdjwt.bind(shown, self.phone.key, audience=AUDIENCE, nonce=NONCE, at=datetime.now(UTC))


def _scan(service: Service, text: str) -> dict[str, Any]:
    with service.client() as anyone:
        verdict: dict[str, Any] = anyone.post("/api/v1/verifications", data={"code": text}).json()
    return verdict


def _answer(verdict: dict[str, Any]) -> tuple[str, set[str]]:
    return verdict["answer"]["decision"], {one["code"] for one in verdict["reasons"]}


def test_a_licence_is_shown_and_accepted_until_it_is_changed_and_the_old_copy_says_so(service: Service) -> None:
    node, owner = service.node, Owner(service)
    licence = _issued(service)
    copy = owner.download(licence["id"])

    shown = _scan(service, owner.show(copy))
    assert _answer(shown) == ("accept", set()), shown["answer"]
    assert (shown["presentation"]["bearer"], shown["presentation"]["bearer_role"]) == ("样本 李店主", "representative")
    assert shown["licence"]["identifier"] == licence["identifier"]
    paper = _scan(service, licence["code"])
    assert (_answer(paper), paper["presentation"]["kind"]) == (("accept", set()), "printed")
    context = node.verification_context()
    wallet = verify_sd_jwt(owner.present(copy, "name", "bearer"), context=context, audience=AUDIENCE, nonce=NONCE)
    assert _answer(wallet) == ("accept", set()), wallet["answer"]
    assert wallet["disclosed"] == {"name": BUSINESS["name"]}
    assert (wallet["licence"]["type"], wallet["presentation"]["bearer"]) == ("营业执照", "样本 李店主")

    once = owner.show(copy)
    assert _answer(_scan(service, once))[0] == "accept"
    assert _answer(_scan(service, once)) == ("check", {"shown-seen-before"})
    stolen = owner.show(copy, key=SoftwareKey.generate(Suite.P256))
    assert _answer(_scan(service, stolen)) == ("refuse", {"shown-not-held"})

    changed = {**licence["data"], "address": "云江市样本路9号"}
    newer, _ = node.licences.change(node.actor(None), licence["id"], changed)
    for text in (owner.show(copy), licence["code"]):
        decision, found = _answer(_scan(service, text))
        assert (decision, "licence-superseded" in found) == ("refuse", True)
    fresh = owner.download(newer["id"])
    assert _answer(_scan(service, owner.show(fresh))) == ("accept", set())


def test_a_phone_reported_lost_shows_nothing_that_is_accepted(service: Service) -> None:
    node, owner = service.node, Owner(service)
    licence = _issued(service, uscc="91310000MA1FL8888X")
    copy = owner.download(licence["id"])
    assert _answer(_scan(service, owner.show(copy)))[0] == "accept"
    assert owner.http.post(f"/api/v1/wallet/copies/{copy['id']}/lost").status_code == 200
    for verdict in (
        _scan(service, owner.show(copy)),
        verify_sd_jwt(owner.present(copy), context=node.verification_context(), audience=AUDIENCE, nonce=NONCE),
    ):
        assert _answer(verdict) == ("refuse", {"status-withdrawn"})
    assert _answer(_scan(service, licence["code"]))[0] == "accept"  # the licence itself stands


def test_what_a_bare_verifier_holds_of_the_node_is_enough_offline(service: Service) -> None:
    """No register: only the node's trust list and its status list, as another region or a bank holds them."""
    node, owner = service.node, Owner(service)
    licence = _issued(service, uscc="91310000MA1FL7777A")
    copy = owner.download(licence["id"])
    uri = copy["status"]["uri"]
    held = httpx.get(f"{service.url}/status/{uri.rpartition('/')[2]}").text
    trust = node.trust_store()
    keys = [jose.public_key(one.jwk or {}) for one in trust.keys(ServiceType.STATUS_LIST, node.region)]
    assert read_jwt(held, keys, uri=uri).statuses[copy["status"]["idx"]] == 0
    context = VerificationContext(trust, statuses=Holding({uri: held}, keys), seen=Memory())
    assert _answer(verify_code(owner.show(copy), context=context)) == ("accept", set())
    assert _answer(verify_code(owner.show(copy), context=replace(context, statuses=None)))[0] == "check"
