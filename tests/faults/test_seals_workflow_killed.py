"""``kill -9`` while applications are handed in, signed off and sealed: none is lost, sealed twice, or without its 签发."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from seals.models import ApplicationDocumentRow, ApplicationRow, ApplicationStepRow, ImpressionRow
from store.audit import AuditLog, CheckpointKey
from store.blobs import BlobStore
from store.db import Database
from store.models import AuditLeafRow, EventRow, IntentRow, KeyUseRow
from tests.faults import sealing_home, workflow_home
from verify.schemas import VerificationContext
from verify.service import verify_bytes
from verify.trust import TrustStore

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.faults.workflow_home"])

SEALING = [
    ("intent.begun", 1),
    ("signer.signed", 2),
    ("intent.artefact-stored", 1),
    ("intent.commit-uncommitted", 3),
    ("intent.committed", 3),
    ("application.document-sealed", 1),
]


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


def killed(home: Path, action: str, what: str, point: str, nth: int = 1) -> None:
    process = start(workflow_home.act, str(home), action, what, point=point, nth=nth)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, f"{point} was not reached"


def done(home: Path, action: str, what: str) -> dict[str, Any]:
    answer = home / f"{action}-{what}.json"
    answer.unlink(missing_ok=True)
    process = start(workflow_home.act, str(home), action, what, answer=str(answer))
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

    def kinds(self, application: str) -> Counter[str]:
        return Counter(entry.kind for entry in AuditLog(self.db, "310000").history(application))


def check_sealed_once(home: Path, application: str) -> None:
    """Each document has one impression that is intact, one leaf, one intent; the sign-off is older than any use of the key."""
    book = Book(home)
    (row,) = book.all(ApplicationRow, ApplicationRow.id == application)
    documents = book.all(ApplicationDocumentRow, ApplicationDocumentRow.application_id == application)
    uses = book.all(ImpressionRow, ImpressionRow.application_id == application)
    intents = book.all(IntentRow, IntentRow.account == application)
    assert row.status == "sealed"
    assert sorted(one.impression_id for one in documents) == sorted(one.id for one in uses)
    assert Counter(one.input_sha256 for one in uses) == Counter(one.sha256 for one in documents)
    assert [one.status for one in intents] == ["done"] * workflow_home.DOCUMENTS
    kinds = book.kinds(application)
    assert (kinds["seal.applied"], kinds["application.sealed"], kinds["application.signed-off"]) == (len(documents), 1, 1)
    (signed,) = book.all(
        ApplicationStepRow, ApplicationStepRow.application_id == application, ApplicationStepRow.step == "sign-off"
    )
    key_uses = book.all(KeyUseRow, KeyUseRow.intent_id.in_([one.id for one in intents]))
    assert signed.state == "done"
    assert min(one.at for one in key_uses) > signed.at
    for one in uses:
        verdict = verify_bytes(
            book.blobs.get(one.document_sha256), name="x.pdf", context=VerificationContext(trust=TrustStore())
        )
        assert [signature["intact"] for signature in verdict["signatures"]] == [True]


@pytest.mark.parametrize(("point", "nth"), SEALING)
def test_sealing_killed_anywhere_goes_on_where_it_was_whoever_asks(home: Path, point: str, nth: int) -> None:
    made = done(home, "signed", f"{point}-{nth}")["id"]
    killed(home, "use", made, point, nth)
    result = done(home, "use-as-another", made)
    assert [one["status"] for one in result["documents"]] == ["sealed"] * workflow_home.DOCUMENTS
    check_sealed_once(home, made)


def test_two_keepers_who_seal_at_once_seal_each_document_once(home: Path) -> None:
    made = done(home, "signed", "pair")["id"]
    signer = start(sealing_home.serve_keys, str(home))
    try:
        socket = home / "run" / "signer.sock"
        while not socket.exists():
            signer.join(0.05)
        pair = [start(workflow_home.act, str(home), action, made, host=False) for action in ("use", "use-as-another")]
        for process in pair:
            process.join(60)
    finally:
        signer.kill()
        signer.join()
    done(home, "use", made)  # one of the two may have been told that the other is at it
    check_sealed_once(home, made)


@pytest.mark.parametrize("point", ["intent.begun", "application.uncommitted", "intent.committed"])
def test_handing_in_killed_anywhere_leaves_one_application(home: Path, point: str) -> None:
    key = f"put-{point}"
    killed(home, "submit", key, point)
    made = done(home, "submit", key)
    book = Book(home)
    (intent,) = book.all(IntentRow, IntentRow.key == key)
    assert intent.result == {"id": made["id"]}
    assert book.kinds(made["id"]) == {"application.submitted": 1}
    assert len(book.all(EventRow, EventRow.kind == "application.submitted")) == len(book.all(ApplicationRow))


def test_a_rule_that_signs_off_does_so_with_the_application_or_not_at_all(home: Path) -> None:
    killed(home, "instant", "instant", "application.uncommitted")
    before = Book(home).all(ApplicationRow, ApplicationRow.matter == "registration-notice")
    made = done(home, "instant", "instant")
    assert before == []
    assert made["status"] == "signed-off"
    assert Book(home).kinds(made["id"]) == {"application.submitted": 1, "application.signed-off": 1}


@pytest.mark.parametrize("action", ["sign", "amend"])
def test_an_act_killed_before_its_commit_did_not_happen(home: Path, action: str) -> None:
    made = done(home, "submit", f"act-{action}")
    killed(home, action, made["id"], "application.uncommitted")
    book = Book(home)
    (row,) = book.all(ApplicationRow, ApplicationRow.id == made["id"])
    assert (row.status, row.round, row.content_sha256) == ("submitted", 1, made["content_sha256"])
    assert book.kinds(made["id"]) == {"application.submitted": 1}
    process = start(workflow_home.act, str(home), "use", made["id"])
    process.join(60)
    assert process.exitcode == 1, "nothing is sealed without its sign-off"
    assert book.all(ImpressionRow, ImpressionRow.application_id == made["id"]) == []
    again = done(home, action, made["id"])
    assert (again["status"], again["round"]) == (("signed-off", 1) if action == "sign" else ("submitted", 2))


def test_after_all_that_nothing_was_sealed_without_its_sign_off_and_the_log_is_whole(home: Path) -> None:
    """Runs last: what the deaths above left behind, taken together."""
    book = Book(home)
    uses = book.all(ImpressionRow)
    assert len(uses) >= workflow_home.DOCUMENTS * len(SEALING)
    sealed = Counter((one.application_id, one.input_sha256) for one in uses)
    assert set(sealed.values()) == {1}
    signed = {row.id for row in book.all(ApplicationRow, ApplicationRow.signer_off.is_not(None))}
    assert {one.application_id for one in uses} <= signed
    log = AuditLog(book.db, "310000", witness=home / "log" / "checkpoint")
    key = SoftwareKey.generate(Suite.P256)
    log.sequence(CheckpointKey("gen_log", key))
    report = log.verify([key.public_key])
    assert report.ok, report.findings
    assert report.size == len(book.all(AuditLeafRow))
