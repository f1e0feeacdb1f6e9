"""``kill -9`` while a notice is on its way: it is sent again, the same one, and nobody is left untold."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from records.delivery import Courier
from records.models import DeliveryRow
from store.crashpoints import arm
from store.models import EventRow
from tests.databases import migrated
from tests.integration.test_records_callbacks import World, jwt_id
from tests.receiver import receiving

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = migrated(tmp_path / "db.sqlite")
    with receiving() as receiver:
        yield World(database, receiver)


def killed_at(courier: Courier, name: str) -> None:
    """Run the courier in a process of its own that dies at a named line."""

    def work() -> None:
        arm(name)
        courier.work()

    child = FORK.Process(target=work)
    child.start()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL


def test_a_notice_that_was_taken_when_the_worker_died_comes_again_under_the_same_number(world: World) -> None:
    world.subscribe(world.oa)
    world.happens()
    killed_at(world.courier, "call-back.pushed")
    assert len(world.receiver.wait_for(1)) == 1
    assert world.courier.work() == 0, "it may still be on its way"
    world.at += timedelta(minutes=11)
    assert world.courier.work() == 1
    first, second = map(jwt_id, world.receiver.tokens)
    assert first == second
    assert world.courier.work() == 0


def test_an_event_is_numbered_and_handed_out_in_one_step(world: World) -> None:
    world.subscribe(world.oa)
    world.happens()
    killed_at(world.courier, "call-back.handed-out-uncommitted")
    with world.db.read() as session:
        assert session.scalars(sa.select(EventRow.seq)).all() == [None]
        assert session.scalars(sa.select(DeliveryRow)).all() == []
    assert world.courier.work() == 1
