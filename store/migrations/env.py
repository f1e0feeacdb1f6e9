"""Alembic's entry: runs on the connection that :mod:`store.migrations` hands over, inside its transaction."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

from store.db import Base, JsonType, UtcDateTime


def render(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Our own column types by their names in :mod:`store.db`."""
    if kind == "type" and (isinstance(item, UtcDateTime) or item is JsonType):
        autogen.imports.add("from store.db import JsonType, UtcDateTime")
        return "UtcDateTime()" if isinstance(item, UtcDateTime) else "JsonType"
    return False


connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_item=render,
    compare_type=True,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite cannot alter most things in place
)
context.run_migrations()
