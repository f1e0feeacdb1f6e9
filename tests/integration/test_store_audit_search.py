"""The log is found in by object, kind, person and day, and any earlier checkpoint is proved to be its past."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats.auditlog import BadAuditFile, verify_consistency_proof, verify_stream
from store.audit import AuditLog, CheckpointKey, LogDamaged, NoSuchLeaf
from store.db import Database

KEY = SoftwareKey.generate(Suite.P256)
SIGNER = CheckpointKey("gen_log", KEY)
DAY = datetime(2026, 11, 21, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = DAY

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    database = Database.open(f"sqlite:///{tmp_path}/db.sqlite")
    database.migrate()
    return AuditLog(database, "310000", now=Clock())


def put(log: AuditLog, kind: str, actor: str, subject: str, day: int) -> str:
    log._now.now = DAY + timedelta(days=day, hours=1)
    return log.db.run(lambda s: log.append(s, kind=kind, actor=actor, subject={"seal": subject}, data={}))


@pytest.fixture
def filled(log: AuditLog) -> dict[str, str]:
    rows = {
        "made": ("seal.created", "account_a", "seal_1", 0),
        "used": ("seal.applied", "account_b", "seal_1", 1),
        "other": ("seal.applied", "account_a", "seal_2", 2),
        "key": ("sealing.odd", "account_b", "seal_2", 3),
    }
    return {name: put(log, *row) for name, row in rows.items()}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"subject": "seal_1"}, ["used", "made"]),
        ({"kind": "seal.applied"}, ["other", "used"]),
        ({"kind": "seal"}, ["other", "used", "made"]),
        ({"actor": "account_a"}, ["other", "made"]),
        ({"since": DAY + timedelta(days=1), "until": DAY + timedelta(days=3)}, ["other", "used"]),
        ({"kind": "seal.applied", "actor": "account_b", "subject": "seal_2"}, []),
        ({"kind": "%"}, []),
    ],
)
def test_entries_are_found_by_every_filter_and_by_all_of_them_together(
    log: AuditLog, filled: dict[str, str], filters: dict[str, Any], expected: list[str]
) -> None:
    assert [entry.id for entry in log.entries(**filters)] == [filled[name] for name in expected]


def test_pages_of_a_search_follow_one_another(log: AuditLog, filled: dict[str, str]) -> None:
    first = log.entries(kind="seal", limit=2)
    rest = log.entries(kind="seal", limit=2, before=first[-1].id)
    assert [e.id for e in first + rest] == [filled[name] for name in ("other", "used", "made")]


def test_one_entry_is_read_by_its_identifier_and_kinds_are_those_that_happened(log: AuditLog, filled: dict[str, str]) -> None:
    assert log.entry(filled["used"]).actor == "account_b"
    assert log.kinds() == ["seal.applied", "seal.created", "sealing.odd"]
    with pytest.raises(NoSuchLeaf):
        log.entry("leaf_none")


def test_any_earlier_checkpoint_is_proved_to_be_the_past_of_this_log_without_the_database(
    log: AuditLog, filled: dict[str, str]
) -> None:
    log.sequence(SIGNER)
    earlier = log.notes()[0]
    put(log, "seal.applied", "account_c", "seal_1", 4)
    log.sequence(SIGNER)
    proof = json.loads(json.dumps(log.consistency(earlier)))
    report = verify_stream(io.StringIO(json.dumps(proof)), [KEY.public_key])
    assert report.ok, report.findings
    assert report.size == len(filled) + 1
    assert log.notes() == [proof["checkpoint"], earlier]
    stranger = SoftwareKey.generate(Suite.P256).public_key
    assert {f.code for f in verify_consistency_proof(proof, [stranger]).findings} == {"checkpoint-forged", "not-an-extension"}
    proof["consistency"]["proof"] = [*proof["consistency"]["proof"][:-1], "00" * 32]
    assert [f.code for f in verify_consistency_proof(proof, [KEY.public_key]).findings] == ["not-an-extension"]


def test_a_rewritten_past_cannot_be_proved_to_extend_what_was_seen(log: AuditLog, tmp_path: Path) -> None:
    put(log, "seal.applied", "account_a", "seal_1", 0)
    log.sequence(SIGNER)
    seen = log.notes()[0]
    other = Database.open(f"sqlite:///{tmp_path}/other.sqlite")
    other.migrate()
    forged = AuditLog(other, "310000", now=Clock())
    put(forged, "seal.applied", "account_x", "seal_1", 0)
    put(forged, "seal.applied", "account_x", "seal_1", 1)
    forged.sequence(SIGNER)
    with pytest.raises(LogDamaged, match="does not extend"):
        forged.consistency(seen)


@pytest.mark.parametrize(
    "change", [{"extra": 1}, {"version": 2}, {"checkpoint": "x"}, {"consistency": None}, {"consistency": {"from": 1}}]
)
def test_what_has_not_the_form_of_a_consistency_proof_is_refused(
    log: AuditLog, filled: dict[str, str], change: dict[str, Any]
) -> None:
    log.sequence(SIGNER)
    proof = log.consistency(log.notes()[0])
    with pytest.raises(BadAuditFile):
        verify_consistency_proof({**proof, **change}, [KEY.public_key])
