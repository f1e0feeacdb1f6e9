"""A compromised key, a drill, what runs out, and officers who approve each step of a rotation: on real tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ceremonies.drill import Drill
from ceremonies.expiry import Expiry
from ceremonies.node import Node
from ceremonies.rotation import StepRefused
from ceremonies.sample import REGISTRAR, sample_uscc
from ceremonies.steps import needed
from crypto.errors import BadInput, XinyinError
from hsm.errors import KeyMissing, KeyStateForbids, NoSuchGeneration
from hsm.schemas import KeyPurpose
from people.gate import ApprovalNeeded
from policies.authorise import NotAllowed
from seals.placement import Placement
from seals.schemas import SealNotInForce
from tests.node_home import EXAMPLES, REGION, founded_home
from tests.officers import Officer, officer
from verify.service import verify_bytes

DOCUMENT = (EXAMPLES / "approval.pdf").read_bytes()


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    opened = Node.open(founded_home("ceremonies"))
    opened.rotation.drain = timedelta(0)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def officers(node: Node) -> list[Officer]:
    operator = node.actor(None)  # at the node's own console
    return [officer(node.accounts, node.approvals, name, operator) for name in ("officer", "officer2", "officer3")]


def new_seal(node: Node, name: str, *suites: str) -> dict[str, Any]:
    uscc = sample_uscc(REGION, REGISTRAR)
    return node.seals.create(node.actor(None), owner_name=name, owner_uscc=uscc, suites=suites or ("p256",))


def sealed(node: Node, seal: dict[str, Any], suite: str = "p256") -> tuple[dict[str, Any], bytes]:
    place = Placement(1, 120.0, 230.0)
    return node.seals.apply(node.actor(None), DOCUMENT, seal_id=seal["id"], suite=suite, placement=place)


def judged(node: Node, data: bytes) -> dict[str, Any]:
    return verify_bytes(data, name="document.pdf", context=node.verification_context())


def role_of(node: Node, seal: dict[str, Any]) -> str:
    return next(str(r["id"]) for r in node.rotation.book.roles(node.actor(None)) if r["seal"] and r["seal"]["id"] == seal["id"])


def prepared(node: Node, role: str) -> str:
    """A staged key for which only the activation is left."""
    made = node.rotation.stage(node.actor(None), role)
    for step in ("prove", "certify", "file"):
        getattr(node.rotation, step)(node.actor(None), made.id)
    return made.id


def test_one_officer_stops_a_compromised_key_at_once_and_its_seal_with_it(node: Node, officers: list[Officer]) -> None:
    seal = new_seal(node, "云江市失密局")
    impression, data = sealed(node, seal)
    key = impression["generation"]
    assert judged(node, data)["answer"]["decision"] == "accept"
    report = node.compromise.declare(officers[0].account, key, reason="令牌的 PIN 泄露")
    assert report["status"] == "done", report["parts"]
    assert [(i["kind"], i["id"]) for i in report["items"]] == [("impression", impression["id"])]
    assert node.keys.generation(key).state == "retired"
    [certificate] = node.ca.records(generation_id=key)
    assert (certificate.status, certificate.reason) == ("revoked", "keyCompromise")
    assert node.seals.show(node.actor(None), seal["id"])["status"] == "suspended"
    with pytest.raises((SealNotInForce, NoSuchGeneration)):
        sealed(node, seal)
    assert judged(node, data)["answer"]["decision"] == "refuse"
    again = node.compromise.declare(officers[1].account, key, reason="again")
    assert again["id"] == report["id"]


def test_the_report_lists_exactly_what_was_sealed_since(node: Node, officers: list[Officer]) -> None:
    seal = new_seal(node, "云江市清单局")
    before, _ = sealed(node, seal)
    since = datetime.now(UTC)
    after = [sealed(node, seal)[0]["id"] for _ in range(2)]
    report = node.compromise.declare(officers[0].account, before["generation"], reason="疑似泄露", since=since)
    assert [item["id"] for item in report["items"]] == after
    table = node.compromise.table(officers[0].account, report["id"])
    assert table.startswith("\ufeffkind,id,at,of,")
    assert len(table.strip().splitlines()) == 3
    [certificate] = node.ca.records(generation_id=before["generation"])
    assert certificate.invalidity_at is not None
    assert abs(certificate.invalidity_at - since) < timedelta(seconds=1)


def test_a_prepared_key_takes_over_where_the_officers_approved_it(node: Node, officers: list[Officer]) -> None:
    seal = new_seal(node, "云江市备钥局")
    impression, _ = sealed(node, seal)
    heir = prepared(node, role_of(node, seal))
    approval = node.rotation.ask(officers[0].account, "activate", heir)
    for one in officers[1:]:
        one.approve(node.approvals, approval["id"])
    report = node.compromise.declare(officers[0].account, impression["generation"], reason="演示", approval=approval["id"])
    assert next(p["result"] for p in report["parts"] if p["part"] == "switch") == "switched"
    again, data = sealed(node, seal)
    assert again["generation"] == heir
    assert judged(node, data)["answer"]["decision"] == "accept"
    assert node.seals.show(node.actor(None), seal["id"])["status"] == "in-force"


def test_a_compromised_key_that_was_never_used_goes_no_further(node: Node, officers: list[Officer]) -> None:
    seal = new_seal(node, "云江市未启局")
    made = node.rotation.stage(node.actor(None), role_of(node, seal))
    node.compromise.declare(officers[0].account, made.id, reason="生成时有人旁观")
    with pytest.raises(StepRefused, match="compromised"):
        node.rotation.certify(node.actor(None), made.id)
    assert node.seals.show(node.actor(None), seal["id"])["status"] == "in-force"


def test_a_compromise_needs_a_reason_a_past_time_and_an_officer(node: Node, officers: list[Officer]) -> None:
    key = sealed(node, new_seal(node, "云江市理由局"))[0]["generation"]
    with pytest.raises(BadInput):
        node.compromise.declare(officers[0].account, key, reason=" ")
    with pytest.raises(BadInput):
        node.compromise.declare(officers[0].account, key, reason="x", since=datetime.now(UTC) + timedelta(hours=1))
    for name in ("keeper", "auditor", "admin", "handler"):
        with pytest.raises(NotAllowed):
            node.compromise.declare(node.accounts.get(name), key, reason="x")
    assert node.keys.generation(key).state == "active"


def test_a_failed_part_is_tried_again_when_it_is_declared_again(
    node: Node, officers: list[Officer], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = sealed(node, new_seal(node, "云江市断电局"))[0]["generation"]

    def broken() -> None:
        raise XinyinError("The disk is full.", "磁盘已满。")

    with monkeypatch.context() as patched:
        patched.setattr(node, "publish_trust", broken)
        report = node.compromise.declare(officers[0].account, key, reason="x")
    assert report["status"] == "incomplete"
    assert node.keys.generation(key).state == "retired"
    due = node.expiry.overview(officers[0].account)
    assert any(one["kind"] == "compromise" for one in due)
    report = node.compromise.declare(officers[0].account, key, reason="x")
    assert report["status"] == "done"
    assert len(report["items"]) == 1


def test_officers_approve_each_step_of_a_rotation_and_no_step_passes_without_them(node: Node, officers: list[Officer]) -> None:
    one, rotation = officers[0].account, node.rotation
    seal = new_seal(node, "云江市共管局")
    sealed(node, seal)
    role = role_of(node, seal)

    def approved(step: str, target: str) -> str:
        approval = rotation.ask(one, step, target)
        assert rotation.ask(one, step, target)["id"] == approval["id"]
        for other in officers[:2]:
            other.approve(node.approvals, approval["id"])
        assert rotation.ask(one, step, target)["status"] == "granted"
        return str(approval["id"])

    with pytest.raises(ApprovalNeeded):
        rotation.stage(one, role)
    plan = rotation.plan(one, role)
    assert [n["code"] for n in plan["steps"][0]["needs"]] == ["approvals"]
    key = rotation.stage(one, role, approval=approved("stage", role)).id
    rotation.prove(one, key)
    for step in ("certify", "file", "activate"):
        take = getattr(rotation, step)
        with pytest.raises(ApprovalNeeded):
            take(one, key)
        take(one, key, approval=approved(step, key))
    assert sealed(node, seal)[0]["generation"] == key
    old = rotation.before(node.keys.generation(key))[0].id
    for step in ("retire", "destroy"):
        take = getattr(rotation, step)
        with pytest.raises(ApprovalNeeded):
            take(one, old)
        take(one, old, approval=approved(step, old))
    assert node.keys.generation(old).state == "destroyed"


def test_an_approval_for_one_key_lets_no_other_step_pass(node: Node, officers: list[Officer]) -> None:
    one, rotation = officers[0].account, node.rotation
    first, second = (role_of(node, new_seal(node, name)) for name in ("云江市甲局", "云江市乙局"))
    approval = rotation.ask(one, "stage", first)["id"]
    for other in officers[1:]:
        other.approve(node.approvals, approval)
    with pytest.raises(XinyinError):
        rotation.stage(one, second, approval=approval)
    rotation.stage(one, first, approval=approval)


def test_a_drill_proves_every_step_and_leaves_nothing_in_force(node: Node, officers: list[Officer]) -> None:
    found = Drill(node).run(officers[0].account, "rsa")
    assert found["status"] == "done", [s for s in found["steps"] if not s["ok"]]
    assert {"overlap", "refused", "destroy", "verify", "clean"} <= {s["step"] for s in found["steps"]}
    for key in found["keys"]:
        assert node.keys.generation(key).state == "destroyed"
        assert {r.status for r in node.ca.records(generation_id=key)} == {"revoked"}
        with pytest.raises((KeyStateForbids, KeyMissing)):
            node.keys.probe(key)
    assert not any(r["purpose"] == "drill" for r in node.rotation.book.roles(officers[0].account))
    with pytest.raises(NotAllowed):
        Drill(node).run(node.accounts.get("keeper"))


def test_a_drill_whose_retired_key_signs_is_a_failed_drill(
    node: Node, officers: list[Officer], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Drill, "_retire", lambda self, key: None)
        found = Drill(node).run(officers[0].account, "p256")
    assert found["status"] == "failed"
    assert next(s for s in found["steps"] if not s["ok"])["step"] == "refused"
    assert all(node.keys.generation(key).state == "destroyed" for key in found["keys"])


def test_a_node_recovers_from_compromised_keys_of_its_own(node: Node) -> None:
    """The issuing CA (what was sealed and timestamped before stays accepted), the trust list's key, the log's key."""
    operator, rotation = node.actor(None), node.rotation
    seal = new_seal(node, "云江市复原局", "rsa")
    place = Placement(1, 120.0, 230.0)
    _, before = node.seals.apply(operator, DOCUMENT, seal_id=seal["id"], suite="rsa", level="LTA", placement=place)
    time.sleep(1.1)  # timestamps say whole seconds: what was sealed in the very second of the doubt is in doubt
    since = datetime.now(UTC)
    roles = {(r["purpose"], r["suite"]): r for r in rotation.book.roles(operator)}
    own = roles[("trust_list", "p256")], roles[("audit_checkpoint", "p256")]
    for one in (roles[("issuing_ca", "rsa")], *own):
        node.compromise.declare(operator, one["active"], reason="x", since=since)
    for one in (*own, roles[("issuing_ca", "rsa")], roles[("ocsp", "rsa")], roles[("tsa", "rsa")]):
        rotated(node, one["id"])
    rotated(node, role_of(node, seal))
    _, after = node.seals.apply(operator, DOCUMENT, seal_id=seal["id"], suite="rsa", level="LTA", placement=place)
    assert judged(node, before)["answer"]["decision"] == "accept"
    assert judged(node, after)["answer"]["decision"] == "accept"
    for one in own:
        stopped = next(g.id for g in node.keys.generations(one["id"]) if g.number == 1)
        assert node.compromise.declare(operator, stopped, reason="again")["status"] == "done"
    withdrawn = {s.type for s in node.trust_store().services() if s.status != "granted"}
    assert {"ca/issuing", "audit"} <= withdrawn


def rotated(node: Node, role: str) -> None:
    """The role's next key in use."""
    made = node.rotation.stage(node.actor(None), role)
    for step in needed(made.purpose):
        if step in ("prove", "certify", "file", "distribute", "activate"):
            getattr(node.rotation, step)(node.actor(None), made.id)


