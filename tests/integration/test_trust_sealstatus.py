"""The signed list of seal status: what another region's verifier learns from it, and what it refuses."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from ceremonies.node import Node
from ceremonies.sample import REGISTRAR, sample_uscc
from ceremonies.sealstatus import SealStatusPublisher
from seals.placement import Placement
from tests.node_home import EXAMPLES, REGION, founded_home, serving
from verify.schemas import VerificationContext
from verify.sealstatus import SealStatusList, SealStatusRefused, read_seal_status
from verify.service import verify_bytes


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    opened = Node.open(founded_home("ceremonies"))
    opened.seal_status.current()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def seal(node: Node) -> dict[str, Any]:
    uscc = sample_uscc(REGION, REGISTRAR)
    return node.seals.create(node.actor(None), owner_name="云江市状态局", owner_uscc=uscc, suites=("p256",))


def read(node: Node) -> SealStatusList:
    return read_seal_status(node.seal_status.current(), node.trust_store())


def test_a_verifier_elsewhere_goes_by_the_list_alone(node: Node, seal: dict[str, Any]) -> None:
    place = Placement(1, 120.0, 230.0)
    document = (EXAMPLES / "approval.pdf").read_bytes()
    _, data = node.seals.apply(node.actor(None), document, seal_id=seal["id"], suite="p256", placement=place)

    def decided() -> str:
        elsewhere = VerificationContext(trust=node.trust_store(), seals=read(node))
        return str(verify_bytes(data, name="a.pdf", context=elsewhere)["signatures"][0]["seal"]["status"])

    assert decided() == "in-force"
    node.seals.suspend(node.actor(None), seal["id"], reason="x")
    assert decided() == "suspended"
    node.seals.resume(node.actor(None), seal["id"], reason="x")
    assert decided() == "in-force"


def test_the_list_knows_the_past_and_the_next_key_before_it_signs(node: Node, seal: dict[str, Any]) -> None:
    rotation, operator = node.rotation, node.actor(None)
    role = next(r["id"] for r in rotation.book.roles(operator) if r["seal"] and r["seal"]["id"] == seal["id"])
    key = rotation.stage(operator, role)
    rotation.prove(operator, key.id)
    rotation.certify(operator, key.id)
    now = datetime.now(UTC)
    before = read(node).status(seal["es_id"], now)
    assert before is not None
    assert key.public_key.fingerprint not in before.keys
    rotation.file(operator, key.id)
    after = read(node).status(seal["es_id"], now)
    assert after is not None
    assert key.public_key.fingerprint in after.keys
    assert set(before.keys) < set(after.keys)
    assert read(node).status(seal["es_id"], now - timedelta(days=1)) is None
    assert read(node).status(seal["es_id"], now + timedelta(days=30)) is None
    assert read(node).status("310000" + "0" * 14, now) is None


def test_it_is_signed_again_only_when_something_changed_or_it_grows_old(node: Node) -> None:
    first = node.seal_status.current()
    assert node.seal_status.current() == first
    later = SealStatusPublisher(node, now=lambda: datetime.now(UTC) + timedelta(days=4))
    assert later.current() != first


def test_a_list_that_no_listed_key_signed_is_refused(node: Node) -> None:
    good = node.seal_status.current()
    head, body, mark = good.split(".")
    content = json.loads(base64.urlsafe_b64decode(body + "=="))
    content["seals"] = []
    forged = base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
    other = base64.urlsafe_b64encode(json.dumps({**content, "region": "320000"}).encode()).rstrip(b"=").decode()
    trust_list = (node.home / "trust" / "list.jws").read_text("ascii")
    for bad in (f"{head}.{forged}.{mark}", f"{head}.{other}.{mark}", trust_list, "", "a.b.c", "x" * 10):
        with pytest.raises(SealStatusRefused):
            read_seal_status(bad, node.trust_store())


def test_it_is_served_without_signing_in(node: Node) -> None:
    with serving(founded_home("ceremonies")) as service, httpx.Client(base_url=service.url) as anyone:
        answer = anyone.get("/status/seals.jws")
        assert answer.headers["content-type"] == "application/jose"
        assert read_seal_status(answer.text, node.trust_store()).region == REGION
    assert node.trust_store().lists[0].status_lists[0].endswith("/status/seals.jws")
