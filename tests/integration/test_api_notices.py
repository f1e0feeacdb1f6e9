"""Notices over HTTP on real tokens: a system subscribes, is told under a published key, and hears when its documents fall."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from ceremonies.config import FILE
from ceremonies.sample import APPROVER, REGISTRAR, sample_uscc
from ceremonies.upkeep import run_worker
from tests.node_home import EXAMPLES, REGION, Service, founded_home, serving
from tests.receiver import Receiver, receiving

APPROVAL = (EXAMPLES / "approval.pdf").read_bytes()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture(scope="module")
def service(receiver: Receiver) -> Iterator[Service]:
    home = founded_home("notices")
    with (home / FILE).open("a", encoding="utf-8") as file:
        file.write(f'\n[call_backs]\nprivate_hosts = ["{receiver.host}"]\n')
    with serving(home) as running:
        yield running


@pytest.fixture(scope="module")
def oa(service: Service) -> str:
    """A system of the approval bureau."""
    return system(service, "oa", APPROVER)


def system(service: Service, name: str, department: str) -> str:
    identifier = service.node.department(sample_uscc(REGION, department))
    service.node.accounts.create(name, None, roles=["handler"], department=identifier, kind="system")
    return name


def impression(service: Service) -> tuple[str, bytes]:
    """A document sealed by the approval bureau."""
    form = {"seal": service.seal()["id"], "page": "2", "x_mm": "137", "y_mm": "175"}
    with service.client("keeper") as keeper:
        made = keeper.post("/api/v1/impressions", files={"file": ("a.pdf", APPROVAL)}, data=form)
        assert made.status_code == 201, made.text
        return made.json()["id"], keeper.get(made.json()["document_url"]).content


def test_a_system_subscribes_tries_its_receiver_and_believes_the_published_keys_alone(
    service: Service, receiver: Receiver, oa: str
) -> None:
    with service.client(oa) as client:
        made = client.post("/api/v1/subscriptions", json={"url": receiver.url, "audience": "oa.example"})
        assert made.status_code == 201, made.text
        one = made.json()
        assert client.post(f"/api/v1/subscriptions/{one['id']}/test").status_code == 202
        before = len(receiver.tokens)
        assert service.node.courier.work() == 1
        token = receiver.wait_for(before + 1)[-1]
        published = httpx.get(f"{service.url}/.well-known/jwks.json")
        assert published.headers["content-type"] == "application/jwk-set+json"
        claims = jwt.decode(token, KeySet.import_key_set(published.json()), algorithms=["ES256"]).claims
        assert (claims["iss"], claims["aud"]) == (service.node.config.base_url, "oa.example")
        shown = client.get(f"/api/v1/subscriptions/{one['id']}").json()
        assert shown["deliveries"] == {"waiting": 0, "delivered": 1, "dead": 0}
        assert client.post(f"/api/v1/subscriptions/{one['id']}/end").json()["status"] == "ended"
        assert client.post(f"/api/v1/subscriptions/{one['id']}/test").status_code == 409


def test_a_subscription_is_unknown_to_others_and_needs_a_known_caller(service: Service, receiver: Receiver, oa: str) -> None:
    with service.client(oa) as client:
        path = f"/api/v1/subscriptions/{client.post('/api/v1/subscriptions', json={'url': receiver.url}).json()['id']}"
    other = system(service, "registrar-oa", REGISTRAR)
    with service.client(other) as client:
        for answer in (client.get(path), client.get(f"{path}/deliveries"), client.post(f"{path}/end")):
            assert (answer.status_code, answer.json()["code"]) == (404, "no-such-subscription")
    with service.client("handler") as person:
        refused = person.post("/api/v1/subscriptions", json={"url": receiver.url})
        assert (refused.status_code, refused.json()["code"]) == (403, "not-allowed")
    with service.client() as nobody:
        assert nobody.get(path).status_code == 401
        assert nobody.get("/api/v1/events").status_code == 401


def test_a_system_that_verified_a_document_is_told_when_it_is_voided_and_others_are_not(service: Service) -> None:
    bank, stranger = system(service, "bank", REGISTRAR), system(service, "insurer", REGISTRAR)
    fallen, pdf = impression(service)
    with service.client(bank) as client, service.client("keeper") as keeper, service.client(stranger) as other:
        verdict = client.post("/api/v1/verifications", files={"file": ("a.pdf", pdf)})
        assert verdict.json()["verdict"] == "TOTAL-PASSED"
        voided = keeper.post(f"/api/v1/impressions/{fallen}/void", json={"reason": "文号有误"})
        assert voided.status_code == 200, voided.text
        service.node.courier.work()
        told = client.get("/api/v1/events", params={"kind": "impression.voided"}).json()["items"]
        assert [(item["subject"]["impression"], item["data"]["status"]) for item in told] == [(fallen, "voided")]
        assert client.get(f"/api/v1/events/{told[0]['id']}").json() == told[0]
        assert other.get("/api/v1/events").json()["items"] == []
        assert other.get(f"/api/v1/events/{told[0]['id']}").status_code == 404


def test_a_token_that_is_not_valid_is_refused_also_where_none_is_needed(service: Service) -> None:
    answer = httpx.post(
        f"{service.url}/api/v1/verifications",
        files={"file": ("a.pdf", APPROVAL)},
        headers={"Authorization": "Bearer xinyin_nobody"},
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "bad-token")


def test_the_worker_sends_what_is_due_by_itself(service: Service, receiver: Receiver, oa: str) -> None:
    ending = threading.Event()
    worker = threading.Thread(target=run_worker, args=(service.node.home,), kwargs={"stop": ending})
    with service.client(oa) as client:
        one = client.post("/api/v1/subscriptions", json={"url": receiver.url}).json()
        before = len(receiver.tokens)
        worker.start()
        try:
            client.post(f"/api/v1/subscriptions/{one['id']}/test")
            receiver.wait_for(before + 1)
        finally:
            ending.set()
            worker.join(30)
    assert not worker.is_alive()


def test_the_key_set_announces_the_next_key_keeps_the_last_and_drops_one_in_other_hands(service: Service) -> None:
    node, operator = service.node, service.node.actor(None)

    def published() -> list[str]:
        return [key["kid"] for key in httpx.get(f"{service.url}/.well-known/jwks.json").json()["keys"]]

    old = node.keys.active_for("receipt")
    new = node.keys.stage(old.role_id, actor=operator)
    assert published() == [new.public_key.fingerprint, old.public_key.fingerprint]
    node.keys.activate(new.id, actor=operator)
    assert published() == [new.public_key.fingerprint, old.public_key.fingerprint]
    node.compromise.declare(operator, old.id, reason="训练")
    assert published() == [new.public_key.fingerprint]
