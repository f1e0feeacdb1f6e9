"""Steps on keys in a real token: none without what the rules want, each on record so that the log alone proves it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from crypto.errors import Misconfigured
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import merkle
from formats.auditlog import verify_stream
from formats.canonical import canonical_json
from hsm.schemas import KeyState
from hsm.service import KeyService
from people.approvals import ApprovalService
from people.errors import ApprovalClosed, ApprovalForOther
from people.gate import ApprovalNeeded, QuorumGate
from people.schemas import Account, local_operator
from people.service import AccountService
from policies.authorise import Authoriser, NotAllowed
from store.audit import AuditLog, CheckpointKey
from tests.hsm_home import REGION, Home
from tests.officers import PASSWORD, Officer, add_passkey, officer

ORIGIN, HOST = "http://310000.localhost:8310", "310000.localhost"
OPERATOR = local_operator(REGION)


@dataclass
class Place:
    """A token, its keys behind the rules of production, and three officers."""

    home: Home
    keys: KeyService
    audit: AuditLog
    people: AccountService
    approvals: ApprovalService
    admin: Account
    officers: list[Officer]
    founding: bool = True

    def approved(self, action: str, target: str, by: tuple[int, ...] = (0, 1)) -> str:
        """An approval of what the step would do now."""
        step = self.keys.foresee(action, target)
        words = {"words_zh": step.words_zh, "words_en": step.words_en}
        asked = self.approvals.request(OPERATOR, action=step.action, subject=step.subject, statement=step.statement, **words)
        for number in by:
            self.officers[number].approve(self.approvals, asked["id"])
        return str(asked["id"])

    def verify(self) -> list[str]:
        """What an auditor finds who has nothing but the export and the checkpoint key."""
        key = SoftwareKey.generate(Suite.P256)
        self.audit.sequence(CheckpointKey("key_test", key))
        report = verify_stream(io.StringIO("".join(self.audit.export())), [key.public_key])
        assert report.size > 0
        return [finding.code for finding in report.findings if finding.code != "checkpoint-forged"]

    def edit(self, kind: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Write another leaf in place of the last one of a kind, before it is numbered, as whoever holds the database could."""
        with self.home.db.write() as session:
            found = sa.text("select id, body from audit_leaves where kind = :kind order by id desc limit 1")
            leaf, text = session.execute(found, {"kind": kind}).one()
            body = json.loads(text)
            change(body)
            text = canonical_json(body)
            values = {"body": text, "hash": merkle.leaf_hash(text.encode()).hex(), "id": leaf, "kind": body["kind"]}
            session.execute(
                sa.text("update audit_leaves set body = :body, leaf_hash = :hash, kind = :kind where id = :id"), values
            )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    home = Home(tmp_path / "home")
    audit = AuditLog(home.db, REGION)
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    people = AccountService(home.db, audit, REGION, base_url=ORIGIN, hasher=cheap)
    approvals = ApprovalService(home.db, audit, Authoriser("production"), REGION, passkeys=people.passkeys)
    admin = people.create("admin", PASSWORD, roles={"administrator"})
    made = Place(home, home.keys, audit, people, approvals, admin, [])
    home.keys.audit = audit
    home.keys.gate = QuorumGate(approvals, founding=lambda _: made.founding)
    made.officers = [officer(people, approvals, name, admin) for name in ("chen", "li")]
    yield made
    home.close()


def founded(place: Place) -> str:
    """An active timestamp key from the founding, which is over then; the key's identifier."""
    key = place.keys.activate(place.keys.stage(place.keys.create_role("tsa", "p256", "tsa").id).id)
    place.founding = False
    with place.home.db.write() as session:
        subject, data = {"node": "node"}, {"mode": "production", "quorum": 2}
        place.audit.append(
            session, kind="node.founded", actor="local-operator", subject=subject, data=data, rule="run-the-node"
        )
    return key.id


