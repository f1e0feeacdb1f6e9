"""The five doors: who one can be, the three steps of each, and how far this browser is.

A step is done when the prepared case shows it (an application was signed off, a licence was looked at). What only a look can
show is remembered in a cookie of its own; it decides nothing and grants nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.responses import Response

from ceremonies import training
from ceremonies.training import LICENCES, Cases
from crypto.errors import XinyinError

if TYPE_CHECKING:
    from ceremonies.node import Node

COOKIE = "xinyin_training"
_SHAPE = re.compile(r"([a-z]+):(\d+):([a-z.-]{0,200})\Z")

Done = Callable[["Node", Cases], bool]


@dataclass(frozen=True)
class Step:
    """One step of a door; its words are ``door_DOOR_KEY`` (and ``…_hint``).

    :ivar href: where it is done; ``{name}`` is filled from the prepared cases
    :ivar done: how the case shows it; None: looking is enough
    :ivar looks: what must have been looked at, where it is several things
    :ivar paper: what is needed for it, to be fetched first
    """

    key: str
    href: str
    done: Done | None = None
    looks: tuple[str, ...] = ()
    paper: str = ""


@dataclass(frozen=True)
class Door:
    """A door: who enters, as which demo account (None: as the public) or demo citizen, and the steps."""

    key: str
    mark: str
    account: str | None
    steps: tuple[Step, ...]
    citizen: str | None = None


def _reached(case: str, *statuses: str) -> Done:
    """A prepared application has got this far."""

    def done(node: Node, cases: Cases) -> bool:
        operator = node.actor(None)
        return bool(node.seals.applications.show(operator, cases.applications[case])["status"] in statuses)

    return done


def _put_one(node: Node, cases: Cases) -> bool:
    """The handler put an application that was not prepared."""
    handler = node.accounts.get("handler")
    found = node.seals.applications.list(
        handler, mine=True, since=datetime.fromisoformat(cases.prepared_at), limit=len(cases.applications) + 1
    )
    return any(one["id"] not in cases.applications.values() for one in found.items)


def _voided(case: str) -> Done:
    """The sealed document of a prepared application counts no more."""

    def done(node: Node, cases: Cases) -> bool:
        documents = node.seals.applications.show(node.actor(None), cases.applications[case])["documents"]
        return any(one["impression_status"] in ("voided", "replaced") for one in documents)

    return done


def _on_a_phone(node: Node, cases: Cases) -> bool:
    """The shop owner's licence is on some phone."""
    return bool(node.copies.inspect(node.actor(None), cases.licence))


def _authorised(node: Node, cases: Cases) -> bool:
    """The shop owner let somebody act with it."""
    return bool(node.grants.inspect(node.actor(None), cases.licence))


DOORS = (
    Door(
        "handler",
        "办",
        "handler",
        (
            Step("put", "/desk/new", _put_one, paper="/training/paper.pdf"),
            Step("mend", "/desk/{app_returned}", _reached("returned", "submitted", "signed-off", "sealed", "delivered")),
            Step("deliver", "/desk/{app_sealed}", _reached("sealed", "delivered")),
        ),
    ),
    Door(
        "signer",
        "签",
        "signer",
        (
            Step("sign", "/desk/{app_waiting}", _reached("waiting", "signed-off", "sealed", "delivered")),
            Step("return", "/desk/{app_unfilled}", _reached("unfilled", "returned", "refused")),
            Step("void", "/desk/{app_mistaken}", _voided("mistaken")),
        ),
    ),
    Door(
        "owner",
        "店",
        None,
        (
            Step("phone", "/phone/download/{licence}", _on_a_phone),
            Step("show", "/phone/show"),
            Step("authorise", "/phone/authorise", _authorised),
        ),
        citizen="owner",
    ),
    Door(
        "counter",
        "窗",
        None,
        (
            Step("judge", "/training/licences", looks=LICENCES),
            Step("paper", "/v#{code}"),
            Step("english", "/training/case/withdrawn?lang=en"),
        ),
    ),
    Door(
        "officer",
        "钥",
        "officer",
        (
            Step("expiring", "/officer"),
            Step("plan", "/officer/keys/{role}"),
            Step("approve", "/officer/approvals"),
        ),
    ),
)


def door(key: str) -> Door | None:
    """The door of this name."""
    return next((one for one in DOORS if one.key == key), None)


@dataclass(frozen=True)
class Progress:
    """How far somebody is behind a door. ``seen``: steps and cases that were looked at."""

    door: Door
    set: int
    seen: frozenset[str]

    def cookie(self) -> str:
        return f"{self.door.key}:{self.set}:{'.'.join(sorted(self.seen))}"

    def with_seen(self, what: str) -> Progress:
        return Progress(self.door, self.set, self.seen | {what})

    def states(self, node: Node, cases: Cases) -> list[tuple[Step, bool]]:
        """Each step, and whether it is done."""
        return [(step, self._done(step, node, cases)) for step in self.door.steps]

    def _done(self, step: Step, node: Node, cases: Cases) -> bool:
        if step.done is not None:
            with suppress(XinyinError):  # the register was made anew and the cases were not: nothing of it is done
                return step.done(node, cases)
            return False
        return set(step.looks) <= self.seen if step.looks else step.key in self.seen


def progress(request: Request, cases: Cases | None) -> Progress | None:
    """What this browser's cookie says of the prepared set; None outside training, or of an older set."""
    found = _SHAPE.fullmatch(request.cookies.get(COOKIE, ""))
    here = door(found.group(1)) if found else None
    if found is None or here is None or cases is None or int(found.group(2)) != cases.set:
        return None
    return Progress(here, cases.set, frozenset(filter(None, found.group(3).split("."))))


def remember(response: Response, found: Progress, *, secure: bool) -> None:
    """Keep the progress in the browser until it closes."""
    response.set_cookie(COOKIE, found.cookie(), httponly=True, samesite="lax", secure=secure, path="/")


@dataclass(frozen=True)
class Strip:
    """What every page shows while somebody is behind a door: the steps, and which one is next."""

    door: Door
    steps: tuple[tuple[Step, bool], ...]

    @property
    def next(self) -> Step | None:
        return next((step for step, done in self.steps if not done), None)


def strip(request: Request, node: Node) -> Strip | None:
    """The strip of this request; None outside training."""
    if COOKIE not in request.cookies or node.mode == "production":
        return None
    cases = training.prepared(node)
    found = progress(request, cases)
    if found is None or cases is None:
        return None
    return Strip(found.door, tuple(found.states(node, cases)))
