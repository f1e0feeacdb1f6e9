"""Where a credential's state is published, and how (draft-ietf-oauth-status-list-21)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StatusRef:
    """A place in a Token Status List (§6 of the draft): the list's address, and an index that counts from 0."""

    uri: str
    index: int
