"""Making a seal again 重新制作 when one of its keys gives way to the next, and what goes to whoever files seals 备案.

A seal keeps its esID, its name and its picture; the next version names the new key beside those of its other suites, and its
SESeal carries the SM2 certificate in force. It is recorded before the new key takes its first intent, so that no verifier ever
meets an impression by a key that the register does not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ca.ports import Generation, Keys
from crypto.suites import Suite
from formats.dates import shown_time
from formats.x509 import Certificate
from seals.making import VALIDITY, Workshop
from seals.models import SealKeyRow, SealRow, SealVersionRow
from seals.picture import Picture
from seals.ports import Certificates
from seals.schemas import NoCertificate, SealStateRefused, no_such_seal
from store.audit import AuditLog
from store.blobs import Blobs
from store.db import Database


@dataclass(frozen=True)
class SealOfKey:
    """The seal that a key role belongs to."""

    id: str
    es_id: str
    name: str
    owner_uscc: str
    status: str
    suite: Suite
    version: int


@dataclass(frozen=True)
class _Next:
    """What the next version will say."""

    number: int
    generations: dict[Suite, Generation]
    certificates: dict[Suite, Certificate]
    ses_blob: str | None
    valid: tuple[datetime, datetime]
    filing: bytes
    filing_number: str


class Remaker:
    """Next versions of seals; :class:`seals.registry.SealRegistry` owns one.

    :param picture: a seal's picture by its identifier
    """

    def __init__(
        self,
        db: Database,
        keys: Keys,
        ca: Certificates,
        blobs: Blobs,
        audit: AuditLog,
        workshop: Workshop,
        picture: Callable[[str], Picture],
        now: Callable[[], datetime],
    ) -> None:
        self.db = db
        self.keys = keys
        self.ca = ca
        self.blobs = blobs
        self.audit = audit
        self._workshop = workshop
        self._picture = picture
        self._now = now

    def seal_of(self, role_id: str) -> SealOfKey | None:
        """The seal whose key role this is; None for roles that are no seal's."""
        with self.db.read() as session:
            key = session.scalars(sa.select(SealKeyRow).where(SealKeyRow.role_id == role_id)).one_or_none()
            if key is None:
                return None
            seal = session.get_one(SealRow, key.seal_id)
            version = _newest(session, seal.id)
        number = version.number if version is not None else 0
        return SealOfKey(seal.id, seal.es_id, seal.name, seal.owner_uscc, seal.status, Suite(key.suite), number)

    def filed(self, role_id: str, generation_id: str) -> SealVersionRow | None:
        """The first version of the role's seal that names this key."""
        found = self.seal_of(role_id)
        if found is None:
            return None
        with self.db.read() as session:
            versions = session.scalars(
                sa.select(SealVersionRow).where(SealVersionRow.seal_id == found.id).order_by(SealVersionRow.number)
            )
            return next((v for v in versions if generation_id in v.generation_ids), None)

    def remake(
        self,
        role_id: str,
        generation: Generation,
        *,
        actor: str,
        reason: str,
        number: str | None = None,
        rule: str | None = None,
    ) -> SealVersionRow:
        """Make and file the version that lets ``generation`` seal; the one that does already is given back.

        :param number: under which the filing authority keeps it; without it the esID and the version's number
        :raises NoSuchSeal: the role is no seal's; :raises SealStateRefused: the seal is revoked or was never finished
        :raises NoCertificate: the key has none that is valid now
        """
        done = self.filed(role_id, generation.id)
        if done is not None:
            return done
        found = self.seal_of(role_id)
        if found is None:
            raise no_such_seal()
        with self.db.read() as session:
            seal = session.get_one(SealRow, found.id)
            before = _newest(session, seal.id)
        if before is None or seal.status not in ("in-force", "suspended"):
            raise SealStateRefused(
                f"The seal is {seal.status}; only a seal that is in force or suspended is made again.",
                "只有使用中或已停用的印章可以重新制作。",
                status=seal.status,
            )
        made = self._make(seal, before, found.suite, generation, number)
        self.blobs.put(made.filing)

        def record(session: Session) -> SealVersionRow:
            return self._record(session, seal.id, made, actor, reason, rule)

        return self.db.run(record)

    def _make(
        self, seal: SealRow, before: SealVersionRow, suite: Suite, generation: Generation, filing_number: str | None
    ) -> _Next:
        generations = self._current(before) | {suite: generation}
        certificates = {s: c for s, g in generations.items() if (c := self._certificate(seal, g)) is not None}
        if suite not in certificates:
            raise NoCertificate(
                "The new key has no certificate for this seal that is valid now; obtain it first.",
                "新密钥尚无本印章当前有效的证书；请先取得证书。",
                generation=generation.id,
            )
        start = self._now().replace(microsecond=0)
        valid = (start, start + VALIDITY)
        ses_blob = before.ses_blob
        if Suite.SM2 in certificates:
            made = self._workshop.ses(seal, self._picture(seal.id), [certificates[Suite.SM2]], valid=valid)
            ses_blob = self.blobs.put(made)
        number = before.number + 1
        filed_as = filing_number or f"{seal.es_id}-{number}"
        filing = _filing(seal, number, filed_as, ses_blob, certificates, valid)
        return _Next(number, generations, certificates, ses_blob, valid, filing, filed_as)

    def _current(self, version: SealVersionRow) -> dict[Suite, Generation]:
        """The newest generation of each suite that a version names."""
        found: dict[Suite, Generation] = {}
        for generation in map(self.keys.generation, version.generation_ids):
            known = found.get(generation.public_key.suite)
            if known is None or generation.number > known.number:
                found[generation.public_key.suite] = generation
        return found

    def _certificate(self, seal: SealRow, generation: Generation) -> Certificate | None:
        return next(iter(self.ca.usable(generation.id, es_id=seal.es_id)), None)

    def _record(self, session: Session, seal_id: str, made: _Next, actor: str, reason: str, rule: str | None) -> SealVersionRow:
        seal = session.scalars(sa.select(SealRow).where(SealRow.id == seal_id).with_for_update()).one()
        seal.valid_to = max(seal.valid_to, made.valid[1])
        record = {
            "reason": reason,
            "valid_from": shown_time(made.valid[0]),
            "valid_to": shown_time(made.valid[1]),
            "certificates": {s.value: c.sha256 for s, c in made.certificates.items()},
            "filing_number": made.filing_number,
        }
        version = SealVersionRow(
            seal_id=seal.id,
            number=made.number,
            ses_blob=made.ses_blob,
            generation_ids=[g.id for g in made.generations.values()],
            record=record,
            filing_blob=self.blobs.put(made.filing),
            created_at=self._now(),
        )
        session.add(version)
        self.audit.append(
            session,
            kind="seal.remade",
            actor=actor,
            subject={"seal": seal.id, "esid": seal.es_id},
            data={
                "version": version.number,
                "ses": version.ses_blob,
                "generations": version.generation_ids,
                "filing": version.filing_blob,
                "filing_number": made.filing_number,
            },
            rule=rule,
        )
        return version


