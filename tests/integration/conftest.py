"""Fixtures of tests with real parts: an empty database of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from store.db import Database
from store.ids import new_id
from tests.databases import migrated
from tests.postgresql import binaries, cluster


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a running PostgreSQL cluster; skips, with the reason, where PostgreSQL is not installed."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    with cluster() as url:
        yield url


@pytest.fixture
def postgresql_database(postgresql: str) -> Iterator[Database]:
    """An empty PostgreSQL database of this test's own."""
    name = new_id("t")
    _create(postgresql, f"{name} TEMPLATE template0")
    database = Database.open(postgresql.replace("/postgres?", f"/{name}?"))
    yield database
    database.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that a module names in ``ON_POSTGRESQL`` get their ``database`` once of either kind, the others SQLite."""
    if "database" in metafunc.fixturenames:
        both = metafunc.function.__name__ in getattr(metafunc.module, "ON_POSTGRESQL", ())
        metafunc.parametrize("database", ["sqlite", "postgresql"] if both else ["sqlite"], indirect=True)


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: str) -> str:
    """A migrated PostgreSQL database, to be copied."""
    _create(postgresql, "migrated TEMPLATE template0")
    database = Database.open(postgresql.replace("/postgres?", "/migrated?"))
    database.migrate()
    database.close()
    return postgresql


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated database without rows."""
    if request.param == "sqlite":
        yield migrated(tmp_path / "db.sqlite")
        return
    name, url = new_id("t"), str(request.getfixturevalue("migrated_postgresql"))
    _create(url, f"{name} TEMPLATE migrated")
    database = Database.open(url.replace("/postgres?", f"/{name}?"))
    yield database
    database.close()


def _create(postgresql: str, what: str) -> None:
    admin = sa.create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {what}"))
    admin.dispose()
