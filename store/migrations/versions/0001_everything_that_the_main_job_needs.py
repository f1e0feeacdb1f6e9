"""Everything that the main job needs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db import JsonType, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "applications",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("department", sa.String(length=64), nullable=False),
        sa.Column("matter", sa.String(length=64), nullable=False),
        sa.Column("seal_id", sa.String(length=64), nullable=True),
        sa.Column("document_sha256", sa.String(length=64), nullable=True),
        sa.Column("facts", JsonType, nullable=False),
        sa.Column("handler", sa.String(length=255), nullable=False),
        sa.Column("signer_off", sa.String(length=255), nullable=True),
        sa.Column("reason", sa.String(length=2000), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("purpose IN ('make-seal', 'use-seal', 'issue-licence')", name=op.f("ck_applications_purpose")),
        sa.CheckConstraint("status IN ('submitted', 'signed-off', 'refused', 'used')", name=op.f("ck_applications_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_applications")),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("region", "size", name=op.f("pk_audit_checkpoints")),
    )
    op.create_table(
        "audit_heads",
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("region", name=op.f("pk_audit_heads")),
    )
    op.create_table(
        "audit_leaves",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("rule", sa.String(length=255), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("leaf_hash", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_leaves")),
        sa.UniqueConstraint("region", "seq", name=op.f("uq_audit_leaves_region_seq")),
    )
    with op.batch_alter_table("audit_leaves", schema=None) as batch_op:
        batch_op.create_index("ix_audit_leaves_region_at", ["region", "at"], unique=False)
        batch_op.create_index("ix_audit_leaves_region_kind_at", ["region", "kind", "at"], unique=False)

    op.create_table(
        "audit_nodes",
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("region", "level", "index", name=op.f("pk_audit_nodes")),
    )
    op.create_table(
        "ca_authorities",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("suite", sa.String(length=8), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("generation_id", sa.String(length=64), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("parent", sa.String(length=64), nullable=True),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("kind IN ('root', 'issuing')", name=op.f("ck_ca_authorities_kind")),
        sa.CheckConstraint("status IN ('active', 'retired')", name=op.f("ck_ca_authorities_status")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_ca_authorities")),
        sa.UniqueConstraint("region", "kind", "suite", "number", name=op.f("uq_ca_authorities_region_kind_suite_number")),
    )
    op.create_table(
        "ca_roles",
        sa.Column("role_id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("suite", sa.String(length=8), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.PrimaryKeyConstraint("role_id", name=op.f("pk_ca_roles")),
        sa.UniqueConstraint("region", "purpose", "suite", name=op.f("uq_ca_roles_region_purpose_suite")),
    )
    op.create_table(
        "departments",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("uscc", sa.String(length=18), nullable=True),
        sa.Column("parent_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["departments.id"], name=op.f("fk_departments_parent_id_departments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_departments")),
        sa.UniqueConstraint("region", "name", name=op.f("uq_departments_region_name")),
        sa.UniqueConstraint("uscc", name=op.f("uq_departments_uscc")),
    )
    with op.batch_alter_table("departments", schema=None) as batch_op:
        batch_op.create_index("ix_departments_parent_id", ["parent_id"], unique=False)

    op.create_table(
        "intents",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("operation", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("subject", JsonType, nullable=False),
        sa.Column("generation_ids", JsonType, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.String(length=64), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=False),
        sa.Column("result", JsonType, nullable=True),
        sa.Column("blob", sa.String(length=64), nullable=True),
        sa.Column("leaf_id", sa.String(length=64), nullable=True),
        sa.Column("error", JsonType, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("status IN ('running', 'done', 'failed')", name=op.f("ck_intents_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intents")),
        sa.UniqueConstraint("account", "key", name=op.f("uq_intents_account_key")),
    )
    with op.batch_alter_table("intents", schema=None) as batch_op:
        batch_op.create_index("ix_intents_status_lease_until", ["status", "lease_until"], unique=False)

    op.create_table(
        "key_roles",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("suite", sa.String(length=8), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("custody", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("custody IN ('token', 'software')", name=op.f("ck_key_roles_custody")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_roles")),
        sa.UniqueConstraint("purpose", "suite", "name", name=op.f("uq_key_roles_purpose_suite_name")),
    )
    op.create_table(
        "sign_in_failures",
        sa.Column("name_digest", sa.String(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.Column("locked_until", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("name_digest", name=op.f("pk_sign_in_failures")),
    )
    with op.batch_alter_table("sign_in_failures", schema=None) as batch_op:
        batch_op.create_index("ix_sign_in_failures_last_at", ["last_at"], unique=False)

    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("roles", JsonType, nullable=False),
        sa.Column("department_id", sa.String(length=64), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("kind IN ('staff', 'system')", name=op.f("ck_accounts_kind")),
        sa.CheckConstraint("status IN ('active', 'disabled')", name=op.f("ck_accounts_status")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_accounts_department_id_departments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
    )
    op.create_table(
        "audit_subjects",
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("leaf_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["leaf_id"], ["audit_leaves.id"], name=op.f("fk_audit_subjects_leaf_id_audit_leaves")),
        sa.PrimaryKeyConstraint("value", "leaf_id", "name", name=op.f("pk_audit_subjects")),
    )
    op.create_table(
        "ca_certificates",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=8), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=True),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("generation_id", sa.String(length=64), nullable=True),
        sa.Column("profile", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("es_id", sa.String(length=64), nullable=True),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("not_after", UtcDateTime(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("chain", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("invalidity_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("(origin = 'own') = (authority IS NOT NULL)", name=op.f("ck_ca_certificates_origin")),
        sa.CheckConstraint("status IN ('issuing', 'good', 'hold', 'revoked')", name=op.f("ck_ca_certificates_status")),
        sa.ForeignKeyConstraint(
            ["authority"], ["ca_authorities.name"], name=op.f("fk_ca_certificates_authority_ca_authorities")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ca_certificates")),
        sa.UniqueConstraint("authority", "serial", name=op.f("uq_ca_certificates_authority_serial")),
        sa.UniqueConstraint("sha256", name=op.f("uq_ca_certificates_sha256")),
    )
    with op.batch_alter_table("ca_certificates", schema=None) as batch_op:
        batch_op.create_index("ix_ca_certificates_es_id", ["es_id"], unique=False)
        batch_op.create_index("ix_ca_certificates_generation_id", ["generation_id"], unique=False)
        batch_op.create_index("ix_ca_certificates_not_after", ["not_after"], unique=False)
        batch_op.create_index("ix_ca_certificates_serial", ["serial"], unique=False)

    op.create_table(
        "ca_crls",
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("this_update", UtcDateTime(), nullable=False),
        sa.Column("next_update", UtcDateTime(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["ca_authorities.name"], name=op.f("fk_ca_crls_authority_ca_authorities")),
        sa.PrimaryKeyConstraint("authority", "number", name=op.f("pk_ca_crls")),
    )
    op.create_table(
        "intent_attempts",
        sa.Column("intent_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome IN ('committed', 'failed', 'superseded')", name=op.f("ck_intent_attempts_outcome")
        ),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_intent_attempts_intent_id_intents")),
        sa.PrimaryKeyConstraint("intent_id", "number", name=op.f("pk_intent_attempts")),
    )
    op.create_table(
        "key_generations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("role_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("custody", sa.String(length=16), nullable=False),
        sa.Column("token_label", sa.String(length=32), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=True),
        sa.Column("token_model", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("activated_at", UtcDateTime(), nullable=True),
        sa.Column("draining_at", UtcDateTime(), nullable=True),
        sa.Column("retired_at", UtcDateTime(), nullable=True),
        sa.Column("destroyed_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("custody IN ('token', 'software')", name=op.f("ck_key_generations_custody")),
        sa.CheckConstraint(
            "state IN ('staged', 'active', 'draining', 'retired', 'destroyed')", name=op.f("ck_key_generations_state")
        ),
        sa.ForeignKeyConstraint(["role_id"], ["key_roles.id"], name=op.f("fk_key_generations_role_id_key_roles")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_generations")),
        sa.UniqueConstraint("key_id", name=op.f("uq_key_generations_key_id")),
        sa.UniqueConstraint("role_id", "number", name=op.f("uq_key_generations_role_id_number")),
    )
    with op.batch_alter_table("key_generations", schema=None) as batch_op:
        batch_op.create_index(
            "uq_key_generations_one_active",
            ["role_id"],
            unique=True,
            sqlite_where=sa.text("state = 'active'"),
            postgresql_where=sa.text("state = 'active'"),
        )

    op.create_table(
        "licence_serials",
        sa.Column("type_id", sa.String(length=64), nullable=False),
        sa.Column("issuer_uscc", sa.String(length=18), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("intent_id", sa.String(length=64), nullable=False),
        sa.Column("allocated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_licence_serials_intent_id_intents")),
        sa.PrimaryKeyConstraint("type_id", "issuer_uscc", "number", name=op.f("pk_licence_serials")),
        sa.UniqueConstraint("intent_id", name=op.f("uq_licence_serials_intent_id")),
    )
    op.create_table(
        "seals",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("es_id", sa.String(length=32), nullable=False),
        sa.Column("intent_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("owner_name", sa.String(length=200), nullable=False),
        sa.Column("owner_uscc", sa.String(length=18), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("label", sa.String(length=60), nullable=False),
        sa.Column("sample", sa.Boolean(), nullable=False),
        sa.Column("application_id", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("width_mm", sa.Double(), nullable=False),
        sa.Column("height_mm", sa.Double(), nullable=False),
        sa.Column("picture_pdf", sa.String(length=64), nullable=False),
        sa.Column("picture_png", sa.String(length=64), nullable=False),
        sa.Column("picture_svg", sa.String(length=64), nullable=False),
        sa.Column("valid_from", UtcDateTime(), nullable=False),
        sa.Column("valid_to", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("status IN ('preparing', 'in-force', 'suspended', 'revoked')", name=op.f("ck_seals_status")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_seals_intent_id_intents")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seals")),
        sa.UniqueConstraint("es_id", name=op.f("uq_seals_es_id")),
        sa.UniqueConstraint("intent_id", name=op.f("uq_seals_intent_id")),
    )
    with op.batch_alter_table("seals", schema=None) as batch_op:
        batch_op.create_index("ix_seals_owner_uscc", ["owner_uscc"], unique=False)

    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("token_digest", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_api_tokens_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_api_tokens_token_digest")),
    )
    with op.batch_alter_table("api_tokens", schema=None) as batch_op:
        batch_op.create_index("ix_api_tokens_account_id", ["account_id"], unique=False)

    op.create_table(
        "ca_ocsp_answers",
        sa.Column("certificate_id", sa.String(length=64), nullable=False),
        sa.Column("algorithm", sa.String(length=8), nullable=False),
        sa.Column("this_update", UtcDateTime(), nullable=False),
        sa.Column("next_update", UtcDateTime(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(
            ["certificate_id"], ["ca_certificates.id"], name=op.f("fk_ca_ocsp_answers_certificate_id_ca_certificates")
        ),
        sa.PrimaryKeyConstraint("certificate_id", "algorithm", name=op.f("pk_ca_ocsp_answers")),
    )
    with op.batch_alter_table("ca_ocsp_answers", schema=None) as batch_op:
        batch_op.create_index("ix_ca_ocsp_answers_next_update", ["next_update"], unique=False)

    op.create_table(
        "ca_outside_requests",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("certificate_id", sa.String(length=64), nullable=False),
        sa.Column("request", JsonType, nullable=False),
        sa.Column("answer", JsonType, nullable=True),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("answered_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(
            ["certificate_id"], ["ca_certificates.id"], name=op.f("fk_ca_outside_requests_certificate_id_ca_certificates")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ca_outside_requests")),
    )
    op.create_table(
        "impressions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("seal_id", sa.String(length=64), nullable=False),
        sa.Column("intent_id", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("generation_id", sa.String(length=64), nullable=False),
        sa.Column("certificate_sha256", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=8), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("level", sa.String(length=4), nullable=False),
        sa.Column("input_sha256", sa.String(length=64), nullable=False),
        sa.Column("document_sha256", sa.String(length=64), nullable=False),
        sa.Column("revision_sha256", sa.String(length=64), nullable=False),
        sa.Column("field", sa.String(length=255), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("writer", sa.String(length=32), nullable=False),
        sa.Column("matter", sa.String(length=64), nullable=False),
        sa.Column("application_id", sa.String(length=64), nullable=True),
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("rule", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=True),
        sa.Column("replaced_by", sa.String(length=64), nullable=True),
        sa.Column("voided_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("status IN ('valid', 'voided', 'replaced')", name=op.f("ck_impressions_status")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_impressions_intent_id_intents")),
        sa.ForeignKeyConstraint(["seal_id"], ["seals.id"], name=op.f("fk_impressions_seal_id_seals")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_impressions")),
    )
    with op.batch_alter_table("impressions", schema=None) as batch_op:
        batch_op.create_index("ix_impressions_revision_sha256", ["revision_sha256"], unique=False)
        batch_op.create_index("ix_impressions_seal_id", ["seal_id", "id"], unique=False)

    op.create_table(
        "key_use_counts",
        sa.Column("generation_id", sa.String(length=64), nullable=False),
        sa.Column("use", sa.String(length=32), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["generation_id"], ["key_generations.id"], name=op.f("fk_key_use_counts_generation_id_key_generations")
        ),
        sa.PrimaryKeyConstraint("generation_id", "use", name=op.f("pk_key_use_counts")),
    )
    op.create_table(
        "key_uses",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("generation_id", sa.String(length=64), nullable=False),
        sa.Column("intent_id", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("message_digest", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(
            ["intent_id", "attempt"],
            ["intent_attempts.intent_id", "intent_attempts.number"],
            name=op.f("fk_key_uses_intent_id_attempt_intent_attempts"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_uses")),
    )
    with op.batch_alter_table("key_uses", schema=None) as batch_op:
        batch_op.create_index("ix_key_uses_generation_id_at", ["generation_id", "at"], unique=False)
        batch_op.create_index("ix_key_uses_intent_id_attempt", ["intent_id", "attempt"], unique=False)

    op.create_table(
        "licence_authorities",
        sa.Column("type_id", sa.String(length=64), nullable=False),
        sa.Column("issuer_uscc", sa.String(length=18), nullable=False),
        sa.Column("issuer_name", sa.String(length=200), nullable=False),
        sa.Column("seal_id", sa.String(length=64), nullable=False),
        sa.Column("role_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(["seal_id"], ["seals.id"], name=op.f("fk_licence_authorities_seal_id_seals")),
        sa.PrimaryKeyConstraint("type_id", "issuer_uscc", name=op.f("pk_licence_authorities")),
    )
    op.create_table(
        "seal_events",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("seal_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("effective_at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=False),
        sa.ForeignKeyConstraint(["seal_id"], ["seals.id"], name=op.f("fk_seal_events_seal_id_seals")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seal_events")),
    )
    with op.batch_alter_table("seal_events", schema=None) as batch_op:
        batch_op.create_index("ix_seal_events_seal_id_effective_at", ["seal_id", "effective_at"], unique=False)

    op.create_table(
        "seal_keys",
        sa.Column("seal_id", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=8), nullable=False),
        sa.Column("role_id", sa.String(length=64), nullable=False),
        sa.Column("first_generation_id", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["seal_id"], ["seals.id"], name=op.f("fk_seal_keys_seal_id_seals")),
        sa.PrimaryKeyConstraint("seal_id", "suite", name=op.f("pk_seal_keys")),
        sa.UniqueConstraint("role_id", name=op.f("uq_seal_keys_role_id")),
    )
    op.create_table(
        "seal_versions",
        sa.Column("seal_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("ses_blob", sa.String(length=64), nullable=True),
        sa.Column("generation_ids", JsonType, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["seal_id"], ["seals.id"], name=op.f("fk_seal_versions_seal_id_seals")),
        sa.PrimaryKeyConstraint("seal_id", "number", name=op.f("pk_seal_versions")),
    )
    op.create_table(
        "sessions",
        sa.Column("token_digest", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_sessions_account_id_accounts")),
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_sessions")),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index("ix_sessions_account_id", ["account_id"], unique=False)
        batch_op.create_index("ix_sessions_expires_at", ["expires_at"], unique=False)

    op.create_table(
        "licences",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("identifier", sa.String(length=200), nullable=False),
        sa.Column("type_id", sa.String(length=64), nullable=False),
        sa.Column("issuer_uscc", sa.String(length=18), nullable=False),
        sa.Column("issuer_name", sa.String(length=200), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("holder_name", sa.String(length=200), nullable=False),
        sa.Column("holder_code", sa.String(length=64), nullable=False),
        sa.Column("data", JsonType, nullable=False),
        sa.Column("valid_from", UtcDateTime(), nullable=False),
        sa.Column("valid_to", UtcDateTime(), nullable=True),
        sa.Column("impression_id", sa.String(length=64), nullable=False),
        sa.Column("document_sha256", sa.String(length=64), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("replaces", sa.String(length=64), nullable=True),
        sa.Column("intent_id", sa.String(length=64), nullable=False),
        sa.Column("sample", sa.Boolean(), nullable=False),
        sa.Column("issued_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(["impression_id"], ["impressions.id"], name=op.f("fk_licences_impression_id_impressions")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_licences_intent_id_intents")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_licences")),
        sa.UniqueConstraint("identifier", name=op.f("uq_licences_identifier")),
    )
    with op.batch_alter_table("licences", schema=None) as batch_op:
        batch_op.create_index("ix_licences_holder_code", ["holder_code"], unique=False)
        batch_op.create_index("ix_licences_type_id_issuer_uscc_serial", ["type_id", "issuer_uscc", "serial"], unique=False)

    op.create_table(
        "licence_events",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("licence_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_zh", sa.String(length=16), nullable=False),
        sa.Column("effective_at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.Column("basis", sa.String(length=2000), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["licence_id"], ["licences.id"], name=op.f("fk_licence_events_licence_id_licences")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_licence_events")),
    )
    with op.batch_alter_table("licence_events", schema=None) as batch_op:
        batch_op.create_index("ix_licence_events_licence_id_effective_at", ["licence_id", "effective_at"], unique=False)
