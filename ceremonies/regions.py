"""This node among others: whose word counts for whose seals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from verify.schemas import SealStatus, SealStatusProvider


@dataclass(frozen=True)
class Registers:
    """Several registers of seals as one ``SealStatusProvider``: the first that knows a seal answers."""

    registers: Sequence[SealStatusProvider]

    def status(self, es_id: str, at: datetime) -> SealStatus | None:
        """How a seal stood at ``at``; None where nobody knows it."""
        return next((found for one in self.registers if (found := one.status(es_id, at)) is not None), None)
