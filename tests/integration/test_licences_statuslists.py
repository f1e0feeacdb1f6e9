"""Every licence has a place in a published list, which says what the register says, at the moment it says it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pikepdf
import pytest
import sqlalchemy as sa

from crypto.errors import Unavailable
from crypto.keys import Signer, SoftwareKey
from crypto.suites import Suite
from formats import codes
from formats.statuslist import StatusRef, read_cwt, read_jwt, ref_from_json
from licences.events import REVOCATIONS
from licences.models import LicenceRow, StatusPlaceRow
from licences.service import LicenceService
from licences.statuslists import NoSuchStatusList, StatusListPublisher, StatusLists
from store.db import Database
from tests.databases import migrated
from tests.integration.seals_world import OPERATOR, REGION, World
from tests.node_home import founded_home, serving
from verify.trust import ServiceType

DATA: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[2] / "examples" / "licence.json").read_text(encoding="utf-8")
)
BASE = "http://310000.localhost:8080"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("node"))
    made.seal(suites=("p256",))
    return made


@pytest.fixture(scope="module")
def licences(world: World) -> LicenceService:
    return LicenceService(
        world.db, world.keys, world.seals, world.intents, world.audit, world.blobs, world.authoriser, REGION, now=world.now
    )


@pytest.fixture
def clock(world: World) -> Iterator[World]:
    yield world
    world.offset = timedelta()


class Key:
    """A status-list key that counts its signatures, and may be out of reach."""

    def __init__(self) -> None:
        self.inner = SoftwareKey.generate(Suite.P256)
        self.signed = 0
        self.reachable = True

    def __call__(self) -> Signer:
        if not self.reachable:
            raise Unavailable("The signer does not answer.", "签名进程没有应答。")
        self.signed += 1
        return self.inner


@pytest.fixture
def key() -> Key:
    return Key()


@pytest.fixture
def publisher(world: World, licences: LicenceService, key: Key, tmp_path: Path) -> StatusListPublisher:
    return StatusListPublisher(licences.statuses, key, tmp_path / "status", now=world.now)


def ref_of(licence: dict[str, Any]) -> StatusRef:
    return StatusRef(licence["status_list"]["uri"], licence["status_list"]["idx"])


def published(publisher: StatusListPublisher, key: Key, ref: StatusRef) -> int:
    token = read_jwt(publisher.jwt(ref.uri.rpartition("/")[2]), [key.inner.public_key], uri=ref.uri)
    return token.statuses[ref.index]


def test_code_metadata_register_and_log_name_the_same_place(world: World, licences: LicenceService) -> None:
    licence, document = licences.issue(OPERATOR, "business-licence", DATA)
    ref = ref_of(licence)
    assert ref.uri.startswith(f"{BASE}/status/")
    claims = codes.decode(licence["code"]).claims  # type: ignore[union-attr]
    assert (claims.status, claims.region) == (ref, REGION)
    with pikepdf.open(io.BytesIO(document)) as pdf:
        attached = json.loads(pdf.attachments["metadata.json"].get_file().read_bytes())
    assert ref_from_json(attached["status"]) == ref
    leaves = [e for e in world.audit.entries(limit=50) if e.subject.get("licence") == licence["id"]]
    assert leaves[0].data["status"] == {"uri": ref.uri, "index": ref.index}


def test_the_list_follows_every_decision_at_once(licences: LicenceService, publisher: StatusListPublisher, key: Key) -> None:
    licence, _ = licences.issue(OPERATOR, "business-licence", DATA)
    ref = ref_of(licence)
    seen = [published(publisher, key, ref)]
    licences.suspend(OPERATOR, licence["id"], basis="x")
    seen.append(published(publisher, key, ref))
    licences.resume(OPERATOR, licence["id"], basis="x")
    seen.append(published(publisher, key, ref))
    newer, _ = licences.change(OPERATOR, licence["id"], DATA)
    seen.append(published(publisher, key, ref))
    assert ref_of(newer) != ref
    assert published(publisher, key, ref_of(newer)) == 0
    licences.revoke(OPERATOR, newer["id"], kind="吊销", basis="x")
    assert seen == [0, 2, 0, 3]
    assert published(publisher, key, ref_of(newer)) == 1


@pytest.mark.parametrize("kind", REVOCATIONS)
def test_an_end_on_a_later_day_shows_from_that_day_on(
    clock: World, licences: LicenceService, publisher: StatusListPublisher, key: Key, kind: str
) -> None:
    licence, _ = licences.issue(OPERATOR, "business-licence", DATA)
    later = clock.now() + timedelta(days=3)
    licences.revoke(OPERATOR, licence["id"], kind=kind, basis="x", effective=later)
    assert published(publisher, key, ref_of(licence)) == 0
    clock.offset = timedelta(days=3, seconds=5)
    assert published(publisher, key, ref_of(licence)) == 1
    state = licences.statuses.state(ref_of(licence), clock.now())
    assert state is not None
    assert (state.status, state.source) == ("withdrawn", "register")


def test_what_has_ended_stays_ended_whatever_is_passed_on_to_it(world: World) -> None:
    lists = StatusLists(world.db, BASE, REGION, now=world.now)
    ref = world.db.run(lambda s: lists.allot(s))

    def after(value: int) -> int | None:
        world.db.run(lambda s: lists.set(s, ref, value))
        with world.db.read() as session:
            return lists.value(session, ref, world.now())

    assert [after(value) for value in (2, 0, 3, 0, 2, 1, 0, 3)] == [2, 0, 3, 3, 3, 1, 1, 1]


def test_an_intent_that_is_carried_on_gets_the_place_it_had(world: World, licences: LicenceService) -> None:
    licence, _ = licences.issue(OPERATOR, "business-licence", DATA)
    with world.db.read() as session:
        row = session.get_one(LicenceRow, licence["id"])
    again = world.db.run(lambda s: licences.statuses.allot(s, row.intent_id))
    assert again == ref_of(licence)


def test_places_are_drawn_at_random_and_a_new_list_begins_at_three_quarters(world: World, tmp_path: Path) -> None:
    database = migrated(tmp_path / "draw.sqlite")
    lists = StatusLists(database, BASE, REGION, size=256, now=world.now)
    refs = database.run(lambda s: [lists.allot(s) for _ in range(500)])
    assert len(set(refs)) == 500
    found = lists.lists()
    share = [sum(ref.uri == lists.uri(one.id) for ref in refs) / 256 for one in found]
    assert len(found) >= 2
    assert [one.closed for one in found] == [True] * (len(found) - 1) + [False]
    assert all(0.75 <= one <= 1 for one in share[:-1])
    first = [ref.index for ref in refs[:100]]
    assert first != sorted(first)
    assert max(first) > 200
    database.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_place_is_given_twice_when_many_draw_at_once(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if kind == "sqlite":
        database = Database.open(f"sqlite:///{tmp_path}/race.sqlite")
    else:
        database = request.getfixturevalue("postgresql_database")
    database.migrate()
    lists = StatusLists(database, BASE, REGION, size=64)
    database.run(lambda s: lists.allot(s))
    with ThreadPoolExecutor(8) as pool:
        refs = list(pool.map(lambda _: database.run(lambda s: lists.allot(s)), range(120)))
    assert len(set(refs)) == 120
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(StatusPlaceRow)) == 121
    if kind == "sqlite":
        database.close()


def test_a_list_is_signed_again_when_it_says_something_new_or_has_grown_old(
    clock: World, licences: LicenceService, publisher: StatusListPublisher, key: Key
) -> None:
    licence, _ = licences.issue(OPERATOR, "business-licence", DATA)
    name = ref_of(licence).uri.rpartition("/")[2]
    first = publisher.jwt(name)
    assert publisher.jwt(name) == first
    assert key.signed == 1
    licences.suspend(OPERATOR, licence["id"], basis="x")
    assert publisher.jwt(name) != first
    assert key.signed == 2
    clock.offset = timedelta(minutes=6)
    publisher.jwt(name)
    assert key.signed == 3


def test_without_the_signer_the_last_list_is_served_only_while_it_is_true(
    clock: World, licences: LicenceService, publisher: StatusListPublisher, key: Key
) -> None:
    licence, _ = licences.issue(OPERATOR, "business-licence", DATA)
    name = ref_of(licence).uri.rpartition("/")[2]
    first = publisher.jwt(name)
    key.reachable = False
    clock.offset = timedelta(hours=1)
    assert publisher.jwt(name) == first
    licences.suspend(OPERATOR, licence["id"], basis="x")
    with pytest.raises(Unavailable):
        publisher.jwt(name)
    licences.resume(OPERATOR, licence["id"], basis="x")
    assert publisher.jwt(name) == first
    clock.offset = timedelta(hours=25)
    with pytest.raises(Unavailable):
        publisher.jwt(name)


def test_both_forms_say_the_same(licences: LicenceService, publisher: StatusListPublisher, key: Key) -> None:
    licence, _ = licences.issue(OPERATOR, "business-licence", DATA)
    licences.suspend(OPERATOR, licence["id"], basis="x")
    ref = ref_of(licence)
    name = ref.uri.rpartition("/")[2]
    as_jwt = read_jwt(publisher.jwt(name), [key.inner.public_key], uri=ref.uri)
    as_cwt = read_cwt(publisher.cwt(name), [key.inner.public_key], uri=ref.uri)
    assert as_cwt.statuses == as_jwt.statuses
    assert as_cwt.statuses[ref.index] == 2
    assert (as_cwt.ttl, as_jwt.ttl) == (timedelta(seconds=60), timedelta(seconds=60))
    assert len(publisher.jwt(name)) < 3000


def test_the_service_hands_a_list_to_anyone_in_the_form_they_ask_for() -> None:
    with serving(founded_home("status-lists")) as service:
        service.registrar()
        licence, _ = service.node.licences.issue(service.node.actor(None), "business-licence", DATA)
        ref = ref_of(licence)
        path = "/status/" + ref.uri.rpartition("/")[2]
        trust = service.node.trust_store()
        [listed] = trust.keys(ServiceType.STATUS_LIST, REGION)
        from formats.jose import public_key

        keys = [public_key(listed.jwk or {})]
        with service.client() as anyone:
            plain, cwt = anyone.get(path), anyone.get(path, headers={"Accept": "application/statuslist+cwt"})
            assert plain.headers["content-type"] == "application/statuslist+jwt"
            assert cwt.headers["content-type"] == "application/statuslist+cwt"
            assert plain.headers["access-control-allow-origin"] == "*"
            for token in (read_jwt(plain.content, keys, uri=ref.uri), read_cwt(cwt.content, keys, uri=ref.uri)):
                assert token.statuses[ref.index] == 0
                assert abs(token.issued - datetime.now(UTC)) < timedelta(minutes=1)
            header = json.loads(base64.urlsafe_b64decode(plain.text.split(".")[0] + "=="))
            assert header == {"alg": "ES256", "typ": "statuslist+jwt", "kid": keys[0].fingerprint}
            assert anyone.get("/status/nothing").status_code == 404
            assert anyone.get("/status/..%2Flist").status_code == 404
            assert anyone.get(path, params={"time": 1}).status_code == 501


def test_a_place_of_somebody_else_is_none_of_ours(world: World) -> None:
    lists = StatusLists(world.db, BASE, REGION, now=world.now)
    for uri in ("https://330000.example.cn/status/aaaaa", f"{BASE}/status/zzzzz", f"{BASE}/other/1"):
        assert lists.state(StatusRef(uri, 1), world.now()) is None
        with pytest.raises(NoSuchStatusList):
            world.db.run(lambda s, uri=uri: lists.set(s, StatusRef(uri, 1), 1))  # type: ignore[misc]
