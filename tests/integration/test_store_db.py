"""Database, blobs, identifiers: what survives, what is refused."""

from __future__ import annotations

import multiprocessing
import os
import re
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError, StatementError
from sqlalchemy.orm import Session

from formats.canonical import NotCanonical, canonical_digest, canonical_json
from store import blobs as blobs_module
from store.blobs import BlobDamaged, BlobMissing, BlobStore
from store.db import BadDatabaseUrl, Database, DatabaseBusy
from store.ids import new_id
from store.models import AuditHeadRow


@pytest.fixture
def db(database: Database) -> Database:
    return database


def head(region: str = "310000", size: int = 0, at: datetime | None = None) -> AuditHeadRow:
    return AuditHeadRow(region=region, size=size, root="0" * 64, updated_at=at or datetime.now(UTC))


@pytest.mark.parametrize(
    "url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://localhost/x", "sqlite+aiosqlite:///x"]
)
def test_addresses_of_databases_that_cannot_hold_the_promises_are_refused(url: str) -> None:
    with pytest.raises(BadDatabaseUrl):
        Database.open(url)


def test_a_refused_address_is_not_repeated_with_its_password() -> None:
    with pytest.raises(BadDatabaseUrl) as refusal:
        Database.open("mysql://user:geheim@host/x")
    assert "geheim" not in str(refusal.value)
    assert "geheim" not in str(refusal.value.detail)


def test_writers_take_turns_and_none_is_lost(db: Database) -> None:
    db.run(lambda session: session.add(head()))

    def increment(session: Session) -> None:
        row = session.get(AuditHeadRow, "310000")
        assert row is not None
        row.size += 1

    threads = [threading.Thread(target=lambda: [db.run(increment) for _ in range(25)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as session:
        row = session.get(AuditHeadRow, "310000")
    assert row is not None
    assert row.size == 200


def test_a_failed_block_is_rolled_back_whole(db: Database) -> None:
    def half(session: Session) -> None:
        session.add(head())
        session.flush()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        db.run(half)
    with db.read() as session:
        assert session.get(AuditHeadRow, "310000") is None


def test_nothing_done_in_a_read_is_kept(db: Database) -> None:
    with db.read() as session:
        session.add(head())
        session.flush()
    with db.read() as session:
        assert session.get(AuditHeadRow, "310000") is None


def test_a_reader_sees_one_moment_while_others_write(db: Database) -> None:
    db.run(lambda session: session.add(head()))
    with db.read() as session:
        before = session.scalar(sa.select(AuditHeadRow.size))
        db.run(lambda other: other.execute(sa.update(AuditHeadRow).values(size=7)))
        assert session.scalar(sa.select(AuditHeadRow.size)) == before == 0


def test_a_race_lost_for_good_is_named(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.db.time.sleep", lambda _: None)
    calls: list[int] = []

    def locked(session: Session) -> None:
        calls.append(1)
        raise OperationalError("x", {}, Exception("database is locked"))

    with pytest.raises(DatabaseBusy):
        db.run(locked)
    assert len(calls) == 20


def test_sqlite_keeps_what_was_committed_and_checks_foreign_keys(db: Database) -> None:
    with db.read() as session:
        assert session.scalar(sa.text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(sa.text("PRAGMA synchronous")) == 2  # FULL
        assert session.scalar(sa.text("PRAGMA foreign_keys")) == 1


def test_times_are_aware_in_and_out_and_naive_ones_are_refused(db: Database) -> None:
    beijing = datetime(2026, 11, 21, 16, 0, 0, 123456, tzinfo=timezone(timedelta(hours=8)))
    db.run(lambda session: session.add(head(at=beijing)))
    with db.read() as session:
        row = session.get(AuditHeadRow, "310000")
        assert row is not None
        assert row.updated_at == beijing
        assert row.updated_at.utcoffset() == timedelta(0)
        assert session.scalar(sa.select(AuditHeadRow.region).where(AuditHeadRow.updated_at <= beijing)) == "310000"
    with pytest.raises(StatementError):
        db.run(lambda session: session.add(head("320000", at=datetime(2026, 1, 1))))


def _child(db: Database, queue: multiprocessing.Queue[int]) -> None:
    db.run(lambda session: session.execute(sa.update(AuditHeadRow).values(size=AuditHeadRow.size + 1)))
    queue.put(os.getpid())


def test_a_forked_child_opens_its_own_connections(db: Database) -> None:
    db.run(lambda session: session.add(head()))
    engine = db.engine
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[int] = context.Queue()
    children = [context.Process(target=_child, args=(db, queue)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert db.engine is engine
    with db.read() as session:
        assert session.scalar(sa.select(AuditHeadRow.size)) == 3


def test_identifiers_sort_by_time_and_do_not_repeat() -> None:
    made = [new_id("seal") for _ in range(5000)]
    assert len(set(made)) == 5000
    assert all(re.fullmatch(r"seal_[0-9a-hjkmnp-tv-z]{26}", identifier) for identifier in made)
    assert made == sorted(made)


# -- blobs ------------------------------------------------------------------------------------------------------------------


def test_a_blob_comes_back_and_is_kept_once(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs")
    digest = store.put(b"approval")
    assert store.put(b"approval") == digest
    assert store.get(digest) == b"approval"
    assert store.exists(digest)
    assert [path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == [digest]
    assert store.path(digest).stat().st_mode & 0o777 == 0o600


def test_a_changed_blob_is_found_out_and_mended_when_its_bytes_come_by_again(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = store.put(b"approval")
    store.path(digest).write_bytes(b"approvaI")
    with pytest.raises(BlobDamaged):
        store.get(digest)
    store.put(b"approval")
    assert store.get(digest) == b"approval"


def test_tidying_removes_old_temporary_files_and_nothing_else(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = store.put(b"approval")
    old, new = (store.path(digest).parent / f".{name}.tmp" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    for path in (old, store.path(digest)):
        os.utime(path, (0, 0))
    assert store.tidy() == 1
    assert (old.exists(), new.exists(), store.get(digest)) == (False, True, b"approval")


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "a" * 65])
def test_no_digest_leads_out_of_the_directory(tmp_path: Path, digest: str) -> None:
    store = BlobStore(tmp_path)
    with pytest.raises(BlobMissing):
        store.get(digest)
    with pytest.raises(BlobMissing):
        store.exists(digest)


def test_a_full_disk_leaves_no_half_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlobStore(tmp_path)

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blobs_module, "_write_flushed", full)
    with pytest.raises(OSError, match="No space"):
        store.put(b"approval")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# -- canonical JSON -----------------------------------------------------------------------------------------------------------


def test_canonical_json_has_one_form(tmp_path: Path) -> None:
    value = {"b": [1, True, None], "a": "印", "€": "\u20ac\n", "1": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}
    assert canonical_json(value) == '{"1":"2026-01-02T03:04:05Z","a":"印","b":[1,true,null],"€":"€\\n"}'
    assert canonical_digest(dict(reversed(value.items()))) == canonical_digest(value)
    # RFC 8785 §3.2.3: sorted by UTF-16 code units, so the astral emoji stands before U+FB33.
    assert list(canonical_json({"\ufb33": 1, "\U0001f600": 2})) == list('{"\U0001f600":2,"\ufb33":1}')


@pytest.mark.parametrize("value", [1.5, {1: 2}, {"x": {1, 2}}, b"x", 2**53, "\ud800", datetime(2026, 1, 1), object()])
def test_values_without_one_form_are_refused(value: object) -> None:
    with pytest.raises(NotCanonical):
        canonical_json(value)
