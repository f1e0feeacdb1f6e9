"""Bringing a database to this version's tables: Alembic scripts in ``versions/``, run from code (no ini file, no command).

Everything happens in one transaction under one lock: several processes may start at once, and a migration that fails leaves the
database as it was. Scripts name tables and columns themselves and import no models, so that an old script keeps its meaning. To
write the next one: change the models, then ``python -m store.migrations MESSAGE``; read what it wrote, and mend it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from crypto.errors import Misconfigured

if TYPE_CHECKING:
    from alembic.config import Config

    from store.db import Database

SCRIPTS = Path(__file__).parent
_LOCK = 0x58494E59494E  # "XINYIN": the advisory lock on PostgreSQL


class DatabaseTooNew(Misconfigured):
    """The database was migrated by a newer version."""

    code = "database-too-new"


class DatabaseForeign(Misconfigured):
    """The database has tables and no revision: it is not ours, or was made before there were migrations."""

    code = "database-foreign"


def config(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration, with the connection to work on."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    if connection is not None:
        made.attributes["connection"] = connection
    return made


@lru_cache(maxsize=1)
def head() -> str:
    """The newest revision that this version knows, by the names of the scripts: every start of every process asks."""
    return max(path.name.partition("_")[0] for path in (SCRIPTS / "versions").glob("[0-9]*.py"))


def upgrade(database: Database) -> None:
    """Bring a database to :func:`head`.

    :raises DatabaseTooNew: it is at a revision that this version does not know
    :raises DatabaseForeign: it holds tables of somebody else
    """
    with database.engine.begin() as connection:  # BEGIN IMMEDIATE on SQLite: the lock
        if not database.is_sqlite:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        present = current(connection)
        if present == head():
            return
        if present is None and sa.inspect(connection).get_table_names():
            raise DatabaseForeign(
                "The database holds tables that no migration of Xinyin made; give the node an empty one.",
                "数据库中已有并非由本程序迁移建立的表；请为节点指定一个空数据库。",
            )
        from alembic import command  # only now: whatever is up to date starts without it
        from alembic.script import ScriptDirectory

        known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
        if present is not None and present not in known:
            raise DatabaseTooNew(
                f"The database is at revision {present}, which this version does not know; run the newer version again.",
                f"数据库版本 {present} 高于本程序所知；请使用较新版本的程序。",
                revision=present,
            )
        command.upgrade(config(connection), "head")


def current(connection: sa.Connection) -> str | None:
    """The revision that a database is at; None for an empty one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found
