"""Approvals by quorum: what officers sign is what happens, once, and every way round it is closed."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats.approvals import BadSignature, check_evidence
from people.approvals import ApprovalService, Evidence
from people.errors import (
    AlreadyApproved,
    ApprovalClosed,
    ApprovalForOther,
    ApprovalShort,
    NoSuchApproval,
    OfficerKeyRefused,
    PasskeyRefused,
)
from people.schemas import Account, local_operator
from people.service import AccountService
from policies.authorise import Authoriser, NotAllowed
from store.audit import AuditLog
from store.db import Database
from tests.officers import PASSWORD, Officer, add_passkey, certificate, officer

ORIGIN, HOST = "http://310000.localhost:8310", "310000.localhost"
ACTION, SUBJECT = "key.activate", {"role": "role_1", "key": "key_2"}
STATEMENT = {"purpose": "seal_holder", "suite": "sm2", "number": 2, "status": "staged", "public_key_sha256": "ab" * 32}
OTHER = {**STATEMENT, "public_key_sha256": "cd" * 32}
ON_POSTGRESQL = {
    "test_two_officers_approve_and_the_step_happens_once",
    "test_an_officer_removed_meanwhile_counts_no_more",
    "test_attack_an_approval_spent_by_several_at_once",
}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class World:
    db: Database
    clock: Clock
    people: AccountService
    approvals: ApprovalService
    admin: Account

    def ask(self, who: Officer | None = None, statement: dict[str, Any] | None = None, **more: Any) -> str:
        actor = who.account if who else local_operator("310000")
        words = {"words_zh": "启用第 2 代密钥。", "words_en": "Activate generation 2."}
        made = self.approvals.request(actor, action=ACTION, subject=SUBJECT, statement=statement or STATEMENT, **words, **more)
        return str(made["id"])

    def spend(self, approval: str, statement: dict[str, Any] | None = None, service: ApprovalService | None = None) -> Evidence:
        service = service or self.approvals
        return self.db.run(
            lambda session: service.demand(session, approval, ACTION, SUBJECT, statement or STATEMENT, actor="local-operator")
        )

    def leaves(self, kind: str) -> list[dict[str, Any]]:
        with self.db.read() as session:
            found = sa.text("select body from audit_leaves where kind = :kind order by id")
            return [json.loads(body) for (body,) in session.execute(found, {"kind": kind})]


def world_of(database: Database, mode: str = "production", region: str = "310000", name: str = "admin") -> World:
    clock, audit = Clock(), AuditLog(database, region)
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    people = AccountService(database, audit, region, base_url=ORIGIN, hasher=cheap, now=clock)
    approvals = ApprovalService(database, audit, Authoriser(mode), region, passkeys=people.passkeys, now=clock)
    admin = people.create(name, PASSWORD, roles={"administrator"})
    return World(database, clock, people, approvals, admin)


@pytest.fixture
def world(database: Database) -> World:
    return world_of(database)


@pytest.fixture
def officers(world: World) -> list[Officer]:
    return [officer(world.people, world.approvals, "chen", world.admin), _second(world), _third(world)]


def _second(world: World) -> Officer:
    return officer(world.people, world.approvals, "li", world.admin, Suite.RSA)


def _third(world: World) -> Officer:
    """From the third on a key needs two officers' approval, so the operator at the console confirms here."""
    one = officer(world.people, world.approvals, "wang", None, Suite.SM2)
    (proposed,) = world.approvals.keys.list(world.admin, account=one.account.id)
    world.approvals.keys.confirm(local_operator("310000"), proposed["id"])
    return one


def test_two_officers_approve_and_the_step_happens_once(world: World, officers: list[Officer]) -> None:
    approval = world.ask(officers[0])
    assert world.ask(officers[1]) == approval, "the same step asked again is the same request"
    officers[0].approve(world.approvals, approval)
    with pytest.raises(ApprovalShort) as short:
        world.spend(approval)
    assert short.value.detail == {"approval": approval, "found": 1, "needed": 2}
    shown = officers[2].approve(world.approvals, approval)
    assert (shown["status"], [one["counts"] for one in shown["given"]]) == ("granted", [True, True])
    evidence = world.spend(approval)
    assert (evidence.count, evidence.digest) == (2, shown["digest"])
    (leaf,) = world.leaves("approval.used")
    assert leaf["data"] == evidence.document
    assert leaf["subject"] == {"approval": approval, **SUBJECT}
    assert check_evidence(leaf["data"], region="310000", at=world.clock.now) == []
    assert "样本" not in json.dumps(leaf, ensure_ascii=False), "names stay out of the log"
    assert world.approvals.show(officers[1].account, approval)["status"] == "used"


