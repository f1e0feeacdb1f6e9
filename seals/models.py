"""Tables of the seal registry, of applications, and of the register of use."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin
from store.models import DIGEST, ID


class SealRow(RegionMixin, Base):
    """A seal. ``status`` repeats what the newest event says, for lists; the events are what counts."""

    __tablename__ = "seals"
    __table_args__ = (
        sa.CheckConstraint("status IN ('preparing', 'in-force', 'suspended', 'revoked')", name="status"),
        sa.Index("ix_seals_owner_uscc", "owner_uscc"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    es_id: Mapped[str] = mapped_column(sa.String(32), unique=True)
    intent_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("intents.id"), unique=True)
    """The request that made it: a retry after a crash carries on with the same seal."""
    name: Mapped[str] = mapped_column(sa.String(200))
    owner_name: Mapped[str] = mapped_column(sa.String(200))
    owner_uscc: Mapped[str] = mapped_column(sa.String(18))
    kind: Mapped[str] = mapped_column(sa.String(32))
    label: Mapped[str] = mapped_column(sa.String(60))
    sample: Mapped[bool]
    application_id: Mapped[str | None] = mapped_column(ID)
    status: Mapped[str] = mapped_column(sa.String(16))
    width_mm: Mapped[float]
    height_mm: Mapped[float]
    picture_pdf: Mapped[str] = mapped_column(DIGEST)
    picture_png: Mapped[str] = mapped_column(DIGEST)
    picture_svg: Mapped[str] = mapped_column(DIGEST)
    valid_from: Mapped[datetime]
    valid_to: Mapped[datetime]
    created_at: Mapped[datetime]


class SealKeyRow(Base):
    """The key role of a seal in one suite."""

    __tablename__ = "seal_keys"

    seal_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("seals.id"), primary_key=True)
    suite: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    role_id: Mapped[str] = mapped_column(ID, unique=True)
    first_generation_id: Mapped[str | None] = mapped_column(ID)
    """Staged while the seal is being made; a retry goes on with it."""


class SealVersionRow(Base):
    """One making of a seal: the SESeal that the seal maker signed, and the key generations that may use it."""

    __tablename__ = "seal_versions"

    seal_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("seals.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    ses_blob: Mapped[str | None] = mapped_column(DIGEST)
    """Null for a seal without an SM2 key: GB/T 38540 seals are made for SM2 here."""
    generation_ids: Mapped[list[str]]
    record: Mapped[dict[str, Any] | None]
    """备案: why it was made again, from when to when it holds, certificates, filing number; null for the first making."""
    filing_blob: Mapped[str | None] = mapped_column(DIGEST)
    """The document that goes to whoever keeps the file of seals."""
    created_at: Mapped[datetime]


class SealEventRow(Base):
    """What happened to a seal and from when it counts; never changed."""

    __tablename__ = "seal_events"
    __table_args__ = (sa.Index("ix_seal_events_seal_id_effective_at", "seal_id", "effective_at"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    seal_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("seals.id"))
    status: Mapped[str] = mapped_column(sa.String(16))
    effective_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(sa.String(255))
    reason: Mapped[str] = mapped_column(sa.String(2000))


class ApplicationRow(RegionMixin, Base):
    """An application 申请 to make a seal, use one, or issue a licence; handled 经办 by one, signed off 签发 by another.

    Which states follow one another is in :mod:`seals.workflow.states`. Whatever changes what was applied for begins a new
    round: steps and documents belong to a round, and those of earlier rounds stay as they were.
    """

    __tablename__ = "applications"
    __table_args__ = (
        sa.CheckConstraint(
            "status IN ('submitted', 'returned', 'signed-off', 'refused', 'withdrawn', 'used', 'sealed', 'delivered')",
            name="status",
        ),
        sa.CheckConstraint("purpose IN ('make-seal', 'use-seal', 'issue-licence')", name="purpose"),
        sa.Index("ix_applications_department_status", "department", "status", "id"),
        sa.Index("ix_applications_track_code", "track_code", unique=True),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    purpose: Mapped[str] = mapped_column(sa.String(16))
    status: Mapped[str] = mapped_column(sa.String(16))
    department: Mapped[str] = mapped_column(sa.String(64))
    """Social credit code of the department that it is put to."""
    matter: Mapped[str] = mapped_column(sa.String(64))
    title: Mapped[str] = mapped_column(sa.String(300))
    number: Mapped[str | None] = mapped_column(sa.String(100))
    """文号."""
    copies: Mapped[int]
    seal_id: Mapped[str | None] = mapped_column(ID)
    document_sha256: Mapped[str | None] = mapped_column(DIGEST)
    """Of the one document to be sealed; null where it is for several, or for none in particular."""
    facts: Mapped[dict[str, Any]]
    applicant: Mapped[dict[str, Any] | None]
    """Who outside asked for it: ``{"name", "contact"}``; personal data, shown to the department alone."""
    handler: Mapped[str] = mapped_column(sa.String(255))
    handlers: Mapped[list[str]]
    """Everybody who ever handled it 经办, or on whose behalf it was: none of them may sign it off."""
    signer_off: Mapped[str | None] = mapped_column(sa.String(255))
    """An account, or ``rule:ID`` where a rule signed it off 秒批."""
    reason: Mapped[str | None] = mapped_column(sa.String(2000))
    round: Mapped[int]
    content_sha256: Mapped[str | None] = mapped_column(DIGEST)
    """What everybody approves: digest of all that the application binds (:func:`seals.workflow.drafts.content_digest`)."""
    replaces: Mapped[str | None] = mapped_column(ID)
    """The impression that the newly sealed document takes the place of."""
    track_code: Mapped[str] = mapped_column(sa.String(20))
    """By which the applicant follows it; 100 random bits."""
    created_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    since: Mapped[datetime]
    """When it came into its present state."""


class ApplicationDocumentRow(Base):
    """A document that an application binds, in one round."""

    __tablename__ = "application_documents"
    __table_args__ = (sa.Index("ix_application_documents_sha256", "sha256"),)

    application_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("applications.id"), primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(sa.String(200))
    sha256: Mapped[str] = mapped_column(DIGEST)
    size: Mapped[int | None] = mapped_column(sa.BigInteger)
    """Bytes of the blob; null where only the digest was handed in."""
    placement: Mapped[dict[str, Any] | None]
    format: Mapped[str | None] = mapped_column(sa.String(16))
    suite: Mapped[str | None] = mapped_column(sa.String(8))
    level: Mapped[str] = mapped_column(sa.String(4))
    impression_id: Mapped[str | None] = mapped_column(ID)
    sealed_sha256: Mapped[str | None] = mapped_column(DIGEST)
    sealed_at: Mapped[datetime | None]


class ApplicationStepRow(Base):
    """One step of one round: whom it waits for or waited for, and who took it under which rule."""

    __tablename__ = "application_steps"
    __table_args__ = (
        sa.CheckConstraint("state IN ('waiting', 'current', 'done', 'skipped', 'returned', 'refused')", name="state"),
        sa.Index("ix_application_steps_state_department", "state", "department"),
    )

    application_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("applications.id"), primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    step: Mapped[str] = mapped_column(sa.String(16))
    department: Mapped[str] = mapped_column(sa.String(64))
    roles: Mapped[list[str]]
    """Any of them may take it."""
    in_turn: Mapped[bool]
    """False: begins together with the step before it, if that is of the same kind 会签."""
    state: Mapped[str] = mapped_column(sa.String(16))
    since: Mapped[datetime | None]
    actor: Mapped[str | None] = mapped_column(sa.String(255))
    on_behalf_of: Mapped[str | None] = mapped_column(sa.String(255))
    at: Mapped[datetime | None]
    note: Mapped[str | None] = mapped_column(sa.String(2000))
    rule: Mapped[str | None] = mapped_column(sa.String(255))
    content_sha256: Mapped[str | None] = mapped_column(DIGEST)
    """What was approved."""
    leaf_id: Mapped[str | None] = mapped_column(ID)
    """The audit leaf of it."""


class ApplicationDeliveryRow(Base):
    """A delivery 送达 of what was sealed, with its receipt."""

    __tablename__ = "application_deliveries"
    __table_args__ = (sa.Index("ix_application_deliveries_application_id", "application_id"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    application_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("applications.id"))
    recipient: Mapped[str] = mapped_column(sa.String(200))
    method: Mapped[str] = mapped_column(sa.String(16))
    receipt: Mapped[str | None] = mapped_column(sa.String(2000))
    """In words: who took it, the number of the parcel, of the mail."""
    receipt_sha256: Mapped[str | None] = mapped_column(DIGEST)
    """A blob: the signed receipt as a file."""
    actor: Mapped[str] = mapped_column(sa.String(255))
    at: Mapped[datetime]


class ImpressionRow(RegionMixin, Base):
    """One application of a seal to a document 电子签章: the register of use 用印登记."""

    __tablename__ = "impressions"
    __table_args__ = (
        sa.CheckConstraint("status IN ('valid', 'voided', 'replaced')", name="status"),
        sa.Index("ix_impressions_seal_id", "seal_id", "id"),
        sa.Index("ix_impressions_revision_sha256", "revision_sha256"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    seal_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("seals.id"))
    intent_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("intents.id"))
    attempt: Mapped[int]
    generation_id: Mapped[str] = mapped_column(ID)
    certificate_sha256: Mapped[str] = mapped_column(DIGEST)
    suite: Mapped[str] = mapped_column(sa.String(8))
    format: Mapped[str] = mapped_column(sa.String(16))
    level: Mapped[str] = mapped_column(sa.String(4))
    input_sha256: Mapped[str] = mapped_column(DIGEST)
    document_sha256: Mapped[str] = mapped_column(DIGEST)
    """The sealed file; also its blob."""
    revision_sha256: Mapped[str] = mapped_column(DIGEST)
    """The file up to the end of what this signature covers: archive material behind it changes the file, not this."""
    field: Mapped[str] = mapped_column(sa.String(255))
    page: Mapped[int]
    writer: Mapped[str] = mapped_column(sa.String(32))
    matter: Mapped[str] = mapped_column(sa.String(64))
    application_id: Mapped[str | None] = mapped_column(ID)
    account: Mapped[str] = mapped_column(sa.String(255))
    rule: Mapped[str] = mapped_column(sa.String(255))
    status: Mapped[str] = mapped_column(sa.String(16))
    reason: Mapped[str | None] = mapped_column(sa.String(2000))
    replaced_by: Mapped[str | None] = mapped_column(ID)
    voided_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
