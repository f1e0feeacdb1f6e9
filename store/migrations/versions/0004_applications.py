"""Applications to seal, step by step"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

from store.db import JsonType, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATUS = "status IN ('submitted', 'returned', 'signed-off', 'refused', 'withdrawn', 'used', 'sealed', 'delivered')"
_STATE = "state IN ('waiting', 'current', 'done', 'skipped', 'returned', 'refused')"
_CODE = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_FILLED = {"title": "", "copies": 1, "round": 1}


def upgrade() -> None:
    """Steps, documents and deliveries; applications that are there go on at the step that they wait for."""
    with op.batch_alter_table("applications") as batch:
        batch.add_column(sa.Column("title", sa.String(length=300), nullable=True))
        batch.add_column(sa.Column("number", sa.String(length=100), nullable=True))
        batch.add_column(sa.Column("copies", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("applicant", JsonType, nullable=True))
        batch.add_column(sa.Column("handlers", JsonType, nullable=True))
        batch.add_column(sa.Column("round", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("content_sha256", sa.String(length=64), nullable=True))
        batch.add_column(sa.Column("replaces", sa.String(length=64), nullable=True))
        batch.add_column(sa.Column("track_code", sa.String(length=20), nullable=True))
        batch.add_column(sa.Column("since", UtcDateTime(), nullable=True))
    _fill()
    with op.batch_alter_table("applications") as batch:
        for name, kind in (
            ("title", sa.String(length=300)),
            ("copies", sa.Integer()),
            ("handlers", JsonType),
            ("round", sa.Integer()),
            ("track_code", sa.String(length=20)),
            ("since", UtcDateTime()),
        ):
            batch.alter_column(name, existing_type=kind, nullable=False)
        batch.drop_constraint(op.f("ck_applications_status"), type_="check")
        batch.create_check_constraint(op.f("ck_applications_status"), _STATUS)
        batch.create_index("ix_applications_department_status", ["department", "status", "id"], unique=False)
        batch.create_index("ix_applications_track_code", ["track_code"], unique=True)
    # Afterwards: SQLite makes a table anew to change it, which it refuses while rows of others refer to its rows.
    _steps()
    _documents()
    _deliveries()
    _carry_over()


def _steps() -> None:
    op.create_table(
        "application_steps",
        sa.Column("application_id", sa.String(length=64), nullable=False),
        sa.Column("round", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step", sa.String(length=16), nullable=False),
        sa.Column("department", sa.String(length=64), nullable=False),
        sa.Column("roles", JsonType, nullable=False),
        sa.Column("in_turn", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=True),
        sa.Column("actor", sa.String(length=255), nullable=True),
        sa.Column("on_behalf_of", sa.String(length=255), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=True),
        sa.Column("note", sa.String(length=2000), nullable=True),
        sa.Column("rule", sa.String(length=255), nullable=True),
        sa.Column("content_sha256", sa.String(length=64), nullable=True),
        sa.Column("leaf_id", sa.String(length=64), nullable=True),
        sa.CheckConstraint(_STATE, name=op.f("ck_application_steps_state")),
        sa.ForeignKeyConstraint(
            ["application_id"], ["applications.id"], name=op.f("fk_application_steps_application_id_applications")
        ),
        sa.PrimaryKeyConstraint("application_id", "round", "n", name=op.f("pk_application_steps")),
    )
    op.create_index("ix_application_steps_state_department", "application_steps", ["state", "department"], unique=False)


def _documents() -> None:
    op.create_table(
        "application_documents",
        sa.Column("application_id", sa.String(length=64), nullable=False),
        sa.Column("round", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("placement", JsonType, nullable=True),
        sa.Column("format", sa.String(length=16), nullable=True),
        sa.Column("suite", sa.String(length=8), nullable=True),
        sa.Column("level", sa.String(length=4), nullable=False),
        sa.Column("impression_id", sa.String(length=64), nullable=True),
        sa.Column("sealed_sha256", sa.String(length=64), nullable=True),
        sa.Column("sealed_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["application_id"], ["applications.id"], name=op.f("fk_application_documents_application_id_applications")
        ),
        sa.PrimaryKeyConstraint("application_id", "round", "n", name=op.f("pk_application_documents")),
    )
    op.create_index("ix_application_documents_sha256", "application_documents", ["sha256"], unique=False)


def _deliveries() -> None:
    op.create_table(
        "application_deliveries",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("application_id", sa.String(length=64), nullable=False),
        sa.Column("recipient", sa.String(length=200), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("receipt", sa.String(length=2000), nullable=True),
        sa.Column("receipt_sha256", sa.String(length=64), nullable=True),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"], ["applications.id"], name=op.f("fk_application_deliveries_application_id_applications")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_application_deliveries")),
    )
    op.create_index("ix_application_deliveries_application_id", "application_deliveries", ["application_id"], unique=False)


_APPLICATIONS = sa.table(
    "applications",
    *(sa.column(name) for name in ("id", "status", "purpose", "department", "handler", "signer_off", "title", "copies")),
    sa.column("round"),
    sa.column("track_code"),
    sa.column("handlers", JsonType),
    sa.column("since", UtcDateTime()),
    sa.column("created_at", UtcDateTime()),
    sa.column("decided_at", UtcDateTime()),
)


def _fill() -> None:
    """Give every application what all have from now on, a code to follow it by among it."""
    connection = op.get_bind()
    for row in connection.execute(sa.select(_APPLICATIONS)).all():
        values = {**_FILLED, "handlers": [row.handler], "since": row.decided_at or row.created_at}
        values["track_code"] = "".join(secrets.choice(_CODE) for _ in range(20))
        connection.execute(sa.update(_APPLICATIONS).where(_APPLICATIONS.c.id == row.id).values(**values))


def _carry_over() -> None:
    """Give every application its steps: handled by one, then the sign-off, then (to use a seal) the use."""
    steps = sa.table(
        "application_steps",
        *(sa.column(name) for name in ("application_id", "round", "n", "step", "department", "in_turn", "state", "actor")),
        sa.column("roles", JsonType),
        sa.column("since", UtcDateTime()),
        sa.column("at", UtcDateTime()),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(_APPLICATIONS)).all():
        common = {"application_id": row.id, "round": 1, "department": row.department, "in_turn": True}
        decided = {"submitted": "current", "refused": "refused"}.get(row.status, "done")
        listed = [
            ("handle", ["handler"], "done", row.handler, row.created_at),
            ("sign-off", ["signer_off"], decided, row.signer_off, row.decided_at),
        ]
        if row.purpose == "use-seal":
            waiting = {"signed-off": "current", "refused": "skipped"}.get(row.status, "waiting")
            listed += [("seal", ["seal_keeper"], waiting, None, None), ("deliver", ["handler"], "waiting", None, None)]
        for n, (step, roles, state, actor, at) in enumerate(listed):
            told = {"n": n, "step": step, "roles": roles, "state": state, "actor": actor, "at": at, "since": at or row.since}
            connection.execute(sa.insert(steps).values(**common, **told))
