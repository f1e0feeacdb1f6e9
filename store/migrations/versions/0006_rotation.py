"""Re-made seals, steps of key rotation, compromises and drills"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db import JsonType, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ceremonies",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("generation_id", sa.String(length=64), nullable=True),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=True),
        sa.Column("facts", JsonType, nullable=False),
        sa.Column("report_blob", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("kind IN ('compromise', 'drill')", name=op.f("ck_ceremonies_kind")),
        sa.CheckConstraint("status IN ('running', 'done', 'incomplete', 'failed')", name=op.f("ck_ceremonies_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ceremonies")),
    )
    with op.batch_alter_table("ceremonies", schema=None) as batch_op:
        batch_op.create_index("ix_ceremonies_generation_id", ["generation_id"], unique=False)

    op.create_table(
        "key_steps",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("generation_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("rule", sa.String(length=255), nullable=True),
        sa.Column("facts", JsonType, nullable=False),
        sa.Column("begun_at", UtcDateTime(), nullable=False),
        sa.Column("done_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("step IN ('prove', 'certify', 'file', 'distribute')", name=op.f("ck_key_steps_step")),
        sa.ForeignKeyConstraint(
            ["generation_id"], ["key_generations.id"], name=op.f("fk_key_steps_generation_id_key_generations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_steps")),
        sa.UniqueConstraint("generation_id", "step", name=op.f("uq_key_steps_generation_id_step")),
    )
    with op.batch_alter_table("seal_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("record", JsonType, nullable=True))
        batch_op.add_column(sa.Column("filing_blob", sa.String(length=64), nullable=True))