def test_what_runs_out_is_shown_the_most_urgent_first(node: Node) -> None:
    operator = node.actor(None)
    now = datetime.now(UTC)
    assert all(one["urgency"] != "overdue" or one["kind"] in ("no-key", "compromise") for one in node.expiry.overview(operator))
    later = Expiry(node, now=lambda: now + timedelta(days=340))
    kinds = {one["kind"]: one for one in later.overview(operator)}
    assert kinds["crl"]["role"] is None
    assert any("root-" in one["what"] for one in later.overview(operator) if one["kind"] == "crl")
    moments = [one["at"] for one in later.overview(operator)]
    assert moments == sorted(moments)
    much = Expiry(node, now=lambda: now + timedelta(days=3 * 365 - 60))
    assert {"seal", "key-age"} <= {one["kind"] for one in much.overview(operator)}
    with pytest.raises(NotAllowed):
        node.expiry.overview(node.accounts.get("handler"))


def test_every_purpose_has_its_steps_in_the_one_order() -> None:
    for purpose in KeyPurpose:
        steps = needed(purpose)
        assert steps[:2] == ("stage", "prove")
        assert steps[-3:] == ("activate", "retire", "destroy")


def test_the_log_of_the_ceremonies_is_whole(node: Node, tmp_path: Path) -> None:
    node.audit.sequence(node.checkpoint_key())
    report = node.audit.verify(node.audit_keys())
    assert report.ok, report.findings
    export = tmp_path / "log.jsonl"
    export.write_text("".join(node.audit.export()), encoding="utf-8")
    kinds = {
        json.loads(json.loads(line)["leaf"])["kind"] for line in export.read_text("utf-8").splitlines() if '"leaf"' in line
    }
    assert {"key.compromised", "key.compromise-reported", "key.drilled", "key.certified", "seal.remade"} <= kinds
