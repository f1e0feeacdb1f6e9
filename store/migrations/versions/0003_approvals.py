"""Approvals by several officers"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db import JsonType, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _approvals()
    _officer_keys()
    _signatures()
    with op.batch_alter_table("key_generations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("made_under", JsonType, nullable=True))
        batch_op.add_column(sa.Column("destroyed_under", JsonType, nullable=True))


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("words_en", sa.Text(), nullable=False),
        sa.Column("words_zh", sa.Text(), nullable=False),
        sa.Column("needed", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("requested_by", sa.String(length=64), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("closed_by", sa.String(length=64), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("status IN ('open', 'used', 'refused', 'withdrawn')", name=op.f("ck_approvals_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    with op.batch_alter_table("approvals", schema=None) as batch_op:
        batch_op.create_index("ix_approvals_region_status", ["region", "status"], unique=False)


def _officer_keys() -> None:
    op.create_table(
        "officer_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("spki", sa.LargeBinary(), nullable=False),
        sa.Column("spki_sha256", sa.String(length=64), nullable=False),
        sa.Column("credential_id", sa.Text(), nullable=True),
        sa.Column("rp_id", sa.String(length=255), nullable=True),
        sa.Column("certificate", sa.LargeBinary(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("proposed_at", UtcDateTime(), nullable=False),
        sa.Column("confirmed_at", UtcDateTime(), nullable=True),
        sa.Column("confirmed_by", sa.String(length=64), nullable=True),
        sa.Column("removed_at", UtcDateTime(), nullable=True),
        sa.Column("removed_by", sa.String(length=64), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("kind IN ('passkey', 'certificate')", name=op.f("ck_officer_keys_kind")),
        sa.CheckConstraint("status IN ('proposed', 'confirmed', 'removed')", name=op.f("ck_officer_keys_status")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_officer_keys_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_officer_keys")),
    )
    kept = sa.text("status <> 'removed'")
    with op.batch_alter_table("officer_keys", schema=None) as batch_op:
        batch_op.create_index("ix_officer_keys_account_id", ["account_id"], unique=False)
        batch_op.create_index(
            "uq_officer_keys_one_holder", ["spki_sha256"], unique=True, sqlite_where=kept, postgresql_where=kept
        )


def _signatures() -> None:
    op.create_table(
        "approval_signatures",
        sa.Column("approval_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("spki_sha256", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("entry", JsonType, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_approval_signatures_account_id_accounts")),
        sa.ForeignKeyConstraint(["approval_id"], ["approvals.id"], name=op.f("fk_approval_signatures_approval_id_approvals")),
        sa.ForeignKeyConstraint(["key_id"], ["officer_keys.id"], name=op.f("fk_approval_signatures_key_id_officer_keys")),
        sa.PrimaryKeyConstraint("approval_id", "account_id", name=op.f("pk_approval_signatures")),
        sa.UniqueConstraint("approval_id", "spki_sha256", name=op.f("uq_approval_signatures_approval_id_spki_sha256")),
    )
