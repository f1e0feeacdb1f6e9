"""The database: one class for SQLite and PostgreSQL, and the base of every room's tables.

Writers are serialised by the database, not by luck: ``BEGIN IMMEDIATE`` on SQLite (a read that upgrades to a write fails at
once, whatever the time-out), ``SERIALIZABLE`` on PostgreSQL. :meth:`Database.run` repeats a transaction that lost such a
race, so its function must do nothing but database work.

SQLite runs with ``synchronous=FULL``: a commit is on the disk when it returns, so neither ``kill -9`` nor a power cut takes
back a signature that was handed out (as far as disk and controller keep their word about flushing). It costs 0.4 to 0.5 ms a
commit on an ordinary SSD; ``NORMAL`` would cost 0.03 ms and survive ``kill -9`` alone.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.engine.url import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import TypeDecorator

from crypto.errors import Misconfigured, Unavailable

T = TypeVar("T")

_BUSY_TIMEOUT_MS = 15_000
_ATTEMPTS = 20
_RETRYABLE_SQLSTATES = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available


def utc_now() -> datetime:
    """This moment, aware, in UTC."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in and out, stored in UTC; SQLite, which knows no zones, gets the same promise.

    A naive datetime is a programming error and refused on its way in.
    """

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        return dialect.type_descriptor(sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


JsonType = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""JSON that PostgreSQL can index. What is digested is never kept in it: it does not keep the text."""


class Base(DeclarativeBase):
    """Base of every table; constraints get predictable names, so that migrations can name them on both databases."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy declares it as a plain class attribute
        datetime: UtcDateTime(),
        dict[str, Any]: JsonType,
        list[str]: JsonType,
        list[Any]: JsonType,
        str: sa.Text(),
        bytes: sa.LargeBinary(),
    }


class RegionMixin:
    """The region (GB/T 2260, six digits) of a row: every big table carries it, so that it can be split by region."""

    region: Mapped[str] = mapped_column(sa.String(6))


class DatabaseBusy(Unavailable):
    """A transaction lost every race that it was given."""

    code = "database-busy"


class BadDatabaseUrl(Misconfigured):
    """The configured database address cannot be used."""

    code = "bad-database-url"


class Database:
    """A database, opened lazily and again after a fork (connections must never cross one).

    :meth:`read` and :meth:`write` give a session; :meth:`run` is a write that is repeated when it loses a race. Rows stay
    usable after the session has ended.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self._engine: Engine | None = None
        self._views: dict[bool, Engine] = {}
        self._pid = 0

    @classmethod
    def open(cls, url: str) -> Database:
        """``sqlite:////absolute/path.db`` or ``postgresql+psycopg://…``. Nothing is connected until the first use.

        :raises BadDatabaseUrl: any other address, or an in-memory SQLite (its threads would share one transaction)
        """
        try:
            parsed = make_url(url)
        except ArgumentError as exc:
            raise _bad_url("it is no database address") from exc
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
            raise _bad_url(f"{parsed.drivername} is not supported")
        if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
            raise _bad_url("an SQLite database needs a file")
        return cls(parsed)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def engine(self) -> Engine:
        """The engine of this process; a child after a fork gets its own and leaves the parent's connections alone.

        Two threads may race here once; the engine that loses is dropped unused. (A lock could be held across a fork.)
        """
        if self._engine is None or self._pid != os.getpid():
            if self._engine is not None:
                self._engine.dispose(close=False)
            self._engine = self._sqlite_engine() if self.is_sqlite else self._postgresql_engine()
            self._views = {}
            self._pid = os.getpid()
        return self._engine

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A write transaction: committed at the end of the block, rolled back by an exception. See :meth:`run` for retries."""
        with Session(self._connectable(write=True), expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A snapshot to read from; nothing done in it is kept."""
        with Session(self._connectable(write=False), expire_on_commit=False, autoflush=False) as session:
            yield session  # closing rolls back

    def run(self, work: Callable[[Session], T]) -> T:
        """``work(session)`` in a write transaction, repeated while the database says that another writer was first.

        :raises DatabaseBusy: still losing after twenty tries (with growing, jittered pauses: about ten seconds in all)
        """
        for attempt in range(_ATTEMPTS):
            try:
                with self.write() as session:
                    return work(session)
            except DBAPIError as exc:
                if not _is_lost_race(exc):
                    raise
                time.sleep(min(0.005 * 2**attempt, 1.0) * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing
        raise DatabaseBusy(
            "The database is busy with other writers; nothing was changed, try again.",
            "数据库正忙于其他写入；未作任何更改，请重试。",
        )

    def behind(self) -> bool:
        """Whether an earlier version made these tables. Asked at every start, so without Alembic. One that cannot be reached or
        has no tables yet, is not behind.
        """
        from store.migrations import current, head

        try:
            with self.engine.connect() as connection:
                present = current(connection)
        except DBAPIError:
            return False
        return present is not None and present < head()

    def migrate(self) -> None:
        """Bring the tables to this version's; safe to call from several processes and again."""
        from store.migrations import upgrade

        upgrade(self)

    def close(self) -> None:
        """Return every connection of this process."""
        if self._engine is not None and self._pid == os.getpid():
            self._engine.dispose()
        self._engine = None

    def _connectable(self, *, write: bool) -> Engine:
        """The engine under the options of readers or writers; made once, as each carries event handlers of its own."""
        engine = self.engine
        view = self._views.get(write)
        if view is None or view.pool is not engine.pool:
            view = self._views[write] = engine.execution_options(**self._options(write))
        return view

    def _options(self, write: bool) -> dict[str, Any]:
        if self.is_sqlite:
            return {"xinyin_write": write}
        if write:
            return {"isolation_level": "SERIALIZABLE"}
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def _sqlite_engine(self) -> Engine:
        assert self.url.database
        Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(
            self.url, connect_args={"isolation_level": None, "timeout": _BUSY_TIMEOUT_MS / 1000}, pool_size=8, max_overflow=24
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _postgresql_engine(self) -> Engine:
        return sa.create_engine(
            self.url,
            pool_size=8,
            max_overflow=24,
            pool_pre_ping=True,
            connect_args={"options": "-c timezone=UTC -c lock_timeout=15s"},
        )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA trusted_schema=OFF")
    finally:
        cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("xinyin_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN DEFERRED")


def _is_lost_race(exc: DBAPIError) -> bool:
    state = getattr(exc.orig, "sqlstate", None)
    if state is not None:
        return state in _RETRYABLE_SQLSTATES
    return isinstance(exc, OperationalError) and any(
        word in str(exc.orig) for word in ("database is locked", "table is locked")
    )


def _bad_url(why: str) -> BadDatabaseUrl:
    return BadDatabaseUrl(
        f"The database address cannot be used: {why}. Write sqlite:////path/to/db.sqlite or postgresql+psycopg://user@host/name.",
        "数据库地址无效；请使用 sqlite:////路径/db.sqlite 或 postgresql+psycopg://用户@主机/库名。",
        why=why,
    )
