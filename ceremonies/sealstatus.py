"""Our signed list of seal status: made anew whenever a seal, or a key of one, changed, and before it runs out.

Whoever asks for it gets the present state, signed: a seal that was stopped a moment ago is stopped in the next answer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from formats import jose
from formats.dates import shown_time
from hsm.schemas import KeyPurpose
from seals.models import SealEventRow, SealRow, SealVersionRow
from seals.picture import SAMPLE_MARK
from store.db import utc_now
from verify.sealstatus import TYPE

if TYPE_CHECKING:
    from ceremonies.node import Node

LIFE = timedelta(days=7)
PATH = "/status/seals.jws"


class SealStatusPublisher:
    """Keeps ``trust/seals.jws`` up to date."""

    def __init__(self, node: Node, *, now: Callable[[], datetime] = utc_now) -> None:
        self.node = node
        self._now = now
        self._file = node.home / "trust" / "seals.jws"

    def current(self) -> str:
        """The list as things stand: the one that is there if it still says the same, else a new one.

        :raises NoSuchGeneration: there is no key for it yet; :raises XinyinError: the signer does not answer
        """
        seals = self._seals()
        digest = sha256(json.dumps(seals, sort_keys=True).encode()).hexdigest()
        kept = self._kept()
        if kept is not None and kept["digest"] == digest and self._now() < datetime.fromisoformat(kept["renew"]):
            return str(kept["jws"])
        return self._publish(seals, digest)

    def _publish(self, seals: list[dict[str, Any]], digest: str) -> str:
        now = self._now().replace(microsecond=0)
        body = {
            "region": self.node.region,
            "issued": shown_time(now),
            "next_update": shown_time(now + LIFE),
            "seals": seals,
        }
        generation = self.node.keys.active_for(KeyPurpose.status_list)
        signer = self.node.keys.signer(generation.id, "status-list")
        made = jose.sign({"cty": "application/json", "typ": TYPE, "kid": signer.public_key.fingerprint}, body, signer)
        kept = {"digest": digest, "renew": (now + LIFE / 2).isoformat(), "jws": made}
        draft = self._file.with_name(f".{self._file.name}.{os.getpid()}.new")
        draft.write_text(json.dumps(kept), encoding="utf-8")
        draft.replace(self._file)
        return made

    def _kept(self) -> dict[str, Any] | None:
        try:
            found = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and {"digest", "renew", "jws"} <= set(found) else None

    def _seals(self) -> list[dict[str, Any]]:
        """Every seal that was ever in force: what verifiers need, nothing about people."""
        with self.node.db.read() as session:
            rows = session.scalars(
                sa.select(SealRow)
                .where(SealRow.region == self.node.region, SealRow.status != "preparing")
                .order_by(SealRow.es_id)
            ).all()
            events: dict[str, list[dict[str, str]]] = {}
            for event in session.scalars(sa.select(SealEventRow).order_by(SealEventRow.effective_at, SealEventRow.id)):
                moment = event.effective_at.isoformat()
                events.setdefault(event.seal_id, []).append({"from": moment, "status": event.status})
            keys: dict[str, dict[str, None]] = {}
            for version in session.scalars(sa.select(SealVersionRow).order_by(SealVersionRow.number)):
                keys.setdefault(version.seal_id, {}).update(dict.fromkeys(version.generation_ids))
        return [
            {
                "es_id": row.es_id,
                "name": "" if row.kind == "personal" else f"{SAMPLE_MARK} {row.name}" if row.sample else row.name,
                "valid_to": shown_time(row.valid_to),
                "events": events.get(row.id, []),
                "keys": [self.node.keys.generation(g).public_key.fingerprint for g in keys.get(row.id, {})],
            }
            for row in rows
            if row.id in events
        ]
