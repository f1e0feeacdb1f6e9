"""To whom a licence belongs: named at its issue by an identity number that is neither printed nor kept."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pikepdf
import pytest
import sqlalchemy as sa

from crypto.errors import Misconfigured
from licences.catalogue import BadLicenceData
from licences.service import LicenceService
from people.demo import demo_citizen
from people.persons import PersonKeys
from store.intents import IdempotencyMismatch
from tests.integration.seals_world import OPERATOR, World

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DATA: dict[str, Any] = json.loads((EXAMPLES / "licence.json").read_text(encoding="utf-8"))
CERTIFICATE: dict[str, Any] = json.loads((EXAMPLES / "disability-certificate.json").read_text(encoding="utf-8"))
OWNER, STAFF, ELDER = (demo_citizen(key).id_number for key in ("owner", "staff", "elder"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("node"))
    made.seal()
    made.seal("云江市残疾人联合会", owner_uscc="11310000MB0X700355")
    return made


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> PersonKeys:
    return PersonKeys(tmp_path_factory.mktemp("secrets") / "person.key", lambda: False)


def service(world: World, keys: PersonKeys | None) -> LicenceService:
    return LicenceService(
        world.db,
        world.keys,
        world.seals,
        world.intents,
        world.audit,
        world.blobs,
        world.authoriser,
        "310000",
        now=world.now,
        person_key=keys.key if keys else None,
    )


@pytest.fixture(scope="module")
def licences(world: World, keys: PersonKeys) -> LicenceService:
    return service(world, keys)


def issue(licences: LicenceService, **changed: Any) -> dict[str, Any]:
    licence, _ = licences.issue(OPERATOR, "business-licence", {**DATA, **changed})
    return licence


def test_a_business_licence_belongs_to_the_representative_of_its_data_and_a_certificate_to_its_holder(
    licences: LicenceService, keys: PersonKeys
) -> None:
    business = issue(licences, representative_id=OWNER)
    certificate, _ = licences.issue(OPERATOR, "disability-certificate", CERTIFICATE)
    (one,) = licences.of_person(keys.key(OWNER))
    assert (one["id"], one["relation"], one["status"]) == (business["id"], "representative", "in-force")
    (other,) = licences.of_person(keys.key(ELDER))
    assert (other["id"], other["relation"]) == (certificate["id"], "holder")
    assert [p.name for p in licences.people(business["identifier"])] == [DATA["representative"]]
    assert licences.of_person(keys.key(STAFF)) == []


def test_the_representatives_number_is_neither_printed_nor_kept(world: World, licences: LicenceService) -> None:
    number = demo_citizen("agent").id_number
    licence, document = licences.issue(OPERATOR, "business-licence", {**DATA, "representative_id": number})
    assert number not in json.dumps(licence, default=str)
    with world.db.read() as session:
        for table in sa.inspect(world.db.engine).get_table_names():
            rows = session.execute(sa.text(f'SELECT * FROM "{table}"'))
            assert not [row for row in rows if number in str(tuple(row))], table
    with pikepdf.open(io.BytesIO(document)) as pdf:
        for item in pdf.objects:
            raw = item.read_bytes() if isinstance(item, pikepdf.Stream) and item.get("/Subtype") != "/Image" else b""
            assert number.encode() not in raw
    assert number.encode() not in document


def test_a_private_number_must_be_right_at_once(licences: LicenceService) -> None:
    wrong = OWNER[:17] + ("0" if OWNER[17] != "0" else "1")
    with pytest.raises(BadLicenceData) as refusal:
        issue(licences, representative_id=wrong)
    (problem,) = refusal.value.detail["problems"]
    assert problem["field"] == "representative_id"
    assert wrong not in str(refusal.value.to_dict())


def test_a_change_takes_the_licence_along_with_its_representative_and_away_from_a_former_one(
    licences: LicenceService, keys: PersonKeys
) -> None:
    first = issue(licences, representative_id=STAFF)
    moved, _ = licences.change(OPERATOR, first["id"], {**DATA, "address": "云江市滨江区望江路1号"})
    assert [one["id"] for one in licences.of_person(keys.key(STAFF))] == [moved["id"]]

    sold, _ = licences.change(OPERATOR, moved["id"], {**DATA, "representative": "样本 钱代办"})
    assert licences.of_person(keys.key(STAFF)) == []
    assert licences.people(sold["id"]) == []
    assert [one.relation for one in licences.people(moved["id"])] == ["representative"]  # what was stays on record


def test_the_same_key_with_another_representative_is_another_request(licences: LicenceService) -> None:
    wish = {**DATA, "representative_id": OWNER}
    first, _ = licences.issue(OPERATOR, "business-licence", wish, idempotency_key="persons-1")
    again, _ = licences.issue(OPERATOR, "business-licence", wish, idempotency_key="persons-1")
    assert again["id"] == first["id"]
    with pytest.raises(IdempotencyMismatch):
        licences.issue(OPERATOR, "business-licence", {**DATA, "representative_id": STAFF}, idempotency_key="persons-1")


def test_a_service_without_person_keys_says_so_instead_of_forgetting_somebody(world: World) -> None:
    with pytest.raises(Misconfigured, match="person keys"):
        issue(service(world, None), representative_id=OWNER)
