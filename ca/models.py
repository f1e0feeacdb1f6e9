"""Tables of the CA: its authorities, every certificate, the lists and answers it signed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin

ID = sa.String(64)
NAME = sa.String(64)


class CaRoleRow(RegionMixin, Base):
    """Which key role does what for the CA: one a purpose and suite."""

    __tablename__ = "ca_roles"
    __table_args__ = (sa.UniqueConstraint("region", "purpose", "suite"),)

    role_id: Mapped[str] = mapped_column(ID, primary_key=True)
    purpose: Mapped[str] = mapped_column(sa.String(32))
    suite: Mapped[str] = mapped_column(sa.String(8))


class AuthorityRow(RegionMixin, Base):
    """One key of a root or issuing CA under a name of its own: a new key is a new authority, so lists and names never mix."""

    __tablename__ = "ca_authorities"
    __table_args__ = (
        sa.UniqueConstraint("region", "kind", "suite", "number"),
        sa.CheckConstraint("kind IN ('root', 'issuing')", name="kind"),
        sa.CheckConstraint("status IN ('active', 'retired')", name="status"),
    )

    name: Mapped[str] = mapped_column(NAME, primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(16))
    suite: Mapped[str] = mapped_column(sa.String(8))
    number: Mapped[int]
    status: Mapped[str] = mapped_column(sa.String(16))
    generation_id: Mapped[str] = mapped_column(ID)
    certificate: Mapped[bytes]
    parent: Mapped[str | None] = mapped_column(NAME)
    changes: Mapped[int]
    """Counts the changes of revocation state; a CRL that knows fewer is out of date."""
    created_at: Mapped[datetime]


class CertificateRow(RegionMixin, Base):
    """A certificate, ours or an outside CA's. Its row is written before it is signed (status ``issuing``), so that no signature
    can exist without a record; what stays ``issuing`` was never handed out.
    """

    __tablename__ = "ca_certificates"
    __table_args__ = (
        sa.UniqueConstraint("authority", "serial"),
        sa.UniqueConstraint("sha256"),
        sa.CheckConstraint("status IN ('issuing', 'good', 'hold', 'revoked')", name="status"),
        sa.CheckConstraint("(origin = 'own') = (authority IS NOT NULL)", name="origin"),
        sa.Index("ix_ca_certificates_generation_id", "generation_id"),
        sa.Index("ix_ca_certificates_serial", "serial"),
        sa.Index("ix_ca_certificates_es_id", "es_id"),
        sa.Index("ix_ca_certificates_not_after", "not_after"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    origin: Mapped[str] = mapped_column(sa.String(8))
    authority: Mapped[str | None] = mapped_column(NAME, sa.ForeignKey("ca_authorities.name"))
    serial: Mapped[str] = mapped_column(sa.String(64))
    """Lower-case hex."""
    generation_id: Mapped[str | None] = mapped_column(ID)
    profile: Mapped[str] = mapped_column(sa.String(32))
    subject: Mapped[str]
    issuer: Mapped[str]
    es_id: Mapped[str | None] = mapped_column(sa.String(64))
    not_before: Mapped[datetime]
    not_after: Mapped[datetime]
    der: Mapped[bytes | None]
    sha256: Mapped[str | None] = mapped_column(sa.String(64))
    chain: Mapped[str | None]
    """PEM of the issuers of an outside certificate, nearest first."""
    status: Mapped[str] = mapped_column(sa.String(16))
    reason: Mapped[str | None] = mapped_column(sa.String(32))
    revoked_at: Mapped[datetime | None]
    invalidity_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class CrlRow(RegionMixin, Base):
    """Every CRL that was signed; the one with the highest number is served."""

    __tablename__ = "ca_crls"

    authority: Mapped[str] = mapped_column(NAME, sa.ForeignKey("ca_authorities.name"), primary_key=True)
    number: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    changes: Mapped[int]
    this_update: Mapped[datetime]
    next_update: Mapped[datetime]
    der: Mapped[bytes]


class OcspAnswerRow(RegionMixin, Base):
    """The pre-signed answer about one certificate, for one hash of the CertID."""

    __tablename__ = "ca_ocsp_answers"
    __table_args__ = (sa.Index("ix_ca_ocsp_answers_next_update", "next_update"),)

    certificate_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("ca_certificates.id"), primary_key=True)
    algorithm: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    this_update: Mapped[datetime]
    next_update: Mapped[datetime]
    der: Mapped[bytes]


class OutsideRequestRow(RegionMixin, Base):
    """What was asked of an outside CA (to suspend, to revoke) and what it answered: kept for whoever asks later."""

    __tablename__ = "ca_outside_requests"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    certificate_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("ca_certificates.id"))
    request: Mapped[dict[str, Any]]
    answer: Mapped[dict[str, Any] | None]
    requested_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
