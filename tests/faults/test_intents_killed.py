"""``kill -9`` at every named line of the path of a signature, then a restart and the same request again.

A real process with a real database, blob directory, key and audit log is killed; what it left is then examined, and a second
process asks again with the same idempotency key. The path through tokens and the signer's socket is killed at the same points
in ``test_sealing_killed.py``.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.keys import PublicKey, SoftwareKey
from crypto.suites import Suite
from store.audit import AuditLog, CheckpointKey
from store.blobs import BlobStore
from store.crashpoints import CRASH_POINTS, arm, crash_point
from store.db import Database, utc_now
from store.intents import Attempt, IntentService, Outcome, Result, record_use
from store.models import AttemptRow, AuditCheckpointRow, AuditLeafRow, IntentRow, KeyUseRow

ROOT = Path(__file__).resolve().parents[2]
KEY = SoftwareKey.generate(Suite.P256)
DOCUMENT = b"approval of a fictitious matter"
FORK = multiprocessing.get_context("fork")

SEALING = [name for name in CRASH_POINTS if name.startswith(("blob.", "intent.", "signer."))]
SEQUENCING = [name for name in CRASH_POINTS if name.startswith("audit.")]
COMMITTED = {"intent.committed"}
USED_BEFORE_DEATH = {
    "signer.use-recorded",
    "signer.signed",
    "intent.worked",
    "blob.written",
    "blob.renamed",
    "intent.artefact-stored",
    "intent.commit-uncommitted",
    "intent.committed",
}


class Home:
    """What one process opens: nothing is shared with another but the files."""

    def __init__(self, path: Path) -> None:
        self.db = Database.open(f"sqlite:///{path}/db.sqlite")
        self.blobs = BlobStore(path / "blobs")
        self.audit = AuditLog(self.db, "310000", witness=path / "log" / "checkpoint")
        self.intents = IntentService(self.db, self.blobs, "310000")

    def work(self, attempt: Attempt) -> Outcome:
        """Record the use, sign, append the signature: the order that the signer keeps."""

        def use(session: Session) -> None:
            record_use(session, attempt, "gen_1", hashlib.sha256(DOCUMENT).hexdigest(), now=utc_now())
            crash_point("signer.use-uncommitted")

        self.db.run(use)
        crash_point("signer.use-recorded")
        signature = KEY.sign(DOCUMENT)
        crash_point("signer.signed")
        return Outcome(artefact=DOCUMENT + signature)

    def commit(self, session: Session, outcome: Outcome, attempt: Attempt) -> Mapping[str, Any]:
        self.audit.append(
            session, kind="seal.applied", actor="account_1", subject={"seal": "seal_1"}, data={"document": outcome.blob}
        )
        return {"document": outcome.blob}

    def seal(self, key: str = "approval-17") -> Result:
        return self.intents.perform(
            account="account_1",
            operation="seal.apply",
            key=key,
            request_digest=hashlib.sha256(DOCUMENT).hexdigest(),
            subject={"seal": "seal_1"},
            generation_ids=["gen_1"],
            work=self.work,
            commit=self.commit,
        )

    def rows(self, table: type[Any]) -> list[Any]:
        with self.db.read() as session:
            return list(session.scalars(sa.select(table)))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    opened = Home(tmp_path)
    opened.db.migrate()
    return opened


def killed(work: Callable[[], Any], point: str, nth: int = 1) -> None:
    """Run ``work`` in a child that is killed at ``point``; fails if the child gets past it."""

    def run() -> None:
        arm(point, nth)
        work()

    child = FORK.Process(target=run)
    child.start()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL, f"{point} was not reached"


@pytest.mark.parametrize("point", SEALING)
def test_killed_anywhere_and_asked_again_there_is_one_result(home: Home, tmp_path: Path, point: str) -> None:
    killed(home.seal, point)
    left = home.rows(IntentRow)
    assert len(home.rows(AuditLeafRow)) == (1 if point in COMMITTED else 0)
    assert [row.status for row in left] == (
        [] if point == "intent.begin-uncommitted" else ["done" if point in COMMITTED else "running"]
    )
    assert len(home.rows(KeyUseRow)) == (1 if point in USED_BEFORE_DEATH else 0)

    result = Home(tmp_path).seal()

    assert result.replayed == (point in COMMITTED)
    assert [(row.status, row.blob) for row in home.rows(IntentRow)] == [("done", result.blob)]
    assert len(home.rows(AuditLeafRow)) == 1
    assert result.blob is not None
    sealed = home.blobs.get(result.blob)
    assert sealed.startswith(DOCUMENT)
    assert PublicKey.from_spki(KEY.public_key.spki).verify(DOCUMENT, sealed[len(DOCUMENT) :])
    attempts = {(row.intent_id, row.number): row.outcome for row in home.rows(AttemptRow)}
    assert {(row.intent_id, row.attempt) for row in home.rows(KeyUseRow)} <= set(attempts)
    assert list(attempts.values()).count("committed") == 1
    assert None not in attempts.values()
    again = Home(tmp_path).seal()
    assert (again.replayed, again.blob) == (True, result.blob)


@pytest.mark.parametrize("point", ["intent.begun", "signer.signed", "intent.commit-uncommitted"])
def test_killed_three_times_over_there_is_still_one_result(home: Home, point: str) -> None:
    for _ in range(3):
        killed(home.seal, point)
    result = home.seal()
    assert result.attempt == 4
    assert len(home.rows(AuditLeafRow)) == len(home.rows(IntentRow)) == 1
    assert sorted(row.outcome for row in home.rows(AttemptRow)) == ["committed", "superseded", "superseded", "superseded"]


@pytest.mark.parametrize("point", SEQUENCING)
def test_a_sequencer_killed_anywhere_numbers_each_leaf_once_and_makes_up_for_its_checkpoint(
    home: Home, tmp_path: Path, point: str
) -> None:
    signer = CheckpointKey("gen_log", KEY)
    for number in range(3):
        home.seal(f"before-{number}")
    assert home.audit.sequence(signer) is not None
    for number in range(4):
        home.seal(f"after-{number}")
    killed(lambda: home.audit.sequence(signer), point)

    restarted = Home(tmp_path)
    restarted.audit.sequence(signer)

    assert sorted(row.seq for row in home.rows(AuditLeafRow)) == list(range(7))
    assert sorted(row.size for row in home.rows(AuditCheckpointRow)) == [3, 7]
    report = restarted.audit.verify([KEY.public_key])
    assert report.ok, report.findings
    assert (tmp_path / "log" / "checkpoint").read_text().split("\n")[1] == "7"


def test_a_blob_that_nothing_names_is_all_that_a_crash_leaves_lying_about(home: Home, tmp_path: Path) -> None:
    killed(home.seal, "intent.artefact-stored")
    killed(home.seal, "blob.written")
    result = home.seal()
    named = {row.blob for row in home.rows(IntentRow)}
    files = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert named == {result.blob}
    assert len([path for path in files if path.suffix == ".tmp"]) == 1
    assert len(files) == 3


def test_no_room_can_arm_a_crash_point() -> None:
    """Only tests do; there is no setting and no environment variable that production could stumble over."""
    mentions = []
    for path in ROOT.glob("*/**/*.py"):
        relative = path.relative_to(ROOT)
        if relative.parts[0] in ("tests", ".venv", "build") or relative == Path("store/crashpoints.py"):
            continue
        text = path.read_text(encoding="utf-8")
        if "crashpoints" in text and re.search(r"\barm\b", text):
            mentions.append(str(relative))
    assert mentions == []
    assert "os.environ" not in (ROOT / "store" / "crashpoints.py").read_text(encoding="utf-8")
    with pytest.raises(ValueError):
        arm("nowhere")
