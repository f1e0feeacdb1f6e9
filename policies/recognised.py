"""What rules of recognition 互认 say, without what evaluates them: the verifier alone needs no Cedar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SEALED_DOCUMENT = "sealed-document"
"""The type of a document that is no licence."""
OWN_REGION = "own-region"
"""The rule that a region's own documents need none."""
OUTCOMES = ("refuse", "conditions", "accept", "none")
"""Strictest first; a document of several regions takes the strictest."""


@dataclass(frozen=True)
class Recognition:
    """What the rules say of one document for one matter.

    :ivar outcome: accept | conditions | refuse | none (no rule speaks of it)
    :ivar local_type: type code that it counts as here; the document's own where the rule names none
    :ivar words: for the applicant, why so; ``words_zh`` the same in Chinese
    :ivar rule: ``@id`` of the rule; None where none spoke
    :ivar basis: the agreement or regulation behind it 依据
    :ivar conditions: what has to be met besides, where the outcome says so
    """

    outcome: str
    local_type: str | None
    words: str
    words_zh: str
    rule: str | None = None
    basis: str | None = None
    conditions: str | None = None
    conditions_zh: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return dict(vars(self))
