"""Citizens who sign in from outside, and whose licences are whose"""

from __future__ import annotations

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Tables of this step."""
