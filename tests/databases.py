"""Empty SQLite databases with all tables, at the price of a copied file."""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from store.db import Database


@cache
def template() -> Path:
    """A migrated file without rows, one a process."""
    folder = Path(mkdtemp(prefix="xinyin-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    database = Database.open(f"sqlite:///{folder}/db.sqlite")
    database.migrate()
    database.close()
    return folder / "db.sqlite"


def migrated(path: Path) -> Database:
    """The database at ``path``, made where it is not there."""
    if not path.exists():
        shutil.copy(template(), path)
    return Database.open(f"sqlite:///{path}")
