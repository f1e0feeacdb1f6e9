"""Tables of people: departments, accounts and how they prove who they are, sessions, who stands in for whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from people.approval_models import ApprovalRow as ApprovalRow
from people.approval_models import ApprovalSignatureRow as ApprovalSignatureRow
from people.approval_models import OfficerKeyRow as OfficerKeyRow
from people.citizen_models import CitizenRow as CitizenRow
from people.citizen_models import CitizenSessionRow as CitizenSessionRow
from store.db import Base, RegionMixin

ID = sa.String(64)
DIGEST = sa.String(64)


class DepartmentRow(RegionMixin, Base):
    """A department; they form a tree."""

    __tablename__ = "departments"
    __table_args__ = (sa.UniqueConstraint("region", "name"), sa.Index("ix_departments_parent_id", "parent_id"))

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    uscc: Mapped[str | None] = mapped_column(sa.String(18), unique=True)
    """Unified social credit code (GB 32100)."""
    parent_id: Mapped[str | None] = mapped_column(ID, sa.ForeignKey("departments.id"))
    created_at: Mapped[datetime]


class AccountRow(RegionMixin, Base):
    """Somebody who signs in, or a system that calls."""

    __tablename__ = "accounts"
    __table_args__ = (
        sa.CheckConstraint("kind IN ('staff', 'system')", name="kind"),
        sa.CheckConstraint("status IN ('active', 'disabled')", name="status"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(64), unique=True)
    display_name: Mapped[str] = mapped_column(sa.String(200))
    kind: Mapped[str] = mapped_column(sa.String(16))
    status: Mapped[str] = mapped_column(sa.String(16))
    roles: Mapped[list[str]]
    department_id: Mapped[str | None] = mapped_column(ID, sa.ForeignKey("departments.id"))
    password_hash: Mapped[str | None]
    """argon2id; None for a system, which has tokens, and for people who sign in elsewhere or with a passkey alone."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class SignInFailureRow(Base):
    """Failed sign-ins by name, whether or not an account has it: the answer must not tell."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (sa.Index("ix_sign_in_failures_last_at", "last_at"),)

    name_digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    count: Mapped[int]
    last_at: Mapped[datetime]
    locked_until: Mapped[datetime | None]


class SessionRow(Base):
    """A signed-in browser; the token itself is not kept."""

    __tablename__ = "sessions"
    __table_args__ = (sa.Index("ix_sessions_account_id", "account_id"), sa.Index("ix_sessions_expires_at", "expires_at"))

    token_digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    id: Mapped[str] = mapped_column(ID, unique=True)
    """What the session is called where it is listed; it opens nothing."""
    account_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    method: Mapped[str] = mapped_column(sa.String(16))
    """How the person proved who they are: ``password``, ``passkey`` or ``oidc``."""
    agent: Mapped[str] = mapped_column(sa.String(200))
    """The browser, in its own words."""
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ApiTokenRow(Base):
    """A bearer token of a system; the token itself is not kept."""

    __tablename__ = "api_tokens"
    __table_args__ = (sa.Index("ix_api_tokens_account_id", "account_id"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    token_digest: Mapped[str] = mapped_column(DIGEST, unique=True)
    account_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(sa.String(200))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    key_id: Mapped[str | None] = mapped_column(ID, sa.ForeignKey("client_keys.id"))
    """The key whose assertion it was given for (RFC 7523); None for a token that an administrator made."""


class ClientKeyRow(Base):
    """A public key of a system, which signs its client assertions (private_key_jwt, RFC 7523)."""

    __tablename__ = "client_keys"
    __table_args__ = (sa.UniqueConstraint("account_id", "thumbprint"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    account_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(sa.String(200))
    jwk: Mapped[dict[str, Any]]
    """The public JWK (RFC 7517) with its ``kid``."""
    thumbprint: Mapped[str] = mapped_column(sa.String(64))
    """RFC 7638, SHA-256, base64url."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class PasskeyRow(RegionMixin, Base):
    """A passkey (WebAuthn credential) of an account. A removed one stays: what it approved is checked again later."""

    __tablename__ = "passkeys"
    __table_args__ = (sa.Index("ix_passkeys_account_id", "account_id"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    account_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    credential_id: Mapped[str] = mapped_column(sa.String(1400), unique=True)
    """As the authenticator named it, base64url without padding."""
    public_key: Mapped[bytes]
    """COSE_Key (RFC 9052)."""
    sign_count: Mapped[int] = mapped_column(sa.BigInteger)
    name: Mapped[str] = mapped_column(sa.String(100))
    aaguid: Mapped[str] = mapped_column(sa.String(36))
    transports: Mapped[list[str]]
    backed_up: Mapped[bool]
    """Whether its maker keeps a copy of it elsewhere."""
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]


class IdentityRow(RegionMixin, Base):
    """Who somebody is at an OpenID provider; without an account it waits for an administrator to bind it to one."""

    __tablename__ = "identities"
    __table_args__ = (sa.UniqueConstraint("issuer", "subject"), sa.Index("ix_identities_account_id", "account_id"))

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    issuer: Mapped[str] = mapped_column(sa.String(500))
    subject: Mapped[str] = mapped_column(sa.String(255))
    shown_name: Mapped[str] = mapped_column(sa.String(200))
    """What the provider calls the person, so that an administrator knows whom to bind."""
    account_id: Mapped[str | None] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    created_at: Mapped[datetime]
    bound_at: Mapped[datetime | None]


class PendingRow(Base):
    """Something begun in one request and ended in a later one, once: a passkey's challenge, a sign-in elsewhere."""

    __tablename__ = "pending_proofs"
    __table_args__ = (sa.Index("ix_pending_proofs_expires_at", "expires_at"),)

    digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    purpose: Mapped[str] = mapped_column(sa.String(32))
    data: Mapped[dict[str, Any]]
    expires_at: Mapped[datetime]


class SpentRow(Base):
    """What counts once and has counted: the ``jti`` of client assertions, kept until they expire."""

    __tablename__ = "spent_proofs"
    __table_args__ = (sa.Index("ix_spent_proofs_expires_at", "expires_at"),)

    digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    expires_at: Mapped[datetime]


class DelegationRow(RegionMixin, Base):
    """Somebody stands in for somebody (代签授权): these roles, in this department and below, for these matters, for so long."""

    __tablename__ = "delegations"
    __table_args__ = (
        sa.Index("ix_delegations_to_account", "to_account", "until"),
        sa.Index("ix_delegations_from_account", "from_account", "until"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    from_account: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    to_account: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    roles: Mapped[list[str]]
    department_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("departments.id"))
    matters: Mapped[list[str]]
    """Codes of the matters it covers; empty: every matter."""
    reason: Mapped[str] = mapped_column(sa.String(500))
    since: Mapped[datetime]
    until: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(ID)
    created_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str | None] = mapped_column(ID)


class HandOverRow(RegionMixin, Base):
    """A post that passed from one account to another (岗位交接)."""

    __tablename__ = "hand_overs"
    __table_args__ = (
        sa.Index("ix_hand_overs_from_account", "from_account"),
        sa.Index("ix_hand_overs_to_account", "to_account"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    from_account: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    to_account: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    roles: Mapped[list[str]]
    reason: Mapped[str] = mapped_column(sa.String(500))
    moved: Mapped[dict[str, Any]]
    """Pieces of open work that moved along, by kind."""
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(ID)
