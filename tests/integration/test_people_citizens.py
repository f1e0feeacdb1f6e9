"""Citizens: known by a keyed digest of their identity number, signed in for a while, whatever the number was never kept."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from crypto.errors import Misconfigured
from people.citizens import CitizenService, Statement
from people.demo import CITIZENS, demo_citizen
from people.errors import BadIdentityNumber, NoSuchCitizen, PersonKeyMissing, SignInHere
from people.persons import PersonKeys
from store.audit import AuditLog
from store.db import Database
from store.models import AuditLeafRow

OWNER = demo_citizen("owner")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def citizens(database: Database, clock: Clock, tmp_path: Path) -> CitizenService:
    keys = PersonKeys(tmp_path / "secrets" / "person.key", lambda: False)
    return CitizenService(database, AuditLog(database, "310000"), "310000", keys, now=clock)


def statement(key: str = "owner", **changed: str) -> Statement:
    one = demo_citizen(key)
    return Statement(**{"issuer": "https://id", "subject": key, "name": one.name, "id_number": one.id_number, **changed})


def test_a_citizen_is_the_same_person_however_the_number_is_written_and_whatever_the_provider_calls_them(
    citizens: CitizenService,
) -> None:
    first = citizens.signed_in(statement("staff"))
    again = citizens.signed_in(statement("staff", id_number=" 990000 19960823 034x ", subject="other", name="样本 王小店"))
    assert (again.id, again.person, again.name, again.kind) == (first.id, first.person, "样本 王小店", "citizen")
    assert citizens.get(first.id).name == "样本 王小店"
    assert citizens.signed_in(statement()).id != first.id


def test_of_the_identity_number_nothing_stays_but_a_keyed_digest(citizens: CitizenService, database: Database) -> None:
    for one in CITIZENS:
        found = citizens.signed_in(statement(one.key))
        assert len(found.person or "") == 64
    kept = []
    with database.read() as session:
        for table in sa.inspect(database.engine).get_table_names():
            kept += [str(tuple(row)) for row in session.execute(sa.text(f'SELECT * FROM "{table}"'))]
        leaves = session.scalars(sa.select(AuditLeafRow).where(AuditLeafRow.kind == "citizen.registered")).all()
    assert len(leaves) == len(CITIZENS)
    assert [one.id_number for one in CITIZENS for text in kept if one.id_number in text] == []
    assert [one.name for one in CITIZENS for leaf in leaves if one.name in str(vars(leaf))] == []


def test_another_node_calls_the_same_person_otherwise(citizens: CitizenService, tmp_path: Path) -> None:
    elsewhere = PersonKeys(tmp_path / "elsewhere" / "person.key", lambda: False)
    assert elsewhere.key(OWNER.id_number) != citizens.person_key(OWNER.id_number)


@pytest.mark.parametrize("number", ["", "99000019850412012", "990000198504120126", "990000198513120125", "一二三"])
def test_what_is_no_identity_number_is_refused_without_being_repeated(citizens: CitizenService, number: str) -> None:
    with pytest.raises(BadIdentityNumber) as refusal:
        citizens.signed_in(statement(id_number=number))
    assert not number or number not in refusal.value.message + refusal.value.message_zh


def test_two_first_uses_at_once_make_one_secret(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "person.key"
    made: list[str] = []
    gate = threading.Barrier(8)

    def first_use() -> None:
        gate.wait()
        made.append(PersonKeys(path, lambda: False).key(OWNER.id_number))

    threads = [threading.Thread(target=first_use) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(made) == 8
    assert len(set(made)) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["person.key"]


def test_a_secret_that_is_gone_or_damaged_is_not_replaced_once_people_are_known(tmp_path: Path) -> None:
    with pytest.raises(PersonKeyMissing, match="backup"):
        PersonKeys(tmp_path / "person.key", lambda: True).key(OWNER.id_number)
    assert not (tmp_path / "person.key").exists()
    (tmp_path / "person.key").write_text("short")
    with pytest.raises(Misconfigured, match="backup"):
        PersonKeys(tmp_path / "person.key", lambda: True).key(OWNER.id_number)


def test_a_session_ends_by_sign_out_idleness_age_and_a_new_sign_in(citizens: CitizenService, clock: Clock) -> None:
    owner = citizens.signed_in(statement(assurance="face"))
    first = citizens.open_session(owner)
    found = citizens.by_session(first.token)
    assert found == owner
    assert found.assurance == "face"

    second = citizens.open_session(owner, replacing=first.token)
    assert citizens.by_session(first.token) is None
    citizens.sign_out(second.token)
    assert citizens.by_session(second.token) is None

    idle = citizens.open_session(owner)
    clock.now += citizens.idle
    assert citizens.by_session(idle.token) is None
    kept_busy = citizens.open_session(owner)
    while clock.now < kept_busy.expires_at - timedelta(minutes=20):
        clock.now += timedelta(minutes=20)
        assert citizens.by_session(kept_busy.token) is not None
    clock.now = kept_busy.expires_at
    assert citizens.by_session(kept_busy.token) is None


def test_a_sign_in_puts_licences_on_one_phone_only(citizens: CitizenService) -> None:
    citizen = citizens.signed_in(statement())
    here, there = (citizens.open_session(citizen).token for _ in range(2))
    citizens.bind_phone(here, "a" * 64)
    citizens.bind_phone(here, "a" * 64)
    with pytest.raises(SignInHere):
        citizens.bind_phone(here, "b" * 64)
    citizens.bind_phone(there, "b" * 64)
    citizens.sign_out(there)
    with pytest.raises(SignInHere):
        citizens.bind_phone(there, "b" * 64)


def test_whoever_lost_a_phone_is_signed_out_everywhere_else(citizens: CitizenService) -> None:
    owner, staff = citizens.signed_in(statement()), citizens.signed_in(statement("staff"))
    here, phone, other = citizens.open_session(owner), citizens.open_session(owner), citizens.open_session(staff)
    assert citizens.sign_out_elsewhere(owner, keep=here.token) == 1
    assert citizens.by_session(phone.token) is None
    assert citizens.by_session(here.token) is not None
    assert citizens.by_session(other.token) is not None


def test_citizens_of_another_region_are_not_known_here(citizens: CitizenService, database: Database, tmp_path: Path) -> None:
    keys = PersonKeys(tmp_path / "secrets" / "person.key", lambda: False)
    elsewhere = CitizenService(database, AuditLog(database, "330000"), "330000", keys)
    there = elsewhere.signed_in(statement())
    session = elsewhere.open_session(there)
    assert citizens.by_session(session.token) is None
    with pytest.raises(NoSuchCitizen):
        citizens.get(there.id)
    assert citizens.signed_in(statement()).id != there.id
