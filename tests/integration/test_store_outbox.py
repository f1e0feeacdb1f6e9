"""Events are written with what they tell of, or not at all, and numbered so that a reader misses none."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from formats.canonical import NotCanonical
from store.db import Database
from store.models import EventRow
from store.outbox import MAX_BYTES, BadEvent, Event, Outbox

ON_POSTGRESQL = {
    "test_an_event_stands_or_falls_with_its_transaction",
    "test_events_are_numbered_once_and_in_the_order_they_came",
}
BOX = Outbox("310000")


def add(database: Database, kind: str = "impression.voided", **data: object) -> str:
    return database.run(lambda s: BOX.add(s, kind, {"impression": "impression_1", "seal": "seal_1"}, data))


def test_an_event_stands_or_falls_with_its_transaction(database: Database) -> None:
    kept = add(database, department="11310000MB0X700157", matter="A-118", status="voided")

    def broken(session: Session) -> None:
        BOX.add(session, "impression.voided", {"impression": "impression_2"}, {})
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        database.run(broken)
    with database.read() as session:
        rows = session.scalars(sa.select(EventRow)).all()
    assert [row.id for row in rows] == [kept]
    assert (rows[0].department, rows[0].matter, rows[0].impression_id) == ("11310000MB0X700157", "A-118", "impression_1")
    assert Event.of(rows[0]).to_dict()["data"]["status"] == "voided"


def test_events_are_numbered_once_and_in_the_order_they_came(database: Database) -> None:
    first, second = add(database), add(database)
    assert [(row.id, row.seq) for row in database.run(lambda s: BOX.number(s, batch=1))] == [(first, 1)]
    third = add(database)
    assert [(row.id, row.seq) for row in database.run(BOX.number)] == [(second, 2), (third, 3)]
    assert database.run(BOX.number) == []


@pytest.mark.parametrize("kind", ["", "voided", "Impression.voided", "impression.voided.twice", "a." + "b" * 70])
def test_a_kind_is_a_room_and_a_verb(database: Database, kind: str) -> None:
    with pytest.raises(BadEvent):
        add(database, kind)


def test_an_event_is_a_notice_and_carries_no_document(database: Database) -> None:
    with pytest.raises(BadEvent):
        add(database, text="章" * (MAX_BYTES // 3 + 1))
    with pytest.raises(NotCanonical):
        add(database, size=1.5)
