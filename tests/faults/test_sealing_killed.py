"""``kill -9`` while real documents are sealed and real licences issued with keys in tokens: the service, then the signer.

Each test kills a process at a named line (:mod:`store.crashpoints`), asks again with the same idempotency key from a new one,
and counts: one result, one serial number, one audit leaf, every use of a key under a numbered attempt. First the service holds
the tokens itself; then a signer does, behind its socket, and either of the two is killed.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from hsm.models import KeyGenerationRow
from licences.models import LicenceRow
from seals.models import ImpressionRow, SealKeyRow, SealRow
from store.audit import AuditLog, CheckpointKey
from store.blobs import BlobStore
from store.db import Database
from store.models import AttemptRow, AuditLeafRow, IntentRow, KeyUseRow
from tests.faults import sealing_home
from verify.schemas import VerificationContext
from verify.service import verify_bytes
from verify.trust import TrustStore

# A clean interpreter that has loaded the rooms and no driver; every process of these tests is forked from it.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.faults.sealing_home"])

POINTS = [
    "intent.begin-uncommitted",
    "intent.begun",
    "signer.use-uncommitted",
    "signer.use-recorded",
    "signer.signed",
    "intent.worked",
    "blob.written",
    "blob.renamed",
    "intent.artefact-stored",
    "intent.commit-uncommitted",
    "intent.committed",
]
SIGNER_POINTS = ["signer.use-uncommitted", "signer.use-recorded", "signer.signed"]
ROWS = {"seal": ImpressionRow, "issue": LicenceRow}
LEAVES = {"seal": "seal.applied", "issue": "licence.issued"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node")
    founding = start(sealing_home.found, str(folder))
    founding.join(120)
    assert founding.exitcode == 0
    return folder


def start(target: Any, *arguments: Any, **options: Any) -> BaseProcess:
    process = PROCESSES.Process(target=target, args=arguments, kwargs=options)
    process.start()
    return process


def killed(home: Path, action: str, key: str, point: str, **options: Any) -> None:
    process = start(sealing_home.act, str(home), action, key, point=point, **options)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, f"{point} was not reached"


def done(home: Path, action: str, key: str, **options: Any) -> dict[str, Any]:
    answer = home / f"{key}.json"
    answer.unlink(missing_ok=True)
    process = start(sealing_home.act, str(home), action, key, answer=str(answer), **options)
    process.join(60)
    assert process.exitcode == 0
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found


class Book:
    """What the database of a home says, read without opening a token."""

    def __init__(self, home: Path) -> None:
        self.db = Database.open(f"sqlite:///{home}/db.sqlite")
        self.blobs = BlobStore(home / "blobs")

    def all(self, table: type[Any], *where: sa.ColumnElement[bool]) -> list[Any]:
        with self.db.read() as session:
            return list(session.scalars(sa.select(table).where(*where)))

    def intent(self, key: str) -> IntentRow:
        found = self.all(IntentRow, IntentRow.key == key)
        assert len(found) == 1
        row: IntentRow = found[0]
        return row

    def uses(self, key: str) -> list[KeyUseRow]:
        return self.all(KeyUseRow, KeyUseRow.intent_id == self.intent(key).id)


def check_one_result(home: Path, action: str, key: str, result: dict[str, Any]) -> None:
    """One row, one leaf, one artefact that is intact; uses of keys under attempts that exist, one of which was committed."""
    book = Book(home)
    intent = book.intent(key)
    assert (intent.status, intent.error) == ("done", None)
    rows = book.all(ROWS[action], ROWS[action].intent_id == intent.id)
    assert [row.id for row in rows] == [result["id"]]
    leaves = [leaf for leaf in AuditLog(book.db, "310000").history(result["id"]) if leaf.kind == LEAVES[action]]
    assert len(leaves) == 1
    assert intent.leaf_id == leaves[0].id
    attempts = {row.number: row.outcome for row in book.all(AttemptRow, AttemptRow.intent_id == intent.id)}
    assert sorted(attempts) == list(range(1, intent.attempt + 1))
    assert [number for number, outcome in attempts.items() if outcome == "committed"] == [intent.attempt]
    uses = book.uses(key)
    assert {use.attempt for use in uses} <= set(attempts)
    assert {use.generation_id for use in uses if use.attempt == intent.attempt} == set(intent.generation_ids)
    assert intent.blob is not None
    verdict = verify_bytes(book.blobs.get(intent.blob), name="x.pdf", context=VerificationContext(trust=TrustStore()))
    assert {signature["intact"] for signature in verdict["signatures"]} == {True}


@pytest.mark.parametrize("action", ["seal", "issue"])
@pytest.mark.parametrize("point", POINTS)
def test_the_service_killed_anywhere_and_asked_again_gives_one_result(home: Path, action: str, point: str) -> None:
    key = f"{action}-{point}"
    killed(home, action, key, point)
    result = done(home, action, key)
    check_one_result(home, action, key, result)
    expected = {"intent.begin-uncommitted": 1, "intent.committed": 1}.get(point, 2)
    assert Book(home).intent(key).attempt == expected


@pytest.mark.parametrize("point", ["intent.begun", "intent.worked", "intent.commit-uncommitted", "intent.committed"])
def test_the_service_killed_while_a_seal_is_made_leaves_one_seal_and_no_key_without_one(home: Path, point: str) -> None:
    key = f"make-{point}"
    killed(home, "make", key, point)
    result = done(home, "make", key)
    book = Book(home)
    rows = book.all(SealRow, SealRow.intent_id == book.intent(key).id)
    assert [(row.id, row.status) for row in rows] == [(result["id"], "in-force")]
    made = [leaf for leaf in AuditLog(book.db, "310000").history(result["id"]) if leaf.kind == "seal.created"]
    assert len(made) == 1
    roles = [row.role_id for row in book.all(SealKeyRow, SealKeyRow.seal_id == result["id"])]
    generations = book.all(KeyGenerationRow, KeyGenerationRow.role_id.in_(roles))
    assert [row.state for row in generations] == ["active"]
    assert len(result["certificates"]) == 1


@pytest.fixture
def signers(home: Path) -> Iterator[list[BaseProcess]]:
    running: list[BaseProcess] = []
    yield running
    for process in running:
        if process.is_alive():
            process.kill()
        process.join()


def signer(home: Path, running: list[BaseProcess], point: str | None = None) -> BaseProcess:
    """A signer's process, once it answers on its socket."""
    process = start(sealing_home.serve_keys, str(home), point)
    running.append(process)
    socket, deadline = home / "run" / "signer.sock", time.monotonic() + 30
    while not (socket.exists() and process.is_alive() and _holds_lock(home, process)):
        assert time.monotonic() < deadline, "the signer does not start"
        time.sleep(0.02)
    return process


