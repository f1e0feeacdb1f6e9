"""How people and systems prove who they are, and who stands in for whom"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db import JsonType, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pending_proofs",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("data", JsonType, nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_pending_proofs")),
    )
    op.create_index("ix_pending_proofs_expires_at", "pending_proofs", ["expires_at"], unique=False)
    op.create_table(
        "spent_proofs",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_spent_proofs")),
    )
    op.create_index("ix_spent_proofs_expires_at", "spent_proofs", ["expires_at"], unique=False)
    op.create_table(
        "client_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("jwk", JsonType, nullable=False),
        sa.Column("thumbprint", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_client_keys_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_keys")),
        sa.UniqueConstraint("account_id", "thumbprint", name=op.f("uq_client_keys_account_id_thumbprint")),
    )
    op.create_table(
        "delegations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("from_account", sa.String(length=64), nullable=False),
        sa.Column("to_account", sa.String(length=64), nullable=False),
        sa.Column("roles", JsonType, nullable=False),
        sa.Column("department_id", sa.String(length=64), nullable=False),
        sa.Column("matters", JsonType, nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("withdrawn_at", UtcDateTime(), nullable=True),
        sa.Column("withdrawn_by", sa.String(length=64), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_delegations_department_id_departments")),
        sa.ForeignKeyConstraint(["from_account"], ["accounts.id"], name=op.f("fk_delegations_from_account_accounts")),
        sa.ForeignKeyConstraint(["to_account"], ["accounts.id"], name=op.f("fk_delegations_to_account_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delegations")),
    )
    op.create_index("ix_delegations_from_account", "delegations", ["from_account", "until"], unique=False)
    op.create_index("ix_delegations_to_account", "delegations", ["to_account", "until"], unique=False)
    op.create_table(
        "hand_overs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("from_account", sa.String(length=64), nullable=False),
        sa.Column("to_account", sa.String(length=64), nullable=False),
        sa.Column("roles", JsonType, nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("moved", JsonType, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(["from_account"], ["accounts.id"], name=op.f("fk_hand_overs_from_account_accounts")),
        sa.ForeignKeyConstraint(["to_account"], ["accounts.id"], name=op.f("fk_hand_overs_to_account_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hand_overs")),
    )
    op.create_index("ix_hand_overs_from_account", "hand_overs", ["from_account"], unique=False)
    op.create_index("ix_hand_overs_to_account", "hand_overs", ["to_account"], unique=False)
    op.create_table(
        "identities",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("shown_name", sa.String(length=200), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("bound_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_identities_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identities")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_identities_issuer_subject")),
    )
    op.create_index("ix_identities_account_id", "identities", ["account_id"], unique=False)
    op.create_table(
        "passkeys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("credential_id", sa.String(length=1400), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("aaguid", sa.String(length=36), nullable=False),
        sa.Column("transports", JsonType, nullable=False),
        sa.Column("backed_up", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.Column("removed_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_passkeys_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkeys")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkeys_credential_id")),
    )
    op.create_index("ix_passkeys_account_id", "passkeys", ["account_id"], unique=False)
    with op.batch_alter_table("api_tokens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("key_id", sa.String(length=64), nullable=True))
        batch_op.create_foreign_key(batch_op.f("fk_api_tokens_key_id_client_keys"), "client_keys", ["key_id"], ["id"])

    # A session lives for hours, and what it would have to say of itself was never asked: everybody signs in once more.
    op.execute("DELETE FROM sessions")
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("id", sa.String(length=64), nullable=False))
        batch_op.add_column(sa.Column("method", sa.String(length=16), nullable=False))
        batch_op.add_column(sa.Column("agent", sa.String(length=200), nullable=False))
        batch_op.create_unique_constraint(batch_op.f("uq_sessions_id"), ["id"])
