"""Copies on phones, and whom their holders authorised"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db import JsonType, UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "copy_challenges",
        sa.Column("nonce_sha256", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.PrimaryKeyConstraint("nonce_sha256", name=op.f("pk_copy_challenges")),
    )
    with op.batch_alter_table("copy_challenges", schema=None) as batch_op:
        batch_op.create_index("ix_copy_challenges_expires_at", ["expires_at"], unique=False)

    op.create_table(
        "licence_grants",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("line", sa.String(length=160), nullable=False),
        sa.Column("licence_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("matters", JsonType, nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("giver", sa.String(length=64), nullable=False),
        sa.Column("giver_name", sa.String(length=100), nullable=False),
        sa.Column("parent", sa.String(length=64), nullable=True),
        sa.Column("basis", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("withdrawn_at", UtcDateTime(), nullable=True),
        sa.Column("withdrawn_by", sa.String(length=255), nullable=True),
        sa.Column("withdrawn_why", sa.String(length=32), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("basis IN ('phone', 'presence')", name=op.f("ck_licence_grants_basis")),
        sa.CheckConstraint("kind IN ('manager', 'staff', 'agent')", name=op.f("ck_licence_grants_kind")),
        sa.ForeignKeyConstraint(["licence_id"], ["licences.id"], name=op.f("fk_licence_grants_licence_id_licences")),
        sa.ForeignKeyConstraint(["parent"], ["licence_grants.id"], name=op.f("fk_licence_grants_parent_licence_grants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_licence_grants")),
    )
    with op.batch_alter_table("licence_grants", schema=None) as batch_op:
        batch_op.create_index("ix_licence_grants_line", ["line"], unique=False)
        batch_op.create_index("ix_licence_grants_parent", ["parent"], unique=False)
        batch_op.create_index("ix_licence_grants_person", ["person"], unique=False)

    op.create_table(
        "licence_copies",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("line", sa.String(length=160), nullable=False),
        sa.Column("licence_id", sa.String(length=64), nullable=False),
        sa.Column("citizen", sa.String(length=255), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("bearer", sa.String(length=100), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("grant_id", sa.String(length=64), nullable=True),
        sa.Column("device", sa.String(length=60), nullable=False),
        sa.Column("phone", sa.String(length=64), nullable=False),
        sa.Column("public_jwk", JsonType, nullable=False),
        sa.Column("status_uri", sa.String(length=300), nullable=False),
        sa.Column("status_index", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("issued_at", UtcDateTime(), nullable=False),
        sa.Column("renewed_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("generation_id", sa.String(length=64), nullable=False),
        sa.Column("intent_id", sa.String(length=64), nullable=False),
        sa.Column("sample", sa.Boolean(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint(
            "role IN ('representative', 'holder', 'manager', 'staff', 'agent')", name=op.f("ck_licence_copies_role")
        ),
        sa.CheckConstraint(
            "status IN ('active', 'removed', 'lost', 'withdrawn', 'superseded')", name=op.f("ck_licence_copies_status")
        ),
        sa.ForeignKeyConstraint(["grant_id"], ["licence_grants.id"], name=op.f("fk_licence_copies_grant_id_licence_grants")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_licence_copies_intent_id_intents")),
        sa.ForeignKeyConstraint(["licence_id"], ["licences.id"], name=op.f("fk_licence_copies_licence_id_licences")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_licence_copies")),
    )
    with op.batch_alter_table("licence_copies", schema=None) as batch_op:
        batch_op.create_index("ix_licence_copies_grant_id", ["grant_id"], unique=False)
        batch_op.create_index("ix_licence_copies_licence_id", ["licence_id"], unique=False)
        batch_op.create_index("ix_licence_copies_line", ["line"], unique=False)
        batch_op.create_index("ix_licence_copies_person", ["person"], unique=False)
        batch_op.create_index("ix_licence_copies_phone", ["phone"], unique=False)
        batch_op.create_index("ix_licence_copies_status_expires_at", ["status", "expires_at"], unique=False)
