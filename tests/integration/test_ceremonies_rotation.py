"""Rotation of every kind of key on a founded node with real tokens: what was sealed before verifies after, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ceremonies.node import Node
from ceremonies.rotation import StepRefused
from ceremonies.sample import APPROVER, sample_uscc
from ceremonies.steps import needed
from crypto.errors import XinyinError
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats.pkcs10 import CertificationRequest
from formats.x509 import Certificate, CertificateSpec, Subject, build_certificate
from hsm.errors import KeyStateForbids
from hsm.schemas import Generation, KeyPurpose
from seals.models import SealVersionRow
from seals.sealing import Placement
from store.intents import Attempt
from tests.node_home import EXAMPLES, REGION, founded_home
from trust.service import TrustService
from verify.service import verify_bytes
from verify.trust import TrustList, TrustListRefused

DOCUMENT = (EXAMPLES / "approval.pdf").read_bytes()
NEW_KEY = ("prove", "certify", "file", "distribute", "activate")


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    opened = Node.open(founded_home("rotation"))
    opened.rotation.drain = timedelta(0)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def seal(node: Node) -> dict[str, Any]:
    uscc = sample_uscc(REGION, APPROVER)
    return node.seals.create(node.actor(None), owner_name=APPROVER, owner_uscc=uscc, idempotency_key="rotation")


def sealed(node: Node, seal: dict[str, Any], suite: str) -> tuple[dict[str, Any], bytes]:
    place = Placement(1, 120.0, 230.0)
    return node.seals.apply(node.actor(None), DOCUMENT, seal_id=seal["id"], suite=suite, level="LTA", placement=place)


def accepted(node: Node, data: bytes) -> bool:
    found = verify_bytes(data, name="document.pdf", context=node.verification_context())
    return bool(found["verdict"] == "TOTAL-PASSED" and found["answer"]["decision"] == "accept")


def role_of(node: Node, purpose: str, suite: str, label: str = "") -> str:
    operator = node.actor(None)
    found = [r for r in node.rotation.book.roles(operator) if (r["purpose"], r["suite"]) == (purpose, suite)]
    return str(next(r["id"] for r in found if label in r["label_zh"]))


def rotated(node: Node, role_id: str) -> tuple[Generation, Generation]:
    """The role's next key in use, and the one before it retired."""
    operator, rotation = node.actor(None), node.rotation
    made = rotation.stage(operator, role_id)
    for step in needed(made.purpose):
        if step in NEW_KEY:
            getattr(rotation, step)(operator, made.id)
    old = rotation.before(node.keys.generation(made.id))[0]
    return node.keys.generation(made.id), rotation.retire(operator, old.id)


def listed(node: Node) -> TrustList:
    found = node.trust_store().list_of(REGION)
    assert found is not None
    return found


@pytest.mark.parametrize("suite", ["sm2", "rsa"])
def test_a_seal_gets_its_next_key_and_what_the_old_one_sealed_stays_accepted(
    node: Node, seal: dict[str, Any], suite: str
) -> None:
    before, old_data = sealed(node, seal, suite)
    new, old = rotated(node, role_of(node, "seal_holder", suite))
    after, new_data = sealed(node, seal, suite)
    assert (before["generation"], after["generation"]) == (old.id, new.id)
    assert accepted(node, old_data)
    assert accepted(node, new_data)
    node.rotation.destroy(node.actor(None), old.id)
    assert accepted(node, old_data)
    with pytest.raises(KeyStateForbids):
        node.keys.signer(old.id, Attempt("intent_x", 1, "token")).sign(b"x")