def rotated(place: Place, **more: Any) -> str:
    """The next key, staged and active by quorum; its identifier."""
    first = founded(place)
    role = place.keys.generation(first).role_id
    staged = place.keys.stage(role, actor=OPERATOR, approval=place.approved("key.stage", role))
    place.keys.activate(staged.id, actor=OPERATOR, approval=place.approved("key.activate", staged.id, **more))
    return staged.id


def test_each_step_of_a_key_needs_its_own_approval_and_the_log_proves_them(place: Place) -> None:
    second = rotated(place)
    first = next(g for g in place.keys.generations(place.keys.generation(second).role_id) if g.number == 1)
    assert first.state is KeyState.draining
    officer_ = place.officers[0].account
    place.keys.retire(first.id, actor=officer_, approval=place.approved("key.retire", first.id))
    place.keys.destroy(first.id, actor=officer_, approval=place.approved("key.destroy", first.id))
    assert place.keys.generation(first.id).state is KeyState.destroyed
    assert place.verify() == []
    with place.home.db.read() as session:
        rows = session.execute(sa.text("select kind, rule from audit_leaves where kind like 'key.%' order by id")).all()
    assert [tuple(row) for row in rows] == [
        ("key.role-created", "keys-while-founding"),
        ("key.staged", "keys-while-founding"),
        ("key.activated", "keys-while-founding"),
        ("key.staged", "keys-by-quorum"),
        ("key.draining", None),
        ("key.activated", "keys-by-quorum"),
        ("key.retired", "keys-by-quorum"),
        ("key.destroyed", "keys-by-quorum"),
    ]


def test_no_step_without_an_approval_whoever_asks(place: Place) -> None:
    key = founded(place)
    role = place.keys.generation(key).role_id
    for actor in (OPERATOR, place.officers[0].account):
        with pytest.raises(ApprovalNeeded):
            place.keys.stage(role, actor=actor)
        with pytest.raises(ApprovalNeeded):
            place.keys.retire(key, actor=actor)
    for actor in (place.admin, "system"):
        with pytest.raises(NotAllowed):
            place.keys.retire(key, actor=actor)
    with pytest.raises(NotAllowed):  # an approval does not make an administrator an officer, and is not spent by the attempt
        place.keys.retire(key, actor=place.admin, approval=(granted := place.approved("key.retire", key)))
    with pytest.raises(ValueError, match="actor"):  # an account's identifier does not pass for the node itself
        place.keys.retire(key, actor=place.officers[0].account.id)
    assert len(place.keys.generations(role)) == 1
    assert place.keys.generation(key).state is KeyState.active
    assert place.approvals.show(OPERATOR, granted)["status"] == "granted"
    stopped = place.keys.retire(key, actor=place.officers[0].account, compromised=True)
    assert stopped.state is KeyState.retired, "one officer stops a key at once"


def test_an_approval_of_one_step_is_none_of_another(place: Place) -> None:
    second = rotated(place)
    role = place.keys.generation(second).role_id
    first = next(g.id for g in place.keys.generations(role) if g.number == 1)
    retire = place.approved("key.retire", first)
    with pytest.raises(ApprovalForOther):
        place.keys.retire(second, actor=OPERATOR, approval=retire)
    place.keys.retire(first, actor=OPERATOR, approval=retire)
    with pytest.raises(ApprovalClosed):
        place.keys.destroy(first, actor=OPERATOR, approval=retire)
    # What an approval was of has changed meanwhile: the key that was to give way is another one now.
    third = place.keys.stage(role, actor=OPERATOR, approval=place.approved("key.stage", role))
    stale = place.approved("key.activate", third.id)
    place.keys.retire(second, actor=OPERATOR, approval=place.approved("key.retire", second))
    with pytest.raises(ApprovalForOther):
        place.keys.activate(third.id, actor=OPERATOR, approval=stale)


