"""Where a person may go: the places of the service, each with what the rules must allow for it to be shown.

Hiding a place protects nothing (every operation asks the rules itself); it spares people what they cannot use.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from people.schemas import Actor
from policies.authorise import Authoriser


@dataclass(frozen=True)
class Place:
    """One entry of the navigation; its words are the sentence ``nav_KEY``.

    :ivar key: what a page passes to :func:`api.render.page` as ``here``
    :ivar actions: shown when the rules allow any of these on what belongs to the own department; none: to everybody
    :ivar roles: and, where named, only to people who have one of these: to others it would be noise
    """

    key: str
    href: str
    actions: tuple[str, ...] = ()
    roles: frozenset[str] = frozenset()


_DESK = frozenset({"handler", "reviewer", "signer_off", "seal_keeper", "licensing_clerk"})

PLACES = (
    Place("verify", "/verify"),
    Place("desk", "/desk", ("application.list",), _DESK),
    Place("counter", "/counter", ("counter.identify",), frozenset({"window_clerk"})),
    Place("register", "/register", ("impression.list",), _DESK | {"auditor"}),
    Place("enquiries", "/enquiries", ("enquiry.list",), frozenset({"window_clerk", "licensing_clerk", "auditor"})),
    Place("receipts", "/receipts", ("receipt.list",), frozenset({"window_clerk", "signer_off"})),
    Place("officer", "/officer", ("key.list",), frozenset({"officer"})),
    Place("approvals", "/officer/approvals", ("approval.list",), frozenset({"officer", "administrator"})),
    Place("trust", "/trust", ("trust.import",), frozenset({"officer"})),
    Place("audit", "/audit", ("audit.read",)),
    Place("people", "/people", ("people.list",), frozenset({"administrator"})),
)
"""In the order of the day's work. A place whose page is not there is not shown."""


def places(served: Collection[str], authoriser: Authoriser, actor: Actor | None) -> list[Place]:
    """What ``actor`` (None: nobody is signed in) finds in the navigation, of the pages that are ``served``."""
    return [place for place in PLACES if place.href in served and _open(place, authoriser, actor)]


def _open(place: Place, authoriser: Authoriser, actor: Actor | None) -> bool:
    if not place.actions:
        return True
    if actor is None or (place.roles and not place.roles & actor.every_role):
        return False
    own: Mapping[str, Any] = {"region": actor.region, "department": actor.department}
    return any(authoriser.decide(actor, action, own).allowed for action in place.actions)
