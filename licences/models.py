"""Tables of licences: who issues what, serial numbers, licences, their life as events, and the lists that publish it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from licences import annotated_models as annotated_models
from licences import holding_models as holding_models
from store.db import Base, RegionMixin
from store.models import DIGEST, ID


class AuthorityRow(RegionMixin, Base):
    """An organ that issues a type of licence: its seal, and the key role that signs the codes on paper."""

    __tablename__ = "licence_authorities"

    type_id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    issuer_uscc: Mapped[str] = mapped_column(sa.String(18), primary_key=True)
    issuer_name: Mapped[str] = mapped_column(sa.String(200))
    seal_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("seals.id"))
    role_id: Mapped[str] = mapped_column(ID)
    created_at: Mapped[datetime]


class SerialRow(Base):
    """A serial number given to an intent. One an intent and authority, so a retry gets the number of the first attempt."""

    __tablename__ = "licence_serials"
    __table_args__ = (sa.UniqueConstraint("intent_id"),)

    type_id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    issuer_uscc: Mapped[str] = mapped_column(sa.String(18), primary_key=True)
    number: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    intent_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("intents.id"))
    allocated_at: Mapped[datetime]


class LicenceRow(RegionMixin, Base):
    """An issued licence document; a change makes a new version with the same serial."""

    __tablename__ = "licences"
    __table_args__ = (
        sa.Index("ix_licences_holder_code", "holder_code"),
        sa.Index("ix_licences_type_id_issuer_uscc_serial", "type_id", "issuer_uscc", "serial"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    identifier: Mapped[str] = mapped_column(sa.String(200), unique=True)
    type_id: Mapped[str] = mapped_column(sa.String(64))
    issuer_uscc: Mapped[str] = mapped_column(sa.String(18))
    issuer_name: Mapped[str] = mapped_column(sa.String(200))
    serial: Mapped[int] = mapped_column(sa.BigInteger)
    version: Mapped[int]
    holder_name: Mapped[str] = mapped_column(sa.String(200))
    holder_code: Mapped[str] = mapped_column(sa.String(64))
    data: Mapped[dict[str, Any]]
    valid_from: Mapped[datetime]
    """Start of the first day of validity, local time of the region, in UTC."""
    valid_to: Mapped[datetime | None]
    """End of the last day of validity; null for none."""
    impression_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("impressions.id"))
    document_sha256: Mapped[str] = mapped_column(DIGEST)
    code: Mapped[str]
    """What the QR code says."""
    replaces: Mapped[str | None] = mapped_column(ID)
    intent_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("intents.id"))
    sample: Mapped[bool]
    issued_at: Mapped[datetime]
    status_uri: Mapped[str | None] = mapped_column(sa.String(300))
    """Where its state is published; null for what was issued before there were status lists."""
    status_index: Mapped[int | None]


class LicenceEventRow(Base):
    """What was decided about a licence, when it was recorded and from when it counts; never changed.

    The state at a time is that of the newest-recorded event among those that count then (an annulment from the start counts
    at every time, once recorded).
    """

    __tablename__ = "licence_events"
    __table_args__ = (sa.Index("ix_licence_events_licence_id_effective_at", "licence_id", "effective_at"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    licence_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("licences.id"))
    state: Mapped[str] = mapped_column(sa.String(16))
    """in-force, suspended, withdrawn, superseded."""
    state_zh: Mapped[str] = mapped_column(sa.String(16))
    """有效, 暂扣, 撤销, 撤回, 吊销, 注销, 变更."""
    effective_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    basis: Mapped[str] = mapped_column(sa.String(2000))
    actor: Mapped[str] = mapped_column(sa.String(255))


class StatusListRow(RegionMixin, Base):
    """A Token Status List: an address under ``/status/`` and its size. What it says is in its places."""

    __tablename__ = "status_lists"

    id: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    bits: Mapped[int]
    size: Mapped[int]
    closed: Mapped[bool]
    """Three quarters of it are given away: what comes now gets a place in a new one."""
    created_at: Mapped[datetime]


class StatusPlaceRow(Base):
    """One place that was given away. One an intent, so a retry gets the place of the first attempt.

    ``next_value`` counts from ``next_at`` on: a decision that takes effect on a later day.
    """

    __tablename__ = "status_places"
    __table_args__ = (
        sa.UniqueConstraint("intent_id"),
        sa.CheckConstraint("value BETWEEN 0 AND 3", name="value"),
        sa.Index("ix_status_places_list_id_value", "list_id", "value"),
        sa.Index("ix_status_places_list_id_next_at", "list_id", "next_at"),
    )

    list_id: Mapped[str] = mapped_column(sa.String(16), sa.ForeignKey("status_lists.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    intent_id: Mapped[str | None] = mapped_column(ID, sa.ForeignKey("intents.id"))
    value: Mapped[int] = mapped_column(sa.SmallInteger)
    next_value: Mapped[int | None] = mapped_column(sa.SmallInteger)
    next_at: Mapped[datetime | None]
    allotted_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class LicencePersonRow(RegionMixin, Base):
    """To whom a licence belongs: the person it is about, or who represents the business by law; written when it is issued."""

    __tablename__ = "licence_persons"
    __table_args__ = (sa.Index("ix_licence_persons_person", "person"),)

    licence_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("licences.id"), primary_key=True)
    person: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    """Person key: a keyed digest of the identity number."""
    relation: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    """representative or holder."""
    name: Mapped[str] = mapped_column(sa.String(200))
