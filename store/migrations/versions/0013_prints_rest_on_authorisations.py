"""A printed copy says by which authorisation it was made"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("annotated_copies", schema=None) as batch_op:
        batch_op.add_column(sa.Column("grant_id", sa.String(length=64), nullable=True))
        batch_op.create_index("ix_annotated_copies_grant_id", ["grant_id"], unique=False)
        batch_op.create_foreign_key(
            batch_op.f("fk_annotated_copies_grant_id_licence_grants"), "licence_grants", ["grant_id"], ["id"]
        )