def test_every_suite_and_form_of_signature_approves_and_is_checked_again(world: World, officers: list[Officer]) -> None:
    for one in officers:
        approval = world.ask(statement={**STATEMENT, "number": 3 + officers.index(one)})
        raw = one.key.sign(world.approvals.document(one.account, approval))
        world.approvals.sign_with_certificate(one.account, approval, raw)
        other = officers[officers.index(one) - 1]
        other.approve(world.approvals, approval)
        world.spend(approval, {**STATEMENT, "number": 3 + officers.index(one)})
    forms = [entry["format"] for leaf in world.leaves("approval.used") for entry in leaf["data"]["approvals"]]
    assert sorted(forms) == ["cms"] * 3 + ["raw"] * 3
    for leaf in world.leaves("approval.used"):
        assert check_evidence(leaf["data"], region="310000", at=world.clock.now) == []


def test_a_signature_by_openssl_is_taken(world: World, officers: list[Officer], tmp_path: Path) -> None:
    approval = world.ask()
    (tmp_path / "s.json").write_bytes(world.approvals.document(officers[1].account, approval))
    (tmp_path / "key.der").write_bytes(officers[1].key.to_pkcs8())
    (tmp_path / "cert.pem").write_text(officers[1].certificate.pem())
    command = ["openssl", "cms", "-sign", "-binary", "-in", "s.json", "-signer", "cert.pem", "-inkey", "key.der"]
    command += ["-keyform", "DER", "-outform", "DER", "-out", "s.p7s"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    shown = world.approvals.sign_with_certificate(officers[1].account, approval, (tmp_path / "s.p7s").read_bytes())
    assert [one["account"] for one in shown["given"]] == [officers[1].account.id]


def test_a_passkey_approves_over_the_digest_itself(world: World, officers: list[Officer]) -> None:
    key = _passkey(world, officers[0])
    approval = world.ask()
    options = world.approvals.passkey_options(officers[0].account, approval)
    assert [one["id"] for one in options["allowCredentials"]] == [key.id]
    proof = key.get(options)
    world.approvals.sign_with_passkey(officers[0].account, approval, proof, origin=ORIGIN)
    officers[1].approve(world.approvals, approval)
    evidence = world.spend(approval)
    assert sorted(entry["kind"] for entry in evidence.document["approvals"]) == ["certificate", "passkey"]
    assert check_evidence(evidence.document, region="310000", at=world.clock.now) == []


def _passkey(world: World, one: Officer) -> Any:
    add_passkey(world.people, world.approvals, one, local_operator("310000"), ORIGIN, HOST)
    return one.passkey


def test_attack_an_approval_replayed(world: World, officers: list[Officer]) -> None:
    approval = world.ask()
    for one in officers[:2]:
        one.approve(world.approvals, approval)
    world.spend(approval)
    with pytest.raises(ApprovalClosed, match="used"):
        world.spend(approval)
    again = world.ask()
    assert again != approval
    signature = officers[0].cms(world.approvals.document(officers[0].account, approval))
    with pytest.raises(BadSignature):  # the signature of the first, for the second of the very same step
        world.approvals.sign_with_certificate(officers[0].account, again, signature)
    with world.db.write() as session:  # and put straight into the database
        session.execute(sa.text("update approvals set status = 'open' where id = :id"), {"id": approval})
        session.execute(
            sa.text("update approval_signatures set approval_id = :again where approval_id = :id"),
            {"again": again, "id": approval},
        )
    with pytest.raises(ApprovalForOther):
        world.spend(again)


def test_attack_an_approval_spent_by_several_at_once(world: World, officers: list[Officer]) -> None:
    approval = world.ask()
    for one in officers[:2]:
        one.approve(world.approvals, approval)
    ready, outcomes = threading.Barrier(4), []

    def spend() -> None:
        ready.wait()
        try:
            outcomes.append(world.spend(approval).count)
        except ApprovalClosed:
            outcomes.append(0)

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [0, 0, 0, 2]
    assert len(world.leaves("approval.used")) == 1


def test_attack_a_passkey_proof_replayed_for_another_request(world: World, officers: list[Officer]) -> None:
    key = _passkey(world, officers[0])
    first, second = world.ask(), world.ask(statement=OTHER)
    proof = key.get(world.approvals.passkey_options(officers[0].account, first))
    with pytest.raises(PasskeyRefused):
        world.approvals.sign_with_passkey(officers[0].account, second, proof, origin=ORIGIN)
    options, ticket = world.people.passkeys.begin_sign_in()
    sign_in = key.get(options)  # made to sign in, used to approve
    with pytest.raises(PasskeyRefused):
        world.approvals.sign_with_passkey(officers[0].account, first, sign_in, origin=ORIGIN)
    assert ticket
    key.verified = False
    with pytest.raises(PasskeyRefused):  # touched, but neither finger nor PIN
        world.approvals.sign_with_passkey(
            officers[0].account, first, key.get(world.approvals.passkey_options(officers[0].account, first)), origin=ORIGIN
        )


def test_attack_an_approval_for_a_changed_request(world: World, officers: list[Officer]) -> None:
    approval = world.ask()
    for one in officers[:2]:
        one.approve(world.approvals, approval)
    with pytest.raises(ApprovalForOther):
        world.spend(approval, OTHER)
    with pytest.raises(ApprovalForOther):
        world.db.run(lambda s: world.approvals.demand(s, approval, "key.destroy", SUBJECT, STATEMENT, actor="x"))
    with pytest.raises(ApprovalForOther):
        world.db.run(lambda s: world.approvals.demand(s, approval, ACTION, {**SUBJECT, "key": "key_3"}, STATEMENT, actor="x"))
    with world.db.write() as session:  # the stored text and its digest edited to fit another step
        row = session.execute(sa.text("select document from approvals where id = :id"), {"id": approval}).scalar_one()
        document = json.loads(row) | {"statement": OTHER}
        from formats.approvals import digest_of
        from formats.canonical import canonical_json

        values = {"d": canonical_json(document), "h": digest_of(document).hex(), "id": approval}
        session.execute(sa.text("update approvals set document = :d, digest = :h where id = :id"), values)
    with pytest.raises(ApprovalForOther):
        world.spend(approval, OTHER)
    assert world.leaves("approval.used") == []


def test_attack_one_officer_approving_twice(world: World, officers: list[Officer]) -> None:
    key = _passkey(world, officers[0])
    approval = world.ask()
    officers[0].approve(world.approvals, approval)
    with pytest.raises(AlreadyApproved):
        officers[0].approve(world.approvals, approval)
    proof = key.get(world.approvals.passkey_options(officers[0].account, approval))
    with pytest.raises(AlreadyApproved):
        world.approvals.sign_with_passkey(officers[0].account, approval, proof, origin=ORIGIN)
    with pytest.raises(ApprovalShort):
        world.spend(approval)
    # The same key under a second account: two accounts, one pair of hands.
    twin = world.people.create("twin", PASSWORD, roles={"officer"})
    challenge = world.approvals.keys.challenge(twin, officers[0].certificate.der)
    with pytest.raises(OfficerKeyRefused):
        world.approvals.keys.propose_certificate(twin, officers[0].certificate.der, officers[0].key.sign(challenge))


def test_an_officer_removed_meanwhile_counts_no_more(world: World, officers: list[Officer]) -> None:
    """Attack: an approval by an officer who was removed meanwhile."""
    approval = world.ask()
    for one in officers[:2]:
        one.approve(world.approvals, approval)
    assert world.approvals.show(officers[2].account, approval)["status"] == "granted"
    world.people.set_roles("li", {"handler"}, actor=world.admin.id)
    shown = world.approvals.show(officers[2].account, approval)
    counting = {one["name"]: one["counts"] for one in shown["given"]}
    assert (shown["status"], counting) == ("open", {"样本 chen": True, "样本 li": False})
    with pytest.raises(ApprovalShort):
        world.spend(approval)
    world.people.set_roles("li", {"officer"}, actor=world.admin.id)
    world.people.set_status("li", "disabled", actor=world.admin.id)
    with pytest.raises(ApprovalShort):
        world.spend(approval)
    officers[2].approve(world.approvals, approval)
    evidence = world.spend(approval)
    accounts = {entry["account"] for entry in evidence.document["approvals"]}
    assert accounts == {officers[0].account.id, officers[2].account.id}, "only those who are officers stand in the evidence"


def test_attack_an_approval_with_a_key_removed_meanwhile(world: World, officers: list[Officer]) -> None:
    key_id = add_passkey(world.people, world.approvals, officers[0], local_operator("310000"), ORIGIN, HOST)
    assert officers[0].passkey is not None
    approval = world.ask()
    options = world.approvals.passkey_options(officers[0].account, approval)
    world.approvals.sign_with_passkey(officers[0].account, approval, officers[0].passkey.get(options), origin=ORIGIN)
    officers[1].approve(world.approvals, approval)
    world.approvals.keys.remove(world.admin, key_id)
    with pytest.raises(ApprovalShort):
        world.spend(approval)


def test_attack_an_expired_approval(world: World, officers: list[Officer]) -> None:
    approval = world.ask(hours=1)
    for one in officers[:2]:
        one.approve(world.approvals, approval)
    world.clock.now += timedelta(hours=1)
    assert world.approvals.show(officers[0].account, approval)["status"] == "expired"
    with pytest.raises(ApprovalClosed, match="expired"):
        world.spend(approval)
    with world.db.write() as session:  # a longer life, written into the row
        session.execute(sa.text("update approvals set expires_at = '2027-01-01 00:00:00' where id = :id"), {"id": approval})
    with pytest.raises(ApprovalForOther):
        world.spend(approval)


def test_attack_an_approval_of_another_region(world: World, officers: list[Officer]) -> None:
    approval = world.ask()
    for one in officers[:2]:
        one.approve(world.approvals, approval)
    other = world_of(world.db, region="320000", name="admin320")
    other.clock.now = world.clock.now
    with pytest.raises(NoSuchApproval):
        world.spend(approval, service=other.approvals)
    with world.db.write() as session:
        for table in ("approvals", "officer_keys", "accounts"):
            session.execute(sa.text(f"update {table} set region = '320000'"))
    with pytest.raises(ApprovalForOther):
        world.spend(approval, service=other.approvals)


def test_nobody_but_officers_approves(world: World, officers: list[Officer]) -> None:
    approval = world.ask()
    message = world.approvals.document(officers[0].account, approval)
    auditor = world.people.create("auditor", PASSWORD, roles={"auditor"})
    for who in (world.admin, auditor, local_operator("310000")):
        with pytest.raises(NotAllowed):
            world.approvals.sign_with_certificate(who, approval, officers[0].cms(message))
    # Another officer's signature under one's own name.
    with pytest.raises(BadSignature):
        world.approvals.sign_with_certificate(officers[1].account, approval, officers[0].cms(message))


def test_a_key_counts_after_officer_and_administrator_both_said_so(world: World) -> None:
    lone = officer(world.people, world.approvals, "chen", None)
    approval = world.ask()
    with pytest.raises(ApprovalShort, match="confirmed"):
        lone.approve(world.approvals, approval)
    (proposed,) = world.approvals.keys.list(lone.account, account=lone.account.id)
    with pytest.raises(NotAllowed):
        world.approvals.keys.confirm(lone.account, proposed["id"])
    world.approvals.keys.confirm(world.admin, proposed["id"])
    lone.approve(world.approvals, approval)
    other = SoftwareKey.generate(Suite.P256)
    with pytest.raises(NotAllowed):
        world.approvals.keys.propose_certificate(world.admin, certificate(other, "admin").der, b"x")


def test_an_administrator_alone_makes_no_quorum(world: World, officers: list[Officer]) -> None:
    """Once there was a quorum, a further key needs two officers; removing keys does not lead back to the beginning."""
    new = officer(world.people, world.approvals, "mallory", None)
    (proposed,) = world.approvals.keys.list(world.admin, account=new.account.id)
    with pytest.raises(NotAllowed):
        world.approvals.keys.confirm(world.admin, proposed["id"])
    for one in officers:
        for key in world.approvals.keys.list(world.admin, account=one.account.id):
            if one is not officers[0] and one is not officers[1]:
                world.approvals.keys.remove(world.admin, key["id"])
    with pytest.raises(NotAllowed):
        world.approvals.keys.confirm(world.admin, proposed["id"])
    assert proposed["approval"] is not None, "the officers were asked when the key was put forward"
    for one in officers[:2]:
        one.approve(world.approvals, proposed["approval"])
    confirmed = world.approvals.keys.confirm(world.admin, proposed["id"], approval=proposed["approval"])
    assert confirmed["status"] == "confirmed"
    assert world.leaves("people.officer-key-confirmed")[-1]["rule"] == "further-officer-keys"


def test_a_refused_or_withdrawn_request_is_over(world: World, officers: list[Officer]) -> None:
    refused, withdrawn = world.ask(), world.ask(statement=OTHER)
    for approval in (refused, withdrawn):
        for one in officers[:2]:
            one.approve(world.approvals, approval)
    assert world.approvals.refuse(officers[2].account, refused, reason="not today")["status"] == "refused"
    assert world.approvals.withdraw(officers[0].account, withdrawn)["status"] == "withdrawn"
    for approval, statement in ((refused, STATEMENT), (withdrawn, OTHER)):
        with pytest.raises(ApprovalClosed):
            world.spend(approval, statement)
    items, more = world.approvals.list(officers[0].account, limit=1)
    assert (len(items), more) == (1, withdrawn)
    assert world.approvals.list(officers[0].account, cursor=more)[0][0]["id"] == refused
