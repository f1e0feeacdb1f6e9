"""``kill -9`` while a document of a watched folder is on its way: it comes out once, applied for once, sealed once."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path

import pytest
import sqlalchemy as sa

from ceremonies.node import Node
from seals.models import ApplicationRow, ImpressionRow
from tests import watch_home
from tests.node_home import founded_home
from tests.watch_home import config, drop, prepare

# A clean interpreter that has loaded the rooms and opened nothing; every process of these tests is forked from it.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.watch_home"])
POINTS = [
    "watch.taken",
    "application.uncommitted",
    "watch.submitted",
    "signer.signed",
    "intent.commit-uncommitted",
    "application.document-sealed",
    "watch.written",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = founded_home("watching-killed")
    node = Node.open(folder)
    prepare(node, tmp_path_factory.mktemp("folders"))
    node.close()
    return folder


def run(home: Path, *point: str) -> int | None:
    process = PROCESSES.Process(target=watch_home.work, args=(str(home), "instant", *point))
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_it_comes_out_once(home: Path, point: str) -> None:
    place, title = config(home, "instant"), f"killed at {point}"
    drop(place.inbox, f"{title}.pdf")
    assert run(home, point) == -signal.SIGKILL
    assert run(home) == 0
    assert (place.outbox / f"{title}.pdf").exists()
    assert (place.outbox / f"{title}.pdf.json").exists()
    assert [path.name for path in place.inbox.iterdir()] == [".taken"]
    assert [path.name for path in place.taken.iterdir()] == [".lock"]
    node = Node.open(home)
    with node.db.read() as session:
        applications = session.scalars(sa.select(ApplicationRow).where(ApplicationRow.title == title)).all()
        sealed = session.scalars(
            sa.select(ImpressionRow).where(ImpressionRow.application_id.in_([one.id for one in applications]))
        ).all()
    node.close()
    assert (len(applications), len(sealed)) == (1, 1)
