"""Fixtures of tests with real parts: an empty database of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from store.db import Database
from store.ids import new_id
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
    admin = sa.create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE template0"))
    admin.dispose()
    database = Database.open(postgresql.replace("/postgres?", f"/{name}?"))
    yield database
    database.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that a module names in ``ON_POSTGRESQL`` get their ``database`` once of either kind, the others SQLite."""
    if "database" in metafunc.fixturenames:
        both = metafunc.function.__name__ in getattr(metafunc.module, "ON_POSTGRESQL", ())
        metafunc.parametrize("database", ["sqlite", "postgresql"] if both else ["sqlite"], indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database."""
    if request.param == "sqlite":
        return Database.open(f"sqlite:///{tmp_path}/db.sqlite")
    found: Database = request.getfixturevalue("postgresql_database")
    return found
