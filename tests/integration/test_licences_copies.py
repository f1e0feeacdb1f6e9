"""Licences on phones: bound to the phone's key, signed once in two forms, renewed, and void as soon as they should be."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from crypto.errors import XinyinError
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import codes, sdjwt
from licences.copies import NoSuchCopy, PhoneLost
from licences.holding_models import ChallengeRow, CopyRow
from licences.proofs import BadProof
from licences.service import NoSuchLicence
from policies.authorise import NotAllowed
from records import agreement
from store.intents import IdempotencyMismatch
from store.models import AuditLeafRow, KeyUseRow
from tests.integration.holdings_world import BASE_URL, Holdings, Someone
from tests.integration.seals_world import OPERATOR, REGION, staff
from tests.soft_phone import SoftPhone


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    return Holdings(tmp_path_factory.mktemp("holdings"))


@pytest.fixture(scope="module")
def owner(world: Holdings) -> Someone:
    return world.someone("样本 李店主")


@pytest.fixture
def licence(world: Holdings, owner: Someone) -> dict[str, Any]:
    return world.business(owner)


def test_the_representative_puts_the_licence_on_a_phone_in_two_forms_bound_to_its_key(
    world: Holdings, owner: Someone, licence: dict[str, Any]
) -> None:
    (listed,) = [one for one in world.copies.of(owner.citizen) if one["id"] == licence["id"]]
    assert (listed["role"], listed["download"]["allowed"], listed["status"]) == ("representative", True, "in-force")
    copy = world.download(owner, licence)
    now, keys = world.world.now(), [world.issuer.public_key]
    compact = codes.read_credential(base64.urlsafe_b64decode(copy["credential"] + "=="))
    assert compact.verify(world.issuer.public_key)
    assert compact.claims.key.fingerprint == owner.phone.key.public_key.fingerprint
    assert (compact.claims.subject, compact.claims.role, compact.claims.bearer) == (
        licence["identifier"],
        "representative",
        owner.name,
    )
    vc = sdjwt.verify(copy["sd_jwt"], keys, at=now)
    assert sdjwt.check_vc(vc) == "urn:xinyin:vct:business-licence"
    assert vc.claims["name"] == licence["holder"]
    assert vc.claims["cnf"] == {"jwk": owner.phone.jwk}
    assert vc.claims["iss"] == BASE_URL
    place = {"status_list": {"uri": copy["status"]["uri"], "idx": copy["status"]["idx"]}}
    assert vc.claims["status"] == place
    assert (compact.claims.status.uri, compact.claims.status.index) == (copy["status"]["uri"], copy["status"]["idx"])  # type: ignore[union-attr]
    assert world.published(copy) == 0
    assert world.state(owner, copy) == "in-force"
    assert sdjwt.present(copy["sd_jwt"], lambda path: path == ("name",)).count("~") == 2  # the rest is kept back


def test_both_forms_are_signed_within_one_attempt_of_one_intent(
    world: Holdings, owner: Someone, licence: dict[str, Any]
) -> None:
    copy = world.download(owner, licence)
    with world.world.db.read() as session:
        row = session.get_one(CopyRow, copy["id"])
        uses = session.scalars(sa.select(KeyUseRow).where(KeyUseRow.intent_id == row.intent_id)).all()
    assert [(use.generation_id, use.attempt) for use in uses] == [(world.issuer.id, 1)] * 2


def test_the_same_request_again_gives_the_same_copy_and_another_does_not(
    world: Holdings, owner: Someone, licence: dict[str, Any]
) -> None:
    proof = owner.phone.proof(world.challenge(owner))
    first = world.download(owner, licence, proof=proof, idempotency_key="download-1")
    assert world.download(owner, licence, proof=proof, idempotency_key="download-1") == first
    with pytest.raises(IdempotencyMismatch):
        world.download(owner, world.business(owner), idempotency_key="download-1")


def test_the_same_key_renews_its_copy_in_the_same_place_of_the_status_list(
    world: Holdings, owner: Someone, licence: dict[str, Any]
) -> None:
    first = world.download(owner, licence)
    world.world.offset = timedelta(days=24)
    try:
        owner.phone.clock = 24 * 86400
        (listed,) = [one for one in world.copies.mine(owner.citizen) if one["id"] == first["id"]]
        assert (listed["state"], listed["renew"]) == ("in-force", True)
        second = world.download(owner, licence)
        assert (second["id"], second["status"]) == (first["id"], first["status"])
        assert second["expires_at"] > first["expires_at"]
        assert second["credential"] != first["credential"]
        world.world.offset = timedelta(days=60)
        (listed,) = [one for one in world.copies.mine(owner.citizen) if one["id"] == first["id"]]
        assert (listed["state"], listed["renew"], listed["usable"]) == ("due", True, True)
    finally:
        world.world.offset, owner.phone.clock = timedelta(), 0


def test_a_copy_lives_thirty_days_at_most_and_never_longer_than_licence_or_authorisation(
    world: Holdings, owner: Someone
) -> None:
    soon = (world.world.now() + timedelta(days=9)).date()
    short, licence, clerk = world.business(owner, valid_to=soon.isoformat()), world.business(owner), world.someone("王店员")
    now = world.world.now()
    assert timedelta(days=29, hours=23) < _ends(world.download(owner, licence)) - now <= timedelta(days=30, minutes=1)
    assert _ends(world.download(owner, short)) - now < timedelta(days=10)
    world.grant(owner, licence, "staff", clerk, days=2)
    copy = world.download(clerk, licence)
    assert _ends(copy) - now <= timedelta(days=2, minutes=1)
    world.world.offset = timedelta(days=3)
    try:
        assert world.state(clerk, copy) == "lapsed"
    finally:
        world.world.offset = timedelta()


def test_staff_wait_for_the_representatives_first_download_and_get_their_matters_written_in(
    world: Holdings, owner: Someone, licence: dict[str, Any]
) -> None:
    clerk = world.someone("样本 王店员")
    world.grant(owner, licence, "staff", clerk, "open-bank-account", "tax-registration")
    with pytest.raises(NotAllowed, match="downloaded"):
        world.download(clerk, licence)
    (listed,) = world.copies.of(clerk.citizen)
    assert (listed["download"]["allowed"], listed["role"]) == (False, "staff")
    assert "法定代表人" in listed["download"]["message_zh"]
    world.download(owner, licence)
    copy = world.download(clerk, licence)
    compact = codes.read_credential(base64.urlsafe_b64decode(copy["credential"] + "==")).claims
    assert (compact.role, compact.bearer, compact.matters) == ("staff", clerk.name, ("open-bank-account", "tax-registration"))
    claims = sdjwt.read(copy["sd_jwt"]).payload
    assert (claims["role"], claims["matters"]) == ("staff", ["open-bank-account", "tax-registration"])


def test_after_a_change_the_old_copies_say_so_and_the_representative_downloads_first_again(
    world: Holdings, owner: Someone, licence: dict[str, Any]
) -> None:
    clerk = world.someone("王店员")
    world.grant(owner, licence, "staff", clerk)
    old, theirs = world.download(owner, licence), world.download(clerk, licence)
    changed = world.changed(licence, owner, capital="人民币800万元整")
    for who, copy in ((owner, old), (clerk, theirs)):
        assert world.state(who, copy) == "changed"
        assert world.published(copy) == 3
        (listed,) = [one for one in world.copies.mine(who.citizen) if one["id"] == copy["id"]]
        assert listed["newer"] == changed["id"]
        assert "变更" in listed["sentence_zh"]
    with pytest.raises(NotAllowed):
        world.download(clerk, changed)
    new = world.download(owner, licence["id"])  # asked for the version that it knows, the phone gets the present one
    assert new["licence"]["id"] == changed["id"]
    assert new["id"] != old["id"]
    assert world.download(clerk, changed)["licence"]["version"] == 2


def test_what_happens_to_a_licence_reaches_its_copies_at_once(world: Holdings, owner: Someone, licence: dict[str, Any]) -> None:
    copy = world.download(owner, licence)
    world.licences.suspend(OPERATOR, licence["id"], basis="依据")
    assert (world.published(copy), world.state(owner, copy)) == (2, "suspended")
    with pytest.raises(NotAllowed):
        world.download(owner, licence)
    world.licences.resume(OPERATOR, licence["id"], basis="依据")
    assert (world.published(copy), world.state(owner, copy)) == (0, "in-force")
    world.licences.revoke(OPERATOR, licence["id"], kind="吊销", basis="依据")
    assert (world.published(copy), world.state(owner, copy)) == (1, "ended")
    (listed,) = [one for one in world.copies.mine(owner.citizen) if one["id"] == copy["id"]]
    assert "吊销" in listed["sentence_zh"]


def test_an_end_on_a_later_day_reaches_copies_on_that_day_those_made_since_too(
    world: Holdings, owner: Someone, licence: dict[str, Any]
) -> None:
    before = world.download(owner, licence)
    world.licences.revoke(OPERATOR, licence["id"], kind="撤回", basis="依据", effective=world.world.now() + timedelta(days=3))
    since = world.download(owner, licence, phone=SoftPhone())
    assert [world.published(one) for one in (before, since)] == [0, 0]
    world.world.offset = timedelta(days=4)
    try:
        assert [world.published(one) for one in (before, since)] == [1, 1]
        assert world.state(owner, since) == "ended"
    finally:
        world.world.offset = timedelta()


def test_a_new_representative_takes_over_and_what_the_old_one_gave_ends(world: Holdings, owner: Someone) -> None:
    licence, successor = world.business(owner), world.someone("样本 周接任")
    clerk, manager, onward = (world.someone(name) for name in ("王店员", "陈管理", "孙办事"))
    world.grant(owner, licence, "staff", clerk)
    world.grant(owner, licence, "manager", manager)
    passed_on = world.grant(manager, licence, "staff", onward, days=9)
    changed = world.changed(licence, successor)
    assert [one["id"] for one in world.copies.of(successor.citizen)] == [changed["id"]]
    for gone in (owner, clerk, manager, onward):
        assert licence["id"] not in {one["id"] for one in world.copies.of(gone.citizen)}
        assert changed["id"] not in {one["id"] for one in world.copies.of(gone.citizen)}
    assert world.grants.show(onward.citizen, passed_on["id"])["status"] == "withdrawn"
    assert world.download(successor, changed)["role"] == "representative"


def test_a_lost_phone_is_void_at_once_with_all_that_was_on_it_and_its_key_is_not_taken_again(
    world: Holdings, owner: Someone, licence: dict[str, Any]
) -> None:
    other, tablet = world.business(owner), SoftPhone()
    lost_phone = SoftPhone()
    first, second = (world.download(owner, one, phone=lost_phone) for one in (licence, other))
    kept = world.download(owner, licence, phone=tablet)
    ended = world.copies.lost(owner.citizen, first["id"])
    assert {one["id"] for one in ended if one["state"] == "lost"} == {first["id"], second["id"]}
    assert [world.published(one) for one in (first, second, kept)] == [1, 1, 0]
    with pytest.raises(PhoneLost):
        world.download(owner, licence, phone=lost_phone)
    assert world.download(owner, licence, phone=SoftPhone())["id"]


def test_three_phones_carry_a_licence_and_a_fourth_waits_until_one_is_removed(
    world: Holdings, owner: Someone, licence: dict[str, Any]
) -> None:
    copies = [world.download(owner, licence, phone=SoftPhone()) for _ in range(3)]
    with pytest.raises(NotAllowed, match="three"):
        world.download(owner, licence, phone=SoftPhone())
    removed = world.copies.remove(owner.citizen, copies[0]["id"])
    assert (removed["state"], world.published(copies[0])) == ("removed", 1)
    assert world.download(owner, licence, phone=SoftPhone())["id"]


def test_a_personal_licence_is_masked_in_codes_and_carries_no_number_for_an_agent(world: Holdings) -> None:
    holder, agent = world.someone("赵大爷"), world.someone("钱代办")
    licence = world.personal(holder)
    world.grant(holder, licence, "agent", agent, "disability-benefit")
    theirs = world.download(agent, licence)  # nobody has to own a phone first who sends somebody
    own = world.download(holder, licence)
    number = holder.id_number
    assert (own["role"], theirs["role"]) == ("holder", "agent")
    assert sdjwt.read(own["sd_jwt"]).claims["id_number"] == number
    assert number not in json.dumps(sdjwt.read(theirs["sd_jwt"]).claims, ensure_ascii=False)
    for copy in (own, theirs):
        claims = codes.read_credential(base64.urlsafe_b64decode(copy["credential"] + "==")).claims
        assert number not in claims.number
        assert (claims.holder, claims.bearer) == ("赵*", "赵*" if copy is own else "钱代办")
        assert number not in json.dumps({**copy, "sd_jwt": ""}, ensure_ascii=False)


def test_a_copy_whose_issuers_key_fell_into_other_hands_asks_to_be_made_anew_with_the_next_key(
    world: Holdings, owner: Someone, licence: dict[str, Any]
) -> None:
    copy, lost = world.download(owner, licence), world.issuer
    world.doubted.add(lost.id)
    try:
        (listed,) = [one for one in world.copies.mine(owner.citizen) if one["id"] == copy["id"]]
        assert (listed["state"], listed["renew"]) == ("due", True)
        world.world.keys.activate(world.world.keys.stage(lost.role_id).id)
        world.issuer = world.world.keys.active(lost.role_id)
        again = world.download(owner, licence)
        assert sdjwt.verify(again["sd_jwt"], [world.issuer.public_key], at=world.world.now())
        assert world.state(owner, copy) == "in-force"
    finally:
        world.doubted.clear()


@pytest.mark.parametrize(
    "broken",
    ["another-key", "other-service", "no-nonce", "unknown-nonce", "used-nonce", "old", "type", "private", "not-a-jws", "clock"],
)
def test_a_proof_that_does_not_hold_downloads_nothing(
    world: Holdings, owner: Someone, licence: dict[str, Any], broken: str
) -> None:
    phone, challenge = SoftPhone(), world.challenge(owner)
    proofs = {
        "another-key": lambda: phone.proof(challenge, signer=SoftwareKey.generate(Suite.P256)),
        "other-service": lambda: phone.proof(challenge, aud="https://elsewhere.example"),
        "no-nonce": lambda: phone.proof(challenge, nonce=None),
        "unknown-nonce": lambda: phone.proof(challenge, nonce="x" * 32),
        "used-nonce": lambda: _used(world, owner, licence, challenge),
        "old": lambda: phone.proof(challenge, iat=int(datetime.now(UTC).timestamp()) - 3600),
        "type": lambda: phone.proof(challenge, typ="JWT"),
        "private": lambda: _with_private_half(phone, challenge),
        "not-a-jws": lambda: "a.b.c",
        "clock": lambda: SoftPhone(clock=1200).proof(challenge),
    }
    proof = proofs[broken]()
    before = _count(world, CopyRow)
    with pytest.raises(BadProof) as refused:
        world.download(owner, licence, proof=proof)
    assert refused.value.message_zh
    assert _count(world, CopyRow) == before


def test_a_challenge_of_somebody_else_is_none(world: Holdings, owner: Someone, licence: dict[str, Any]) -> None:
    stranger = world.someone("吴陌生")
    with pytest.raises(BadProof):
        world.download(owner, licence, proof=owner.phone.proof(world.challenge(stranger)))


def test_a_challenge_ends_after_ten_minutes_and_few_are_kept(world: Holdings, owner: Someone, licence: dict[str, Any]) -> None:
    challenge = world.challenge(owner)
    world.world.offset = timedelta(minutes=11)
    try:
        owner.phone.clock = 660
        with pytest.raises(BadProof):
            world.download(owner, licence, proof=owner.phone.proof(challenge))
    finally:
        world.world.offset, owner.phone.clock = timedelta(), 0
    for _ in range(30):
        world.challenge(owner)
    with world.world.db.read() as session:
        count = session.scalar(sa.select(sa.func.count()).where(ChallengeRow.person == owner.key))
    assert count == 20


def test_staff_of_the_authority_see_copies_with_names_masked_and_others_see_none(
    world: Holdings, owner: Someone, licence: dict[str, Any]
) -> None:
    copy = world.download(owner, licence)
    clerk = staff("account_c", "licensing_clerk")
    (shown,) = world.copies.inspect(clerk, licence["id"])
    assert (shown["id"], shown["bearer"], shown["state"]) == (copy["id"], "样本 李*", "in-force")
    with pytest.raises((NotAllowed, NoSuchLicence)):
        world.copies.inspect(staff("account_h", "handler"), licence["id"])
    with pytest.raises(NoSuchLicence):
        world.copies.inspect(staff("account_o", "licensing_clerk", department="11310000MB2F300255"), licence["id"])


def test_leaves_hold_nobodys_name_number_or_key_and_an_edited_row_is_found(
    world: Holdings, owner: Someone, licence: dict[str, Any]
) -> None:
    clerk = world.someone("样本 王店员")
    grant = world.grant(owner, licence, "staff", clerk)
    copy = world.download(owner, licence)
    world.copies.remove(owner.citizen, copy["id"])
    with world.world.db.read() as session:
        assert [one.finding().message for one in agreement.check(session, REGION)] == []
        bodies = session.scalars(
            sa.select(AuditLeafRow.body).where(AuditLeafRow.kind.like("%copy%") | AuditLeafRow.kind.like("grant%"))
        )
        text = "\n".join(bodies)
    for secret in (owner.name, clerk.name, owner.id_number, clerk.id_number, owner.key, clerk.key):
        assert secret not in text
    thief = world.someone("贼")
    for table, one in (("licence_grants", grant), ("licence_copies", copy)):
        statement = sa.text(f"UPDATE {table} SET person = :person WHERE id = :id")
        values = {"id": one["id"]}
        world.world.db.run(lambda s, st=statement, v=values: s.execute(st, v | {"person": thief.key}))
        with world.world.db.read() as session:
            found = [f"{d.id} {d.column}" for d in agreement.check(session, REGION)]
        assert f"{one['id']} person" in found
        mine = clerk.key if table == "licence_grants" else owner.key
        world.world.db.run(lambda s, st=statement, v=values, m=mine: s.execute(st, v | {"person": m}))


def test_nobody_ends_anothers_copy(world: Holdings, owner: Someone, licence: dict[str, Any]) -> None:
    copy, stranger, clerk = world.download(owner, licence), world.someone("吴陌生"), world.someone("王店员")
    world.grant(owner, licence, "staff", clerk)
    for who in (stranger, clerk):
        for end in (world.copies.remove, world.copies.lost):
            with pytest.raises(NoSuchCopy):
                end(who.citizen, copy["id"])
    theirs = world.download(clerk, licence)
    assert world.grants.mine(owner.citizen, licence_id=licence["id"])[0]["phones"] == 1
    (ended,) = world.copies.lost(owner.citizen, theirs["id"])  # the owner of the licence may, and reports no phone of others
    assert ended["state"] == "removed"
    assert world.download(clerk, licence)["id"]
    assert world.state(owner, copy) == "in-force"


def _ends(copy: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(copy["expires_at"])


def _used(world: Holdings, owner: Someone, licence: dict[str, Any], challenge: dict[str, Any]) -> str:
    proof = owner.phone.proof(challenge)
    world.download(owner, licence, proof=proof)
    return proof


def _with_private_half(phone: SoftPhone, challenge: dict[str, Any]) -> str:
    from formats import jose

    header = {"typ": "openid4vci-proof+jwt", "jwk": {**phone.jwk, "d": "AAAA"}}
    return jose.sign(header, {"aud": challenge["audience"], "nonce": challenge["nonce"], "iat": 0}, phone.key)


def _count(world: Holdings, row: Any) -> int:
    with world.world.db.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(row)) or 0


def test_every_refusal_says_what_to_do_in_both_languages() -> None:
    for error in (BadProof, PhoneLost, NoSuchCopy):
        assert issubclass(error, XinyinError)
        assert error.code != "internal"
