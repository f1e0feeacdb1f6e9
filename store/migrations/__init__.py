"""Bringing a database to this version's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store import models as models  # the tables of this room belong to the metadata
from store.db import Base

if TYPE_CHECKING:
    from store.db import Database


def upgrade(database: Database) -> None:
    """Create what is missing of the tables that are imported."""
    with database.engine.begin() as connection:
        Base.metadata.create_all(connection)
