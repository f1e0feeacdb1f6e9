"""This node among others: which regions it trusts, who decided so, and whose word counts for whose seals.

An officer imports a region once, with the fingerprint compared; from then on its list, its status lists and its seal list are
kept fresh by the worker. Every list that comes into use is in the audit log: which one, by its digest, and who or what took it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from people.schemas import Actor
from verify.schemas import SealStatus, SealStatusProvider
from verify.trust import TrustList

if TYPE_CHECKING:
    from ceremonies.node import Node

NODE = "node"
"""Who refreshes without being asked."""


@dataclass(frozen=True)
class Registers:
    """Several registers of seals as one ``SealStatusProvider``: the first that knows a seal answers."""

    registers: Sequence[SealStatusProvider]

    def status(self, es_id: str, at: datetime) -> SealStatus | None:
        """How a seal stood at ``at``; None where nobody knows it."""
        return next((found for one in self.registers if (found := one.status(es_id, at)) is not None), None)


class RegionDesk:
    """What officers do about other regions, and the worker without them."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def lists(self, actor: Actor) -> list[dict[str, Any]]:
        """Every list in use, ours first: its state, where it comes from, how asking for it went."""
        self._allow(actor, "trust.list")
        return self.node.regions.described()

    def holdings(self, actor: Actor) -> list[dict[str, Any]]:
        """What is held of other regions' states, and how old it is."""
        self._allow(actor, "trust.list")
        return [{**one} for one in self.node.held.holdings()]

    def import_from(self, actor: Actor, url: str, *, pin: str | None = None) -> TrustList:
        """Import a region from an address. :raises TrustListRefused: not pinned; the message says what to compare"""
        rule = self._allow(actor, "trust.import")
        found = self.node.regions.import_from(url, pin=tidy(pin))
        return self._imported(actor.id, rule, found)

    def import_text(self, actor: Actor, data: bytes, *, pin: str | None = None) -> TrustList:
        """Import a region's list that came as a file."""
        rule = self._allow(actor, "trust.import")
        return self._imported(actor.id, rule, self.node.regions.import_text(data, pin=tidy(pin)))

    def refresh(self, actor: Actor | None = None, *, region: str | None = None) -> list[dict[str, Any]]:
        """Ask every region, or one, for newer lists of all kinds; without an actor, those that are due.

        What happened to each trust list: ``{"region", "status": "updated|unchanged|failed", "sequence", "message"?}``.
        """
        rule = self._allow(actor, "trust.refresh") if actor is not None else None
        told = self.node.regions.refresh(region, due_only=actor is None)
        for one in told:
            listed = self.node.trust_store().list_of(one["region"]) if one["status"] == "updated" else None
            if listed is not None:
                self._note("trust.updated", actor.id if actor is not None else NODE, rule, listed)
        for one in told:
            if one["status"] != "failed":
                self.node.held.refresh(one["region"])
        return told

    def forget(self, actor: Actor, region: str) -> None:
        """Stop trusting a region: its list, its pin and what is held of it go. :raises NotFound: no such region"""
        rule = self._allow(actor, "trust.import")
        listed = self.node.trust_store().list_of(region)
        self.node.regions.forget(region)
        self.node.held.forget(region)
        if listed is not None:
            self._note("trust.forgotten", actor.id, rule, listed)

    def _imported(self, actor: str, rule: str, found: TrustList) -> TrustList:
        self._note("trust.imported", actor, rule, found)
        self.node.held.refresh(found.region)
        return found

    def _note(self, kind: str, actor: str, rule: str | None, listed: TrustList) -> None:
        """The lists are files, so that a verifier without a database can read them; the leaf follows the file."""
        data = {
            "region": listed.region,
            "sequence": listed.sequence,
            "sha256": hashlib.sha256(listed.jws.encode()).hexdigest(),
            "key": listed.fingerprint,
        }
        subject = {"trust_list": subject_of(listed.region)}
        self.node.db.run(
            lambda session: self.node.audit.append(session, kind=kind, actor=actor, subject=subject, data=data, rule=rule)
        )

    def _allow(self, actor: Actor, action: str) -> str:
        return self.node.authorise(actor, action)


def subject_of(region: str) -> str:
    """How the log names the trust in a region."""
    return f"trust_{region}"


def tidy(pin: str | None) -> str | None:
    """A fingerprint as people write it down: spaces and colons between groups, capital letters."""
    found = "".join(pin.split()).replace(":", "").lower() if pin else ""
    return found or None
