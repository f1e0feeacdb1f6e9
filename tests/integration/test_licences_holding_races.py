"""Two things at once about licences on phones, on both databases: what may happen once happens once."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa

from crypto.errors import Conflict, XinyinError
from formats import codes
from licences.holding_models import CopyRow
from licences.standing import line_of, managers
from store.db import Database
from tests.integration.holdings_world import Holdings
from tests.soft_phone import SoftPhone


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    home = tmp_path_factory.mktemp("races")
    database = Database.open(f"sqlite:///{home}/db.sqlite")
    if request.param == "postgresql":
        database = _new_database(request.getfixturevalue("postgresql"))
    return Holdings(home, database)


def at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each of several threads got that began together: its result, or its refusal."""
    barrier = Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return work()
        except XinyinError as exc:
            return exc

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_one_challenge_makes_one_copy_however_many_phones_answer_it(world: Holdings) -> None:
    owner = world.someone("样本 李店主")
    licence, challenge = world.business(owner), world.challenge(owner)
    proofs = [SoftPhone().proof(challenge) for _ in range(3)]
    found = at_once([lambda p=proof: world.download(owner, licence, proof=p) for proof in proofs])  # type: ignore[misc]
    assert sorted(one.code if isinstance(one, XinyinError) else "made" for one in found) == ["bad-proof", "bad-proof", "made"]


def test_two_downloads_of_one_phone_at_once_leave_no_credential_that_nothing_can_end(
    world: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, clerk = world.someone("样本 李店主"), world.someone("样本 王店员")
    licence = world.business(owner)
    world.download(owner, licence)
    given = world.grant(owner, licence, "staff", clerk)
    make, between = world.copies._make, list[Any]()

    def made_meanwhile(*arguments: Any) -> Any:
        signed = make(*arguments)
        if not between:  # the same phone downloads again, after this one is signed and before it is written
            between.append(None)
            between.append(world.download(clerk, licence))
        return signed

    monkeypatch.setattr(world.copies, "_make", made_meanwhile)
    [slower] = at_once([lambda: world.download(clerk, licence)])
    faster = between[1]
    got = [one for one in (faster, slower) if not isinstance(one, XinyinError)]
    world.grants.withdraw(owner.citizen, given["id"])
    assert [world.published(_signed(one)) for one in got] == [1] * len(got)
    assert isinstance(slower, Conflict)


def _signed(copy: dict[str, Any]) -> dict[str, Any]:
    """The place in the status list that the credential itself names, whatever is on record."""
    text = copy["credential"]
    place = codes.read_credential(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))).claims.status
    assert place is not None
    return {"status": {"uri": place.uri, "idx": place.index}}


def test_managers_named_at_the_same_moment_never_become_six(world: Holdings) -> None:
    owner = world.someone("样本 李店主")
    licence = world.business(owner)
    for n in range(3):
        world.grant(owner, licence, "manager", world.someone(f"管理{n}"))
    more = [world.someone(f"同时{n}") for n in range(4)]
    found = at_once([lambda m=one: world.grant(owner, licence, "manager", m) for one in more])  # type: ignore[misc]
    assert sum(not isinstance(one, XinyinError) for one in found) == 2
    with world.world.db.read() as session:
        assert managers(session, line_of(world.licences.row(licence["id"])), world.world.now()) == 5


def test_no_copy_outlives_the_withdrawal_that_came_while_it_was_made(world: Holdings) -> None:
    owner = world.someone("样本 李店主")
    licence = world.business(owner)
    world.download(owner, licence)
    for n in range(4):
        clerk = world.someone(f"办事{n}")
        given = world.grant(owner, licence, "staff", clerk)
        at_once(
            [
                lambda c=clerk: world.download(c, licence),  # type: ignore[misc]
                lambda g=given: world.grants.withdraw(owner.citizen, g["id"]),  # type: ignore[misc]
            ]
        )
        with world.world.db.read() as session:
            rows = session.scalars(sa.select(CopyRow).where(CopyRow.grant_id == given["id"])).all()
        assert {row.status for row in rows} <= {"withdrawn"}
        for row in rows:
            assert world.published({"status": {"uri": row.status_uri, "idx": row.status_index}}) == 1


def _new_database(url: str) -> Database:
    from store.ids import new_id

    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    name = new_id("races")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE template0"))
    admin.dispose()
    return Database.open(url.replace("/postgres?", f"/{name}?"))
