"""Sealing and issuing on PostgreSQL, whose transactions lose races where SQLite's wait."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from licences.models import LicenceRow, SerialRow
from licences.service import LicenceService
from seals.models import ImpressionRow
from seals.schemas import SealNotInForce
from seals.sealing import Placement
from store.db import Database
from store.intents import StillRunning
from tests.integration.seals_world import APPROVAL, OPERATOR, REGION, World

DATA = json.loads((Path(__file__).resolve().parents[2] / "examples" / "licence.json").read_text(encoding="utf-8"))


def test_licences_and_seals_keep_their_promises_on_postgresql(postgresql_database: Database, tmp_path: Path) -> None:
    world = World(tmp_path, database=postgresql_database)
    licences = LicenceService(
        world.db, world.keys, world.seals, world.intents, world.audit, world.blobs, world.authoriser, REGION, now=world.now
    )
    seal = world.seal(suites=("p256", "sm2"))

    def issue(i: int) -> str:
        while True:
            try:
                return str(licences.issue(OPERATOR, "business-licence", DATA, idempotency_key=f"k-{i % 5}")[0]["identifier"])
            except StillRunning:
                continue

    with ThreadPoolExecutor(5) as pool:
        identifiers = list(pool.map(issue, range(10)))
    assert len(set(identifiers)) == 5
    assert identifiers[:5] == identifiers[5:]
    with world.db.read() as session:
        assert sorted(session.scalars(sa.select(SerialRow.number))) == [1, 2, 3, 4, 5]
        assert session.scalar(sa.select(sa.func.count()).select_from(LicenceRow)) == 5
        assert session.scalar(sa.select(sa.func.count()).select_from(ImpressionRow)) == 5
    now = datetime.now(UTC)
    licences.suspend(OPERATOR, identifiers[0], basis="x")
    licences.resume(OPERATOR, identifiers[0], basis="x")
    licences.revoke(OPERATOR, identifiers[0], kind="撤销", basis="x", effective=now.date() - timedelta(days=9))
    states = [licences.status_at(identifiers[0], now, known_at=known) for known in (now, None)]
    assert [s.status for s in states if s] == ["in-force", "withdrawn"]
    first = world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=Placement(2, 137, 175), idempotency_key="a")
    again = world.seals.apply(OPERATOR, APPROVAL, seal_id=seal["id"], placement=Placement(2, 137, 175), idempotency_key="a")
    assert first == again
    world.seals.suspend(OPERATOR, seal["es_id"], reason="x")
    with pytest.raises(SealNotInForce):
        licences.issue(OPERATOR, "business-licence", DATA)
    page = licences.list(OPERATOR, limit=2)
    assert page.next is not None
    assert {item["id"] for item in page.items}.isdisjoint(
        item["id"] for item in licences.list(OPERATOR, cursor=page.next).items
    )