def test_a_crash_between_approval_and_token_needs_no_second_approval(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    role = place.keys.generation(founded(place)).role_id
    approval = place.approved("key.stage", role)

    def crash(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(place.keys.custodian, "generate", crash)
    with pytest.raises(KeyboardInterrupt):
        place.keys.stage(role, actor=OPERATOR, approval=approval)
    monkeypatch.undo()
    staged = place.keys.stage(role, actor=OPERATOR)
    approval = place.approved("key.destroy", staged.id)
    monkeypatch.setattr(place.keys.custodian, "destroy", crash)
    with pytest.raises(KeyboardInterrupt):
        place.keys.destroy(staged.id, actor=OPERATOR, approval=approval)
    monkeypatch.undo()
    assert place.keys.destroy(staged.id, actor=OPERATOR).state is KeyState.destroyed
    assert place.verify() == []


def test_the_node_makes_first_keys_of_seals_once_three_officers_watch(place: Place) -> None:
    founded(place)
    with pytest.raises(NotAllowed, match="three officers"):
        place.keys.create_role("seal_holder", "p256", "公章")
    third = officer(place.people, place.approvals, "wang", None)
    (proposed,) = place.approvals.keys.list(place.admin, account=third.account.id)
    place.approvals.keys.confirm(OPERATOR, proposed["id"])
    seal = place.keys.activate(place.keys.stage(place.keys.create_role("seal_holder", "p256", "公章").id).id)
    with pytest.raises(NotAllowed):
        place.keys.stage(seal.role_id)  # the second key of a seal is a rotation
    with pytest.raises(NotAllowed):
        place.keys.create_role("issuing_ca", "p256", "another CA")
    assert place.verify() == []


def test_keys_of_production_without_their_gate_do_nothing(place: Place) -> None:
    home = place.home
    bare = KeyService(home.db, lambda: home.keys.custodian, REGION, mode="production", audit=place.audit)
    with pytest.raises(Misconfigured):
        bare.create_role("receipt", "p256", "receipts")


FORGERIES: dict[str, tuple[str, Callable[[dict[str, Any]], None], set[str]]] = {
    "a signature": (
        "approval.used",
        lambda body: body["data"]["approvals"][0].update(signature="AAAA"),
        {"approval-forged"},
    ),
    "the statement": (
        "approval.used",
        lambda body: body["data"]["statement"]["statement"].update(number=9),
        {"approval-edited", "approval-forged", "approval-for-other"},
    ),
    "an approver left out": (
        "approval.used",
        lambda body: body["data"]["approvals"].pop(),
        {"approval-too-few"},
    ),
    "one approver twice": (
        "approval.used",
        lambda body: body["data"]["approvals"].__setitem__(1, body["data"]["approvals"][0]),
        {"approval-twice"},
    ),
    "another approver's name": (
        "approval.used",
        lambda body: body["data"]["approvals"][0].update(account="account_other"),
        {"approval-by-stranger"},
    ),
    "the step's key": (
        "key.activated",
        lambda body: body["subject"].update(key="key_other"),
        {"approval-for-other"},
    ),
    "the step's approval left out": (
        "key.activated",
        lambda body: body["data"].pop("approval"),
        {"step-without-approval"},
    ),
    "the step's rule left out": (
        "key.activated",
        lambda body: body.update(rule=None),
        {"step-without-rule"},
    ),
    "the step's rule for another": (
        "key.activated",
        lambda body: body.update(rule="keys-while-founding"),
        {"founding-is-over"},
    ),
    "practice in production": (
        "key.activated",
        lambda body: body.update(rule="keys-outside-production"),
        {"practice-in-production"},
    ),
    "a rule for first keys": (
        "key.activated",
        lambda body: body.update(rule="first-keys-by-the-node"),
        {"rule-too-wide"},
    ),
    "a rule for drills": (
        "key.activated",
        lambda body: body.update(rule="keys-in-drills"),
        {"rule-too-wide"},
    ),
    "no approval was used": (
        "approval.used",
        lambda body: body.update(kind="approval.seen"),
        {"approval-for-other"},
    ),
    "an officer who never was one": (
        "people.created",
        lambda body: body["data"].update(roles=["handler"]),
        {"approval-by-stranger"},
    ),
    "a key that nobody confirmed": (
        "people.officer-key-confirmed",
        lambda body: body.update(kind="people.officer-key-seen"),
        {"approval-by-stranger"},
    ),
    "a key confirmed by its holder": (
        "people.officer-key-confirmed",
        lambda body: body.update(actor=body["subject"]["account"]),
        {"officer-key-own"},
    ),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_whoever_forges_before_the_log_is_signed_is_found_from_the_export_alone(place: Place, what: str) -> None:
    """The tree protects what is signed; these leaves are forged before that, and the approvals do not fit."""
    rotated(place)
    kind, change, expected = FORGERIES[what]
    place.edit(kind, change)
    assert set(place.verify()) == expected


def test_a_proof_of_an_approval_is_checked_signature_by_signature(place: Place) -> None:
    rotated(place)
    key = SoftwareKey.generate(Suite.P256)
    place.audit.sequence(CheckpointKey("key_test", key))
    with place.home.db.read() as session:
        leaf = session.execute(sa.text("select id from audit_leaves where kind = 'approval.used' limit 1")).scalar_one()
    proof = place.audit.prove(leaf)
    assert verify_stream(io.StringIO(json.dumps(proof)), [key.public_key]).ok
    # A log whose keeper signed a forged leaf proves it all the same; the officers' signatures do not hold.
    place.edit("approval.used", lambda body: body["data"]["approvals"][0].update(signature="AAAA"))
    with place.home.db.write() as session:
        for table in ("audit_checkpoints", "audit_heads", "audit_nodes"):
            session.execute(sa.text(f"delete from {table}"))
        session.execute(sa.text("update audit_leaves set seq = null"))
        used = sa.text("select id from audit_leaves where kind = 'approval.used' order by id desc limit 1")
        leaf = session.execute(used).scalar_one()
    place.audit.sequence(CheckpointKey("key_test", key))
    report = verify_stream(io.StringIO(json.dumps(place.audit.prove(leaf))), [key.public_key])
    assert [finding.code for finding in report.findings] == ["approval-forged"]


def test_the_log_knows_an_officer_or_key_that_was_gone_and_an_approval_used_twice(place: Place) -> None:
    rotated(place)
    with place.home.db.write() as session:
        rows = (
            session.execute(sa.text("select body from audit_leaves where kind = 'approval.used' order by id")).scalars().all()
        )
        body = json.loads(rows[-1])
        again = {"kind": "approval.used", "actor": "local-operator", "subject": body["subject"], "data": body["data"]}
        place.audit.append(session, rule="keys-by-quorum", **again)
    assert place.verify() == ["approval-replayed"]


def test_passkeys_are_checked_again_from_the_log_too(place: Place) -> None:
    add_passkey(place.people, place.approvals, place.officers[0], OPERATOR, ORIGIN, HOST)
    key, one = place.officers[0].passkey, place.officers[0]
    role = place.keys.generation(founded(place)).role_id
    approval = place.approved("key.stage", role, by=(1,))
    assert key is not None
    proof = key.get(place.approvals.passkey_options(one.account, approval))
    place.approvals.sign_with_passkey(one.account, approval, proof, origin=ORIGIN)
    place.keys.stage(role, actor=one.account, approval=approval)
    assert place.verify() == []
    rotated_body: list[str] = []

    def touched_only(body: dict[str, Any]) -> None:
        from formats.approvals import pack, unpack

        for entry in body["data"]["approvals"]:
            if entry["kind"] == "passkey":
                data = bytearray(unpack(entry["authenticator_data"]))
                data[32] &= ~0x04
                entry["authenticator_data"] = pack(bytes(data))
                rotated_body.append("yes")

    with place.home.db.write() as session:
        session.execute(sa.text("delete from audit_checkpoints"))
        session.execute(sa.text("delete from audit_heads"))
        session.execute(sa.text("delete from audit_nodes"))
        session.execute(sa.text("update audit_leaves set seq = null"))
    place.edit("approval.used", touched_only)
    assert place.verify() == ["approval-forged"]
    assert rotated_body == ["yes"]
