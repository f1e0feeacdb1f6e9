"""Founding, sealing, issuing and withdrawing on PostgreSQL, by several callers at once: what SQLite's one writer would hide."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from licences.service import LicenceService
from seals.sealing import Placement
from store.audit import CheckpointKey
from store.db import Database
from tests.integration import seals_world
from tests.integration.seals_world import APPROVAL, OPERATOR, REGION, World

ON_POSTGRESQL = {"test_many_callers_at_once_get_a_result_each_and_the_log_is_whole"}
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_many_callers_at_once_get_a_result_each_and_the_log_is_whole(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals_world, "Database", SimpleNamespace(open=lambda url: database))
    world = World(tmp_path)
    seal = world.seal()
    licences = LicenceService(
        world.db, world.keys, world.seals, world.intents, world.audit, world.blobs, world.authoriser, REGION
    )
    data: dict[str, Any] = json.loads((EXAMPLES / "licence.json").read_text(encoding="utf-8"))

    def apply(number: int) -> str:
        place = Placement(1, 120.0, 230.0)
        row, _ = world.seals.apply(
            OPERATOR, APPROVAL, seal_id=seal["id"], placement=place, suite="p256", idempotency_key=f"k{number % 12}"
        )
        return str(row["id"])

    def issue(number: int) -> str:
        return str(licences.issue(OPERATOR, "business-licence", data, idempotency_key=f"l{number}")[0]["identifier"])

    with ThreadPoolExecutor(6) as pool:
        first = list(pool.map(apply, range(12)))
        again = list(pool.map(apply, range(12)))
        issued = list(pool.map(issue, range(4)))
    assert first == again
    assert len(set(first)) == 12
    assert len(set(issued)) == 4
    assert world.seals.revoke(OPERATOR, seal["id"], reason="x")["status"] == "revoked"
    key = SoftwareKey.generate(Suite.P256)
    world.audit.sequence(CheckpointKey("gen_log", key))
    report = world.audit.verify([key.public_key])
    assert report.ok, report.findings
