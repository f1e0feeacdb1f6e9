"""``python -m store.migrations MESSAGE``: write the script that brings the newest revision to the present models.

For developers: compares a scratch database at the newest revision with the models of every room.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

from alembic import command

from store.db import Database
from store.migrations import SCRIPTS, config, upgrade

ROOMS = ("store", "people", "hsm", "ca", "trust", "seals", "licences", "records", "ceremonies", "api")


def import_models() -> None:
    """Fill the metadata with the tables of every room that has any."""
    for room in ROOMS:
        if (SCRIPTS.parent.parent / room / "models.py").exists():
            importlib.import_module(f"{room}.models")


def write(message: str) -> None:
    """The next script, numbered after the last."""
    import_models()
    number = f"{len(list((SCRIPTS / 'versions').glob('[0-9]*.py'))) + 1:04d}"
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(f"sqlite:///{Path(folder)}/scratch.sqlite")
        if number != "0001":
            upgrade(database)
        with database.engine.begin() as connection:
            command.revision(config(connection), message=message, rev_id=number, autogenerate=True)
        database.close()


if __name__ == "__main__":
    write(" ".join(sys.argv[1:]) or "unnamed")