def test_the_seal_is_made_again_and_filed_before_its_new_key_signs(node: Node, seal: dict[str, Any]) -> None:
    operator, rotation = node.actor(None), node.rotation
    made = rotation.stage(operator, role_of(node, "seal_holder", "sm2"))
    rotation.prove(operator, made.id)
    rotation.certify(operator, made.id)
    with pytest.raises(StepRefused, match="make the seal again"):
        rotation.activate(operator, made.id)
    rotation.file(operator, made.id, number="备案〔2026〕7号")
    version = node.seals.remaker.filed(made.role_id, made.id)
    assert version is not None
    assert version.record is not None
    assert version.record["filing_number"] == "备案〔2026〕7号"
    assert version.ses_blob != node.seals.show(operator, seal["id"])["versions"][0]["ses_sha256"]
    assert version.filing_blob is not None
    assert made.id.encode() not in node.blobs.get(version.filing_blob)  # nothing of ours that says nothing to others
    rotation.activate(operator, made.id)
    rotation.retire(operator, rotation.before(made)[0].id)
    with node.db.read() as session:
        numbers = list(session.scalars(sa.select(SealVersionRow.number).where(SealVersionRow.seal_id == seal["id"])))
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_every_step_taken_twice_is_taken_once(node: Node) -> None:
    operator, rotation = node.actor(None), node.rotation
    role = role_of(node, "seal_holder", "p256")
    assert rotation.stage(operator, role).id == rotation.stage(operator, role).id
    made = rotation.stage(operator, role)
    for step in ("prove", "certify", "file"):
        getattr(rotation, step)(operator, made.id)
        getattr(rotation, step)(operator, made.id)
    assert len(node.ca.certificates(made.id)) == 1
    kinds = [entry.kind for entry in node.audit.history(made.id)]
    assert len(kinds) == len(set(kinds)) + 2  # each step begins once: three leaves of one kind, every other once
    rotation.activate(operator, made.id)
    rotation.retire(operator, rotation.before(made)[0].id)


def test_steps_out_of_their_order_are_refused_with_the_one_that_comes_first(node: Node) -> None:
    operator, rotation = node.actor(None), node.rotation
    made = rotation.stage(operator, role_of(node, "tsa", "rsa"))
    with pytest.raises(StepRefused, match="try it"):
        rotation.certify(operator, made.id)
    with pytest.raises(StepRefused, match="do not need"):
        rotation.file(operator, made.id)
    rotation.prove(operator, made.id)
    rotation.certify(operator, made.id)
    assert not any(s.certificate and s.certificate.public_key == made.public_key for s in listed(node).services)
    with pytest.raises(StepRefused, match="let others know it"):
        rotation.activate(operator, made.id)
    rotation.distribute(operator, made.id)
    assert any(s.certificate and s.certificate.public_key == made.public_key for s in listed(node).services)
    rotation.activate(operator, made.id)
    with pytest.raises(StepRefused, match="has not finished"):
        rotation.stage(operator, made.role_id)
    rotation.retire(operator, rotation.before(made)[0].id)


@pytest.mark.parametrize("purpose", ["issuing_ca", "tsa", "seal_maker", "ocsp"])
def test_what_was_sealed_before_the_infrastructure_rotated_stays_accepted(
    node: Node, seal: dict[str, Any], purpose: str
) -> None:
    _, before = sealed(node, seal, "sm2")
    rotated(node, role_of(node, purpose, "sm2"))
    _, after = sealed(node, seal, "sm2")
    assert accepted(node, before)
    assert accepted(node, after)


def test_a_retired_ca_key_is_kept_while_certificates_of_its_live(node: Node) -> None:
    role = role_of(node, "issuing_ca", "sm2")
    retired = next(g for g in node.keys.generations(role) if g.state == "retired")
    with pytest.raises(StepRefused, match="answers for certificates"):
        node.rotation.destroy(node.actor(None), retired.id)


def test_the_next_trust_list_key_is_announced_and_taken_over_by_whoever_pinned_this_one(node: Node, tmp_path: Path) -> None:
    operator, rotation = node.actor(None), node.rotation
    other, stranger = TrustService(tmp_path / "other"), TrustService(tmp_path / "stranger")
    first = (node.home / "trust" / "list.jws").read_bytes()
    pin = node.keys.active_for(KeyPurpose.trust_list).public_key.fingerprint
    for one in (other, stranger):
        one.accept(first, pin=pin)
    made = rotation.stage(operator, role_of(node, "trust_list", "p256"))
    rotation.prove(operator, made.id)
    rotation.distribute(operator, made.id)
    other.accept((node.home / "trust" / "list.jws").read_bytes())
    rotation.activate(operator, made.id)
    last = (node.home / "trust" / "list.jws").read_bytes()
    assert other.accept(last).fingerprint == made.public_key.fingerprint
    assert node.trust_store().list_of(REGION) is not None
    with pytest.raises(TrustListRefused, match="not pinned"):
        stranger.accept(last)
    rotation.retire(operator, rotation.before(made)[0].id)


