"""``kill -9`` while a licence is put on a phone, then the same request again: one copy, one place, one leaf."""

from __future__ import annotations

import multiprocessing
import signal
from typing import Any

import pytest
import sqlalchemy as sa

from licences.holding_models import ChallengeRow, CopyRow
from licences.models import StatusPlaceRow
from licences.proofs import BadProof
from store.crashpoints import arm
from store.models import AuditLeafRow
from tests.integration.holdings_world import Holdings, Someone

FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    return Holdings(tmp_path_factory.mktemp("killed"))


@pytest.fixture(scope="module")
def owner(world: Holdings) -> Someone:
    return world.someone("样本 李店主")


@pytest.mark.parametrize(
    "point", ["intent.begun", "intent.worked", "intent.artefact-stored", "intent.commit-uncommitted", "intent.committed"]
)
def test_a_download_that_was_killed_is_finished_by_asking_again(world: Holdings, owner: Someone, point: str) -> None:
    licence = world.business(owner)
    proof, places = owner.phone.proof(world.challenge(owner)), _count(world, StatusPlaceRow)

    def die() -> None:
        world.world.db.engine.dispose(close=False)
        arm(point)
        world.download(owner, licence, proof=proof, idempotency_key=point)

    child = FORK.Process(target=die)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    committed = point == "intent.committed"
    assert len(_copies(world, licence)) == int(committed)
    copy = world.download(owner, licence, proof=proof, idempotency_key=point)  # the phone sends what it sent before
    assert [row.id for row in _copies(world, licence)] == [copy["id"]]
    assert _count(world, StatusPlaceRow) == places + 1
    with world.world.db.read() as session:
        leaves = session.scalars(sa.select(AuditLeafRow.kind).where(AuditLeafRow.body.contains(copy["id"]))).all()
        assert leaves == ["copy.issued"]
        assert session.scalar(sa.select(sa.func.count()).select_from(ChallengeRow)) == 0
    with pytest.raises(BadProof):  # its nonce is used up
        world.download(owner, licence, proof=proof)


def _copies(world: Holdings, licence: dict[str, Any]) -> list[CopyRow]:
    with world.world.db.read() as session:
        return list(session.scalars(sa.select(CopyRow).where(CopyRow.licence_id == licence["id"])))


def _count(world: Holdings, row: Any) -> int:
    with world.world.db.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(row)) or 0
