"""The CA's book: rows in, certificates and authorities out. No signing here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ca.errors import no_such_certificate, not_founded
from ca.models import AuthorityRow, CaRoleRow, CertificateRow
from ca.schemas import Authority, CertificateRecord
from crypto.suites import Suite
from formats.x509 import Certificate
from store.db import Database


@lru_cache(maxsize=4096)
def parsed(der: bytes) -> Certificate:
    """One view a certificate, shared: it is immutable, and what was decoded once stays decoded."""
    return Certificate.parse(der)


def record(row: CertificateRow, now: datetime) -> CertificateRecord:
    """The row as others see it; expiry shows unless something worse does."""
    assert row.der is not None
    status = "expired" if row.status == "good" and now > row.not_after else row.status
    return CertificateRecord(
        id=row.id,
        origin=row.origin,
        authority=row.authority,
        serial=row.serial,
        generation_id=row.generation_id,
        profile=row.profile,
        subject=row.subject,
        issuer=row.issuer,
        es_id=row.es_id,
        not_before=row.not_before,
        not_after=row.not_after,
        status=status,
        reason=row.reason,
        revoked_at=row.revoked_at,
        invalidity_at=row.invalidity_at,
        certificate=parsed(row.der),
    )


def authority(row: AuthorityRow) -> Authority:
    return Authority(
        row.name,
        row.kind,
        Suite(row.suite),
        row.number,
        row.status,
        row.generation_id,
        row.parent,
        parsed(row.certificate),
    )


def serial_text(serial: str | int) -> str:
    """The way serials are stored: lower-case hex, no separators, whole bytes."""
    text = f"{serial:x}" if isinstance(serial, int) else serial.lower().replace(":", "").removeprefix("0x")
    return text.zfill(len(text) + len(text) % 2)


class Register:
    """Queries over the CA's tables for one region."""

    def __init__(self, db: Database, region: str) -> None:
        self.db = db
        self.region = region
        self._roles: dict[tuple[str, Suite], str] = {}
        self._certificates: dict[str, Certificate] = {}

    def role(self, purpose: str, suite: Suite) -> str | None:
        """The role that does this for the CA, or None before founding. Found once, it stays."""
        known = self._roles.get((purpose, suite))
        if known is None:
            query = sa.select(CaRoleRow.role_id).where(
                CaRoleRow.region == self.region, CaRoleRow.purpose == purpose, CaRoleRow.suite == suite.value
            )
            with self.db.read() as session:
                known = session.scalar(query)
            if known is not None:
                self._roles[(purpose, suite)] = known
        return known

    def keep_role(self, purpose: str, suite: Suite, role_id: str) -> None:
        row = CaRoleRow(role_id=role_id, purpose=purpose, suite=suite.value, region=self.region)
        self.db.run(lambda session: session.add(row))

    def authorities(self, kind: str | None = None) -> list[Authority]:
        """All of them, roots first, in the order of their making."""
        query = sa.select(AuthorityRow).where(AuthorityRow.region == self.region)
        if kind is not None:
            query = query.where(AuthorityRow.kind == kind)
        query = query.order_by(sa.desc(AuthorityRow.kind), AuthorityRow.suite, AuthorityRow.number)
        with self.db.read() as session:
            return [authority(row) for row in session.scalars(query)]

    def authority(self, name: str) -> Authority | None:
        with self.db.read() as session:
            row = session.get(AuthorityRow, name)
            return authority(row) if row is not None and row.region == self.region else None

    def authority_certificate(self, name: str) -> Certificate:
        """Of an authority that is known to be there; it never changes."""
        if name not in self._certificates:
            found = self.authority(name)
            assert found is not None
            self._certificates[name] = found.certificate
        return self._certificates[name]

    def current(self, kind: str, suite: Suite) -> Authority:
        """The authority that issues now. :raises NotFounded: none for this suite"""
        made = [a for a in self.authorities(kind) if a.suite is suite and a.status == "active"]
        if not made:
            raise not_founded(f"{kind} CA for {suite}", f" {suite} 的{'根' if kind == 'root' else '签发'} CA ")
        return made[-1]

    def row(self, session: Session, serial: str | int) -> CertificateRow:
        """The certificate with this serial number (or row id). :raises NoSuchCertificate: none"""
        text = serial if isinstance(serial, str) and serial.startswith("cert_") else serial_text(serial)
        column = CertificateRow.id if text.startswith("cert_") else CertificateRow.serial
        rows = session.scalars(
            sa.select(CertificateRow).where(
                column == text, CertificateRow.region == self.region, CertificateRow.status != "issuing"
            )
        ).all()
        if len(rows) != 1:  # two CAs outside may have used the same number: then only the id is clear
            raise no_such_certificate(text)
        return rows[0]

    def by_certificate(self, session: Session, certificate: Certificate) -> CertificateRow | None:
        return session.scalar(
            sa.select(CertificateRow).where(CertificateRow.sha256 == certificate.sha256, CertificateRow.region == self.region)
        )

    def rows(
        self, *conditions: sa.ColumnElement[bool], limit: int | None = None, newest_first: bool = True
    ) -> Sequence[CertificateRow]:
        """Finished rows in the order of their ids, which is that of time."""
        query = sa.select(CertificateRow).where(
            CertificateRow.region == self.region, CertificateRow.status != "issuing", *conditions
        )
        query = query.order_by(CertificateRow.id.desc() if newest_first else CertificateRow.id).limit(limit)
        with self.db.read() as session:
            return session.scalars(query).all()