def _newest(session: Session, seal_id: str) -> SealVersionRow | None:
    return session.scalars(
        sa.select(SealVersionRow).where(SealVersionRow.seal_id == seal_id).order_by(SealVersionRow.number.desc()).limit(1)
    ).one_or_none()


def _filing(
    seal: SealRow,
    version: int,
    number: str,
    ses_blob: str | None,
    certificates: dict[Suite, Certificate],
    valid: tuple[datetime, datetime],
) -> bytes:
    """What whoever files seals is given: JSON with public facts only."""
    facts = {
        "format": "xinyin-seal-filing/1",
        "number": number,
        "seal": {"es_id": seal.es_id, "name": seal.name, "label": seal.label, "kind": seal.kind, "sample": seal.sample},
        "owner": {"name": seal.owner_name, "uscc": seal.owner_uscc},
        "region": seal.region,
        "version": version,
        "valid_from": shown_time(valid[0]),
        "valid_to": shown_time(valid[1]),
        "picture_sha256": seal.picture_pdf,
        "ses_sha256": ses_blob,
        "certificates": [
            {"suite": s.value, "serial": c.serial_hex, "issuer": c.issuer, "sha256": c.sha256, "pem": c.pem()}
            for s, c in certificates.items()
        ],
    }
    return json.dumps(facts, ensure_ascii=False, indent=1).encode()
