"""Receipts, uses, and going on in spite of a doubt"""

from __future__ import annotations

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Tables of this step."""
