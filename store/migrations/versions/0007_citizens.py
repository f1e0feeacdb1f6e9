"""Citizens who sign in from outside, and whose licences are whose"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "citizens",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_citizens")),
        sa.UniqueConstraint("region", "person", name=op.f("uq_citizens_region_person")),
    )
    op.create_table(
        "citizen_sessions",
        sa.Column("token_digest", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("citizen_id", sa.String(length=64), nullable=False),
        sa.Column("assurance", sa.String(length=200), nullable=False),
        sa.Column("agent", sa.String(length=200), nullable=False),
        sa.Column("phone", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["citizen_id"], ["citizens.id"], name=op.f("fk_citizen_sessions_citizen_id_citizens")),
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_citizen_sessions")),
        sa.UniqueConstraint("id", name=op.f("uq_citizen_sessions_id")),
    )
    with op.batch_alter_table("citizen_sessions", schema=None) as batch_op:
        batch_op.create_index("ix_citizen_sessions_citizen_id", ["citizen_id"], unique=False)
        batch_op.create_index("ix_citizen_sessions_expires_at", ["expires_at"], unique=False)

    op.create_table(
        "licence_persons",
        sa.Column("licence_id", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("relation", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(["licence_id"], ["licences.id"], name=op.f("fk_licence_persons_licence_id_licences")),
        sa.PrimaryKeyConstraint("licence_id", "person", "relation", name=op.f("pk_licence_persons")),
    )
    with op.batch_alter_table("licence_persons", schema=None) as batch_op:
        batch_op.create_index("ix_licence_persons_person", ["person"], unique=False)