def test_a_licence_code_of_a_retired_key_is_still_confirmed_by_the_list(node: Node, seal: dict[str, Any]) -> None:
    node.licences.appoint(node.actor(None), "business-licence", seal_id=seal["id"])
    node.publish_trust()
    new, old = rotated(node, role_of(node, "licence_issuer", "p256"))
    granted = {s.certificate.public_key.fingerprint for s in listed(node).services if s.certificate and s.status == "granted"}
    assert {old.public_key.fingerprint, new.public_key.fingerprint} <= granted


def test_an_outside_ca_certifies_the_next_key_and_then_only_it_does(node: Node, seal: dict[str, Any]) -> None:
    operator, rotation = node.actor(None), node.rotation
    role = role_of(node, "seal_holder", "p256")
    outside = SoftwareKey.generate(Suite.P256)
    now = datetime.now(UTC)
    first, last = now - timedelta(days=1), now + timedelta(days=700)
    usage = ("keyCertSign", "cRLSign")
    root = build_certificate(
        CertificateSpec(Subject("外部 CA"), outside.public_key, 1, first, last, is_ca=True, key_usage=usage), outside
    )

    def certified(serial: int) -> Certificate:
        request = CertificationRequest.parse(rotation.request(operator, made.id))
        assert request.public_key == made.public_key
        leaf = CertificateSpec(
            Subject(seal["name"]), made.public_key, serial, first, last, issuer=root,
            key_usage=("digitalSignature", "nonRepudiation"), es_id=seal["es_id"],
        )  # fmt: skip
        return build_certificate(leaf, outside)

    made = rotation.stage(operator, role)
    rotation.prove(operator, made.id)
    strange = build_certificate(
        CertificateSpec(Subject("x"), outside.public_key, 9, first, last, issuer=root, key_usage=("digitalSignature",)), outside
    )
    rotation.certify(operator, made.id, certificate=certified(2).der, chain=root.pem().encode())
    with pytest.raises(XinyinError):
        node.ca.import_certificate(made, strange.der, root.pem().encode(), es_id=seal["es_id"])
    rotation.file(operator, made.id)
    rotation.activate(operator, made.id)
    rotation.retire(operator, rotation.before(made)[0].id)
    made = rotation.stage(operator, role)
    rotation.prove(operator, made.id)
    with pytest.raises(StepRefused, match="from outside"):
        rotation.certify(operator, made.id)
    needs = next(s["needs"] for s in rotation.plan(operator, role)["steps"] if s["step"] == "certify")
    assert "outside-ca" in {need["code"] for need in needs}
    rotation.certify(operator, made.id, certificate=certified(3).der, chain=root.pem().encode())


def test_the_plan_says_what_is_left_and_what_it_needs(node: Node) -> None:
    operator = node.actor(None)
    role = role_of(node, "seal_holder", "rsa")
    plan = node.rotation.plan(operator, role)
    assert [s["step"] for s in plan["steps"]] == ["stage", "prove", "certify", "file", "activate", "retire", "destroy"]
    made = node.rotation.stage(operator, role)
    node.rotation.prove(operator, made.id)
    plan = node.rotation.plan(operator, role)
    states = {s["step"]: s["state"] for s in plan["steps"]}
    assert (states["prove"], states["certify"], states["file"]) == ("done", "current", "waiting")
    assert plan["label_zh"] == f"印章：{APPROVER}（RSA）"


def test_the_log_of_all_this_is_whole(node: Node) -> None:
    node.audit.sequence(node.checkpoint_key())
    report = node.audit.verify(node.audit_keys())
    assert report.ok, report.findings
