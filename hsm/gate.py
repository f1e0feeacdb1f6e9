"""The gate before every step on keys: ``people`` fills it, this room only asks.

A step is asked about with what it is going to do, in the transaction that does it. :class:`Step` is also what officers are
asked to approve beforehand, so that both say the same, word for word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy.orm import Session

from policies.authorise import Principal


class Gate(Protocol):
    """Decides, and spends an approval where the rules want one. :class:`people.gate.QuorumGate` fills it."""

    def check(
        self,
        session: Session,
        action: str,
        subject: Mapping[str, str],
        statement: Mapping[str, Any],
        approval: str | None = None,
        *,
        actor: Principal | str = "system",
        also: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """``{"rule", "approval", "digest", "approvals"}``, or an error; nothing may have happened before it is asked."""
        ...


@dataclass(frozen=True)
class Step:
    """What will happen to a key: for the rules, for officers, and in words."""

    action: str
    subject: Mapping[str, str]
    statement: Mapping[str, Any]
    words_en: str = field(repr=False)
    words_zh: str = field(repr=False)
