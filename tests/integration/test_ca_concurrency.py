"""Several processes and threads use one CA at once, on both databases; a crash between its steps leaves nothing half true."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from ca.models import CertificateRow, CrlRow, OcspAnswerRow
from ca.service import CertificateAuthorityService
from crypto.suites import Suite
from formats import ocsp
from formats.crl import RevocationList
from formats.x509 import Certificate, Subject
from store.db import Database
from tests.integration.ca_world import World

ON_POSTGRESQL = (
    "test_parallel_issuing_and_holds_lose_nothing",
    "test_an_answer_signed_before_a_hold_is_not_kept_after_it",
    "test_two_processes_see_each_others_changes_at_once",
)


@pytest.fixture
def world(tmp_path: Path, database: Database) -> World:
    return World.found(tmp_path, db=database)


def answer(world: World, certificate: Certificate, issuer: Certificate) -> str:
    response = ocsp.OcspResponse.parse(world.ca.ocsp(ocsp.build_request(certificate, issuer)))
    return response.answers[0].status if response.status == "successful" else response.status


def test_parallel_issuing_and_holds_lose_nothing(world: World) -> None:
    """Eight threads issue and suspend: every list has its own number, the last one names all eight."""

    def work(n: int) -> Certificate:
        _, certificate = world.seal(Suite.P256, f"3100000000000{n}")
        world.ca.hold(certificate.serial)
        return certificate

    with ThreadPoolExecutor(8) as pool:
        held = list(pool.map(work, range(8)))
    crl = RevocationList.parse(world.ca.crl("issuing-p256-1"))
    assert {e.serial for e in crl.entries()} == {c.serial for c in held}
    issuer = world.ca.authority("issuing-p256-1").certificate
    assert [answer(world, c, issuer) for c in held] == ["revoked"] * 8
    with world.db.read() as session:
        numbers = session.scalars(sa.select(CrlRow.number).where(CrlRow.authority == "issuing-p256-1")).all()
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_an_answer_signed_before_a_hold_is_not_kept_after_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The race that would call a suspended seal good for days: the hold commits while an answer is being signed."""
    _, certificate = world.seal(Suite.P256)
    with world.db.write() as session:
        session.execute(sa.delete(OcspAnswerRow))
    sign = world.keys.signer
    waiting = [certificate.serial]

    def hold_first(generation_id: str, use: object) -> object:
        if use == "ocsp" and waiting:
            world.ca.hold(waiting.pop())
        return sign(generation_id, use)

    monkeypatch.setattr(world.keys, "signer", hold_first)
    issuer = world.ca.chain(certificate)[1]
    assert answer(world, certificate, issuer) == "revoked"
    assert not waiting
    assert answer(world, certificate, issuer) == "revoked"


@pytest.mark.parametrize("step", ["before the token", "after the token"])
def test_a_crash_while_issuing_leaves_no_certificate(world: World, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    class Crash(BaseException):
        pass

    generation = world.keys.new("receipt", Suite.P256)
    subject = Subject("样本", "样本")

    def crash(*args: object, **kwargs: object) -> None:
        raise Crash

    target = (world.keys, "signer") if step == "before the token" else (world.ca.issuing, "_finish")
    with monkeypatch.context() as patch:
        patch.setattr(*target, crash)
        with pytest.raises(Crash):
            world.ca.issue(profile="receipt", generation=generation, subject=subject)
    with world.db.read() as session:
        row = session.scalars(sa.select(CertificateRow).where(CertificateRow.status == "issuing")).one()
    assert row.der is None  # the attempt is on record, and nothing else of it
    assert world.ca.certificates(generation.id) == []
    again = CertificateAuthorityService(world.db, world.keys, world.ca.config, now=world.now)
    made = again.issue(profile="receipt", generation=generation, subject=subject)
    assert again.certificates(generation.id) == [made]
    hashes = ocsp.issuer_hashes(again.chain(made)[1], "sha1")
    phantom = again.revocation._respond(again.authority("issuing-p256-1"), ocsp.CertId("sha1", *hashes, int(row.serial, 16)))
    assert ocsp.OcspResponse.parse(phantom).answers[0].status == "unknown"


def test_two_processes_see_each_others_changes_at_once(world: World) -> None:
    other = CertificateAuthorityService(world.db, world.keys, world.ca.config, now=world.now)
    _, certificate = world.seal(Suite.P256)
    issuer = world.ca.chain(certificate)[1]
    assert answer(world, certificate, issuer) == "good"
    other.revoke(certificate.serial, "superseded")
    assert answer(world, certificate, issuer) == "revoked"
    assert RevocationList.parse(world.ca.crl("issuing-p256-1")).entry(certificate.serial) is not None