def _holds_lock(home: Path, process: BaseProcess) -> bool:
    return (home / "run" / "signer.lock").read_text().strip() == str(process.pid)


@pytest.mark.parametrize("action", ["seal", "issue"])
@pytest.mark.parametrize("point", SIGNER_POINTS)
def test_the_signer_killed_anywhere_loses_nothing_and_its_successor_signs_for_the_same_attempt(
    home: Path, signers: list[BaseProcess], action: str, point: str
) -> None:
    key = f"{action}-signer-{point}"
    first = signer(home, signers, point)
    answer = home / f"{key}.json"
    service = start(sealing_home.act, str(home), action, key, host=False, answer=str(answer))
    first.join(30)
    assert first.exitcode == -signal.SIGKILL
    signer(home, signers)
    service.join(60)
    assert service.exitcode == 0
    result = json.loads(answer.read_text(encoding="utf-8"))
    check_one_result(home, action, key, result)
    book = Book(home)
    assert book.intent(key).attempt == 1
    assert done(home, action, key, host=False)["id"] == result["id"]


@pytest.mark.parametrize("point", ["intent.begun", "intent.worked", "intent.commit-uncommitted"])
def test_the_service_killed_while_the_signer_lives_is_taken_over_at_once(
    home: Path, signers: list[BaseProcess], point: str
) -> None:
    key = f"seal-beside-{point}"
    signer(home, signers)
    killed(home, "seal", key, point, host=False)
    result = done(home, "seal", key, host=False)
    check_one_result(home, "seal", key, result)
    assert Book(home).intent(key).attempt == 2


def test_two_services_with_one_key_at_once_give_one_result(home: Path, signers: list[BaseProcess]) -> None:
    signer(home, signers)
    answers = [home / f"pair-{number}.json" for number in range(2)]
    pair = [start(sealing_home.act, str(home), "issue", "pair", host=False, answer=str(path)) for path in answers]
    for process in pair:
        process.join(60)
    results = [json.loads(path.read_text(encoding="utf-8")) for path in answers if path.exists()]
    assert len(results) >= 1  # the other one may have been told that it is still running
    assert len({result["id"] for result in results}) == 1
    check_one_result(home, "issue", "pair", results[0])
    assert {use.attempt for use in Book(home).uses("pair")} == {1}


def test_after_all_that_no_number_is_double_and_the_log_is_whole(home: Path) -> None:
    """Runs last: what the deaths above left behind, taken together."""
    book = Book(home)
    for key in ("seal-last", "issue-last"):
        done(home, key.partition("-")[0], key)
    licences = book.all(LicenceRow)
    assert len({row.identifier for row in licences}) == len(licences)
    issued = [row for row in book.all(IntentRow) if row.operation == "licence.issue"]
    assert len(licences) == len([row for row in issued if row.status == "done"]) == len(issued)
    numbered = {(row.intent_id, row.number) for row in book.all(AttemptRow)}
    assert {(row.intent_id, row.attempt) for row in book.all(KeyUseRow)} <= numbered
    log = AuditLog(book.db, "310000", witness=home / "log" / "checkpoint")
    key = SoftwareKey.generate(Suite.P256)
    log.sequence(CheckpointKey("gen_log", key))
    report = log.verify([key.public_key])
    assert report.ok, report.findings
    assert report.size == len(book.all(AuditLeafRow))
