"""Passkeys: enrolled, used to sign in and to say yes to something exact, removed; and every way in which one must fail."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from people.errors import BadPasskey, NoSuchPasskey, PasskeyRefused, SignInAgain, TicketOver, WrongOrigin
from people.schemas import Account
from people.service import AccountService
from store.audit import AuditLog
from store.db import Database
from tests.soft_passkey import SoftPasskey

ORIGIN, HOST = "http://310000.localhost:8310", "310000.localhost"
DIGEST = sha256(b"activate generation 2 of the seal holder key").digest()
ON_POSTGRESQL = {"test_a_passkey_signs_its_owner_in", "test_a_counter_that_went_back_is_refused"}


class Clock:
    now = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def people(database: Database) -> AccountService:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    audit = AuditLog(database, "310000")
    return AccountService(database, audit, "310000", base_url=ORIGIN, hasher=cheap, now=Clock())


@pytest.fixture
def officer(people: AccountService) -> Account:
    return people.create("officer1", "correct horse battery", roles={"officer"}, display_name="样本 甲")


def enrolled(people: AccountService, account: Account, key: SoftPasskey | None = None) -> SoftPasskey:
    key = key or SoftPasskey(ORIGIN, HOST)
    options, ticket = people.passkeys.begin_enrolment(account)
    people.passkeys.finish_enrolment(account, ticket, key.create(options), name="钥匙", origin=ORIGIN)
    return key


def leaves(people: AccountService, kind: str) -> list[dict[str, object]]:
    with people.db.read() as session:
        rows = session.execute(sa.text("select body from audit_leaves where kind = :kind order by id"), {"kind": kind})
        return [json.loads(body) for (body,) in rows]


def test_a_passkey_signs_its_owner_in(people: AccountService, officer: Account) -> None:
    key = enrolled(people, officer)
    options, ticket = people.passkeys.begin_sign_in()
    assert options["userVerification"] == "required"
    proved = people.passkeys.finish_sign_in(ticket, key.get(options), origin=ORIGIN)
    assert proved.account_id == officer.id
    assert people.passkeys.owned(officer.id)[0].used_at == Clock.now
    signed_in = people.open_session(people.get(proved.account_id), method="passkey", agent="Chromium")
    (shown,) = people.sessions(officer.id, current=signed_in.token)
    assert (shown.method, shown.current) == ("passkey", True)


def test_a_proof_over_a_digest_says_whose_it_is_and_carries_what_checks_it_again(
    people: AccountService, officer: Account
) -> None:
    other = people.create("officer2", "correct horse battery", roles={"officer"})
    key = enrolled(people, officer)
    enrolled(people, other)
    options = people.passkeys.options_for_assertion([officer.id], DIGEST)
    assert [one["id"] for one in options["allowCredentials"]] == [key.id]
    proved = people.passkeys.verify_assertion(key.get(options), DIGEST, ORIGIN)
    assert (proved.account_id, proved.credential_id) == (officer.id, key.id)
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    signed = proved.authenticator_data + sha256(proved.client_data).digest()
    key.key.public_key().verify(proved.signature, signed, ec.ECDSA(SHA256()))
    (leaf,) = [one for one in leaves(people, "people.passkey-added") if one["subject"]["account"] == officer.id]  # type: ignore[index]
    assert leaf["data"]["credential"] == key.id  # type: ignore[index]


def test_a_proof_over_something_else_or_used_twice_is_refused(people: AccountService, officer: Account) -> None:
    key = enrolled(people, officer)
    proof = key.over(DIGEST)
    with pytest.raises(PasskeyRefused):
        people.passkeys.verify_assertion(proof, sha256(b"another step").digest(), ORIGIN)
    people.passkeys.verify_assertion(proof, DIGEST, ORIGIN)
    with pytest.raises(PasskeyRefused):
        people.passkeys.verify_assertion(proof, DIGEST, ORIGIN)


def test_a_sign_in_counts_once_and_not_for_long(people: AccountService, officer: Account) -> None:
    key = enrolled(people, officer)
    options, ticket = people.passkeys.begin_sign_in()
    people.passkeys.finish_sign_in(ticket, key.get(options), origin=ORIGIN)
    with pytest.raises(TicketOver):
        people.passkeys.finish_sign_in(ticket, key.get(options), origin=ORIGIN)
    options, ticket = people.passkeys.begin_sign_in()
    people.passkeys._now = lambda: Clock.now + timedelta(minutes=11)
    with pytest.raises(TicketOver):
        people.passkeys.finish_sign_in(ticket, key.get(options), origin=ORIGIN)


def test_a_touch_without_finger_or_pin_is_refused(people: AccountService, officer: Account) -> None:
    options, ticket = people.passkeys.begin_enrolment(officer)
    key = SoftPasskey(ORIGIN, HOST, verified=False)
    with pytest.raises(BadPasskey):
        people.passkeys.finish_enrolment(officer, ticket, key.create(options), name="钥匙", origin=ORIGIN)
    key = enrolled(people, officer)
    key.verified = False
    with pytest.raises(PasskeyRefused):
        people.passkeys.verify_assertion(key.over(DIGEST), DIGEST, ORIGIN)


def test_a_counter_that_went_back_is_refused(people: AccountService, officer: Account) -> None:
    key = enrolled(people, officer)
    for _ in range(3):
        people.passkeys.verify_assertion(key.over(DIGEST), DIGEST, ORIGIN)
    key.counter = 1
    with pytest.raises(PasskeyRefused):
        people.passkeys.verify_assertion(key.over(DIGEST), DIGEST, ORIGIN)


def test_pages_of_another_address_get_nothing(people: AccountService, officer: Account) -> None:
    key = enrolled(people, officer)
    for origin in ("http://evil.localhost:8310", "http://310000.localhost:9999", "http://x.310000.localhost:8310", "null", ""):
        with pytest.raises(WrongOrigin):
            people.passkeys.verify_assertion(key.over(DIGEST), DIGEST, origin)
    foreign = SoftPasskey("http://evil.localhost:8310", HOST, credential_id=key.credential_id, key=key.key, counter=50)
    with pytest.raises(PasskeyRefused):
        people.passkeys.verify_assertion(foreign.over(DIGEST), DIGEST, ORIGIN)
    people.any_port = True
    del people.__dict__["passkeys"]
    assert people.passkeys.check_origin("http://310000.localhost:9999")
    with pytest.raises(WrongOrigin):
        people.passkeys.check_origin("http://310000.localhost.evil.example")


def test_a_removed_passkey_and_one_of_a_disabled_account_prove_nothing(people: AccountService, officer: Account) -> None:
    key, second = enrolled(people, officer), enrolled(people, officer)
    first = people.passkeys.owned(officer.id)[0]
    other = people.create("officer2", "correct horse battery", roles={"officer"})
    with pytest.raises(NoSuchPasskey):
        people.passkeys.remove(other.id, first.id, actor=other.id)
    people.passkeys.remove(officer.id, first.id, actor=officer.id)
    with pytest.raises(PasskeyRefused):
        people.passkeys.verify_assertion(key.over(DIGEST), DIGEST, ORIGIN)
    people.passkeys.verify_assertion(second.over(DIGEST), DIGEST, ORIGIN)
    people.set_status("officer1", "disabled", actor="local-operator")
    with pytest.raises(PasskeyRefused):
        people.passkeys.verify_assertion(second.over(DIGEST), DIGEST, ORIGIN)
    assert len(leaves(people, "people.passkey-removed")) == 1


def test_one_passkey_belongs_to_one_account(people: AccountService, officer: Account) -> None:
    key = enrolled(people, officer)
    other = people.create("officer2", "correct horse battery", roles={"officer"})
    with pytest.raises(BadPasskey):
        enrolled(people, other, key)
    _, ticket = people.passkeys.begin_enrolment(officer)
    options, _ = people.passkeys.begin_enrolment(other)
    with pytest.raises(BadPasskey):
        people.passkeys.finish_enrolment(other, ticket, SoftPasskey(ORIGIN, HOST).create(options), name="钥匙", origin=ORIGIN)


@pytest.mark.parametrize("given", ["", "{}", "[]", "null", '{"id": 1}', '{"id": "x", "rawId": "x", "response": []}'])
def test_what_no_browser_sends_is_refused_in_words(people: AccountService, officer: Account, given: str) -> None:
    with pytest.raises(PasskeyRefused):
        people.passkeys.verify_assertion(given, DIGEST, ORIGIN)
    _, ticket = people.passkeys.begin_enrolment(officer)
    with pytest.raises(BadPasskey):
        people.passkeys.finish_enrolment(officer, ticket, given, name="钥匙", origin=ORIGIN)


def test_a_session_opened_long_ago_adds_no_passkey(people: AccountService, officer: Account) -> None:
    token = people.open_session(officer).token
    people.need_fresh(token)
    people._now = lambda: Clock.now + timedelta(minutes=31)
    with pytest.raises(SignInAgain):
        people.need_fresh(token)
    with pytest.raises(SignInAgain):
        people.need_fresh("nobody's")


def test_people_are_called_by_their_names(people: AccountService, officer: Account) -> None:
    assert people.display_names([officer.id, "local-operator", "nobody"]) == {officer.id: "样本 甲"}
