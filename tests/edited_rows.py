"""What a check of the registers says after somebody edited a row behind the service's back."""

from __future__ import annotations

import sqlalchemy as sa

from ceremonies.node import Node
from formats.auditlog import Finding
from records import agreement
from store.db import Database


class _Enough(Exception):
    """Nothing of the edit is kept."""


def findings_after(node: Node, statement: str) -> list[Finding]:
    """The findings while ``statement`` has been executed; it is taken back afterwards."""
    database: Database = node.db
    found: list[Finding] = []
    try:
        with database.write() as session:
            session.execute(sa.text(statement))
            found += [one.finding() for one in agreement.check(session, node.region)]
            raise _Enough
    except _Enough:
        return found
