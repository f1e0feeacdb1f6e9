"""Attacks on licences on phones, each against a running node's services and the verifier of a counter."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crypto.keys import SoftwareKey
from formats import codes, sdjwt
from hsm.errors import KeyStateForbids, PurposeForbids
from licences.copies import NoSuchCopy
from licences.proofs import BadProof
from licences.service import NoSuchLicence
from people.citizens import Statement
from people.schemas import Citizen
from policies.authorise import NotAllowed
from tests.integration.holdings_world import BUSINESS
from tests.node_home import Service, founded_home, serving
from tests.soft_phone import SoftPhone, identity_number
from verify.code import verify_code

COUNTER, NONCE = "https://zhejiang.example", "n-4711"


class Person:
    """Somebody who signed in, with a phone."""

    def __init__(self, service: Service, name: str, serial: int) -> None:
        self.service = service
        self.number = identity_number(serial)
        statement = Statement("https://idp.example", f"attack-{serial}", name, self.number)
        self.citizen: Citizen = service.node.citizens.signed_in(statement)
        self.phone = SoftPhone()

    def download(self, licence: dict[str, Any], **more: Any) -> dict[str, Any]:
        copies = self.service.node.copies
        proof = more.pop("proof", None) or self.phone.proof(copies.challenge(self.citizen))
        return copies.download(self.citizen, licence["id"], device="手机", proof=proof, **more)

    def show(self, copy: dict[str, Any], *, key: SoftwareKey | None = None, challenge: str | None = None) -> str:
        """The code that a phone shows now."""
        credential = base64.urlsafe_b64decode(copy["credential"] + "==")
        return codes.encode_shown(credential, key or self.phone.key, copy["host"], at=datetime.now(UTC), challenge=challenge)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home("attack-copies")) as found:
        found.registrar()
        yield found


@pytest.fixture(scope="module")
def owner(service: Service) -> Person:
    return Person(service, "样本 李店主", 801)


@pytest.fixture(scope="module")
def clerk(service: Service) -> Person:
    return Person(service, "样本 王店员", 802)


@pytest.fixture
def licence(service: Service, owner: Person) -> dict[str, Any]:
    data = {**BUSINESS, "representative": owner.citizen.name, "representative_id": owner.number}
    made = service.node.licences.issue(service.node.actor(None), "business-licence", data)[0]
    service.node.publish_trust()
    owner.download(made)
    return made


def authorised(service: Service, owner: Person, clerk: Person, licence: dict[str, Any], *matters: str) -> dict[str, Any]:
    until = datetime.now(UTC) + timedelta(days=7)
    return service.node.grants.authorise(
        owner.citizen,
        licence["id"],
        kind="staff",
        name=clerk.citizen.name,
        id_number=clerk.number,
        matters=matters,
        until=until,
    )


def judged(service: Service, code: str, matter: str | None = None) -> dict[str, Any]:
    """The verdict of a counter of the same region."""
    context = service.node.verification_context(matter=matter)
    return verify_code(code, context=replace(context, statuses=service.node.status_lists))


def test_attack_a_withdrawn_staff_member_shows_her_phone(
    service: Service, owner: Person, clerk: Person, licence: dict[str, Any]
) -> None:
    grant = authorised(service, owner, clerk, licence, "open-bank-account")
    copy = clerk.download(licence)
    before = judged(service, clerk.show(copy), "open-bank-account")
    assert before["answer"]["decision"] == "accept", before
    assert before["presentation"]["bearer"] == clerk.citizen.name
    service.node.grants.withdraw(owner.citizen, grant["id"])
    after = judged(service, clerk.show(copy), "open-bank-account")  # her phone still has credential and key
    assert after["answer"]["decision"] == "refuse"
    assert after["answer"]["licence"]["state"] == "bad"
    with pytest.raises(NoSuchLicence):
        clerk.download(licence)  # nor can it be renewed
    assert judged(service, owner.show(owner.download(licence)))["answer"]["decision"] == "accept"


def test_attack_a_staff_member_goes_outside_her_matters(
    service: Service, owner: Person, clerk: Person, licence: dict[str, Any]
) -> None:
    authorised(service, owner, clerk, licence, "open-bank-account")
    copy = clerk.download(licence)
    outside = judged(service, clerk.show(copy), "food-business-permit")
    assert (outside["answer"]["decision"], outside["answer"]["matter"]["state"]) == ("refuse", "bad")
    wider = codes.read_credential(base64.urlsafe_b64decode(copy["credential"] + "=="))
    forged = codes.encode_credential(replace(wider.claims, matters=()), clerk.phone.key)  # all matters, signed by herself
    forged_copy = {**copy, "credential": base64.urlsafe_b64encode(forged).decode()}
    assert judged(service, clerk.show(forged_copy), "food-business-permit")["answer"]["decision"] != "accept"
    claims = sdjwt.read(sdjwt.present(copy["sd_jwt"], lambda path: False)).claims
    assert claims["matters"] == ["open-bank-account"]  # disclosing nothing discloses that she is limited
    assert service.node.grants.allowed(clerk.citizen.person or "", licence["id"], "food-business-permit") is None


def test_attack_a_copied_credential_without_the_phones_key(service: Service, owner: Person, licence: dict[str, Any]) -> None:
    thief, copy = SoftPhone(), owner.download(licence)
    shown = judged(service, owner.show(copy, key=thief.key))
    assert (shown["verdict"], shown["answer"]["decision"]) == ("TOTAL-FAILED", "refuse")
    bare = codes.wire.to_url(base64.urlsafe_b64decode(copy["credential"] + "=="), copy["host"])
    assert judged(service, bare)["answer"]["decision"] == "refuse"
    keys, now = service.node.credential_keys(), datetime.now(UTC)
    for text in (
        copy["sd_jwt"],
        sdjwt.bind(copy["sd_jwt"], thief.key, audience=COUNTER, nonce=NONCE, at=now),
        sdjwt.bind(copy["sd_jwt"], owner.phone.key, audience="https://elsewhere.example", nonce=NONCE, at=now),
    ):
        with pytest.raises(sdjwt.NotBound):
            sdjwt.verify(text, keys, at=now, audience=COUNTER, nonce=NONCE)
    bound = sdjwt.bind(copy["sd_jwt"], owner.phone.key, audience=COUNTER, nonce=NONCE, at=now)
    assert sdjwt.verify(bound, keys, at=now, audience=COUNTER, nonce=NONCE).claims["name"] == licence["holder"]


def test_attack_a_thief_binds_anothers_licence_to_a_key_of_his_own(
    service: Service, owner: Person, licence: dict[str, Any]
) -> None:
    thief = Person(service, "样本 贼", 803)
    copy = owner.download(licence)
    with pytest.raises(NoSuchLicence):
        thief.download(licence)
    overheard = owner.phone.proof(service.node.copies.challenge(owner.citizen))
    with pytest.raises(NoSuchLicence):
        thief.download(licence, proof=overheard)
    # In the owner's browser, with a proof of the thief's key for a challenge of the thief's own.
    with pytest.raises(BadProof):
        owner.download(licence, proof=thief.phone.proof(service.node.copies.challenge(thief.citizen)))
    for end in (service.node.copies.remove, service.node.copies.lost):
        with pytest.raises(NoSuchCopy):
            end(thief.citizen, copy["id"])
    assert judged(service, owner.show(copy))["answer"]["decision"] == "accept"


def test_attack_a_code_of_the_licence_as_it_was_before_the_change(
    service: Service, owner: Person, licence: dict[str, Any]
) -> None:
    copy = owner.download(licence)
    data = {**licence["data"], "capital": "人民币800万元整", "representative_id": owner.number}
    service.node.licences.change(service.node.actor(None), licence["id"], data)
    assert judged(service, owner.show(copy))["answer"]["decision"] == "refuse"


def test_attack_a_manager_who_was_withdrawn_leaves_helpers_behind(
    service: Service, owner: Person, clerk: Person, licence: dict[str, Any]
) -> None:
    manager = Person(service, "样本 陈管理", 804)
    until = datetime.now(UTC) + timedelta(days=7)
    node = service.node
    grant = node.grants.grant(
        owner.citizen, licence["id"], "manager", manager.citizen.person or "", manager.citizen.name, [], until
    )
    authorised(service, manager, clerk, licence)
    copy = clerk.download(licence)
    assert judged(service, clerk.show(copy))["answer"]["decision"] == "accept"
    node.grants.withdraw(owner.citizen, grant["id"])
    assert judged(service, clerk.show(copy))["answer"]["decision"] == "refuse"
    with pytest.raises((NotAllowed, NoSuchLicence)):
        authorised(service, manager, clerk, licence)


def test_attack_the_credential_key_is_asked_to_sign_outside_an_intent(service: Service) -> None:
    generation = service.node.credential_issuer()
    for use in ("receipt", "status-list", "probe"):
        with pytest.raises((PurposeForbids, KeyStateForbids)):
            service.node.keys.signer(generation.id, use).sign(b'{"vct":"urn:xinyin:vct:business-licence"}')
