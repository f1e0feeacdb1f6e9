"""The scripts in ``store/migrations`` make the tables that the models of all rooms describe, on both databases."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from store.db import Base, Database
from store.ids import new_id
from store.migrations import DatabaseForeign, DatabaseTooNew, config, current, head
from store.migrations.__main__ import ROOMS, import_models

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Database, Database]:
    """Two empty databases of one kind."""
    if request.param == "sqlite":
        return Database.open(f"sqlite:///{tmp_path}/a.sqlite"), Database.open(f"sqlite:///{tmp_path}/b.sqlite")
    url = request.getfixturevalue("postgresql")
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    names = [new_id("pair"), new_id("pair")]
    with admin.connect() as connection:
        for name in names:
            connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE template0"))
    admin.dispose()
    first, second = (Database.open(url.replace("/postgres?", f"/{name}?")) for name in names)
    return first, second


def described(database: Database) -> dict[str, Any]:
    """Every table with its columns, keys, constraints and indexes, as the database itself tells."""
    inspector = sa.inspect(database.engine)
    found = {}
    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        found[table] = {
            "columns": plain(inspector.get_columns(table)),
            "primary": inspector.get_pk_constraint(table),
            "foreign": plain(inspector.get_foreign_keys(table)),
            "unique": plain(inspector.get_unique_constraints(table)),
            "checks": plain(inspector.get_check_constraints(table)),
            "indexes": plain(inspector.get_indexes(table)),
        }
    return found


def plain(facts: Any) -> list[str]:
    """Facts as text in an order of its own; types and conditions as SQL."""
    return sorted(json.dumps(fact, default=str, sort_keys=True) for fact in facts)


def test_migrated_tables_are_those_of_the_models(pair: tuple[Database, Database]) -> None:
    import_models()
    migrated, created = pair
    migrated.migrate()
    with created.engine.begin() as connection:
        Base.metadata.create_all(connection)
    found, wanted = described(migrated), described(created)
    hint = "a model changed: write the next script with `python -m store.migrations MESSAGE`"
    assert sorted(found) == sorted(wanted), hint
    for table, facts in wanted.items():
        assert found[table] == facts, f"{table}: {hint}"
    with migrated.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == [], hint
    migrated.close()
    created.close()


def test_every_room_with_tables_is_known_to_the_migrations() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/models.py")}
    assert rooms <= set(ROOMS)


def test_migrating_again_and_from_many_threads_does_no_harm(pair: tuple[Database, Database]) -> None:
    database, other = pair
    errors: list[BaseException] = []

    def migrate() -> None:
        try:
            database.migrate()
        except BaseException as exc:  # noqa: BLE001 - collected for the assertion
            errors.append(exc)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with database.engine.connect() as connection:
        assert current(connection) == head()
    database.close()
    other.close()


def test_the_newest_revision_is_the_one_that_the_scripts_lead_to() -> None:
    assert head() == ScriptDirectory.from_config(config()).get_current_head()


def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    with database.write() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNew):
        database.migrate()


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/db.sqlite")
    with database.write() as session:
        session.execute(sa.text("CREATE TABLE seals (id TEXT)"))
    with pytest.raises(DatabaseForeign):
        database.migrate()
    assert sa.inspect(database.engine).get_table_names() == ["seals"]


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/db.sqlite")

    def half(*_: Any) -> None:
        raise OSError("no space left on device")

    def upgrade(configuration: Any, revision: str) -> None:
        configuration.attributes["connection"].execute(sa.text("CREATE TABLE half (id TEXT)"))
        half()

    monkeypatch.setattr("alembic.command.upgrade", upgrade)
    with pytest.raises(OSError, match="no space"):
        database.migrate()
    assert sa.inspect(database.engine).get_table_names() == []
    monkeypatch.undo()
    database.migrate()
    with database.engine.connect() as connection:
        assert current(connection) == head()


def test_a_database_of_the_first_version_is_behind_and_keeps_what_it_holds(pair: tuple[Database, Database]) -> None:
    old, empty = pair
    with old.engine.begin() as connection:
        command.upgrade(config(connection), "0001")
        connection.execute(
            sa.text(
                "INSERT INTO departments (id, name, uscc, created_at, region) "
                "VALUES ('dept_1', '审批局', '11310000MB0X700157', '2026-11-01 00:00:00', '310000')"
            )
        )
    assert old.behind()
    assert not empty.behind(), "a database without tables is nobody's yet"
    old.migrate()
    assert not old.behind()
    with old.read() as session:
        assert session.scalar(sa.text("SELECT name FROM departments")) == "审批局"
    old.close()
    empty.close()
