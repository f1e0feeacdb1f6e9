"""Codes that phones showed lately, remembered node-wide: whoever relays a code that was just shown is found out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from records.verified_models import SeenCodeRow
from store.db import Database, utc_now


class SeenCodes:
    """A :class:`verify.schemas.SeenCodes` in the database: one memory for every process of the node."""

    def __init__(self, db: Database, region: str, *, now: Callable[[], datetime] = utc_now) -> None:
        self.db = db
        self.region = region
        self._now = now

    def first(self, token: bytes, until: datetime) -> bool:
        """Whether ``token`` is seen for the first time; only its digest is kept, until then."""
        digest = hashlib.sha256(token).hexdigest()

        def write(session: Session) -> bool:
            session.execute(sa.delete(SeenCodeRow).where(SeenCodeRow.until < self._now()))
            if session.get(SeenCodeRow, digest) is not None:
                return False
            session.add(SeenCodeRow(token_sha256=digest, region=self.region, until=until))
            return True

        try:
            return self.db.run(write)
        except IntegrityError:  # another process saw it in the same moment (PostgreSQL)
            return False
