"""The state machine of an application, all of it in one place.

::

    submitted --review 审核, countersign 会签--> submitted --sign-off 签发--> signed-off
    signed-off --seal 用印--> sealed --deliver 送达--> delivered
    submitted --return 退回补正--> returned --amend 补正--> submitted
    submitted, signed-off --amend--> submitted, in a new round: every step anew
    submitted --refuse 不予办理--> refused
    submitted, returned, signed-off --withdraw 撤回--> withdrawn

An application to make a seal or to issue a licence ends as ``used`` when that was done. A rule may sign off in place of people
(秒批): then the steps before are skipped and ``submitted`` is passed at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from policies.matters import Matter

PURPOSES = {"make-seal": "印章制作", "use-seal": "用印", "issue-licence": "办证"}
STATUSES = ("submitted", "returned", "signed-off", "refused", "withdrawn", "used", "sealed", "delivered")
APPROVING = ("review", "countersign", "sign-off")
"""Steps at which somebody else looks at what was handled."""

OPEN = frozenset({"submitted", "returned", "signed-off"})
"""Not at an end, and nothing sealed yet."""

ROLES = {
    "handle": ("handler",),
    "review": ("reviewer",),
    "countersign": ("reviewer", "signer_off"),
    "sign-off": ("signer_off",),
    "deliver": ("handler", "seal_keeper"),
}
"""Who may take a step, in the step's department; for ``seal`` the matter says."""


@dataclass(frozen=True)
class Verb:
    """What can be done to an application: in which states, and at which step (None: any)."""

    statuses: frozenset[str]
    step: str | None = None


VERBS = {
    "review": Verb(frozenset({"submitted"}), "review"),
    "countersign": Verb(frozenset({"submitted"}), "countersign"),
    "sign-off": Verb(frozenset({"submitted"}), "sign-off"),
    "return": Verb(frozenset({"submitted"})),
    "refuse": Verb(frozenset({"submitted"})),
    "amend": Verb(OPEN),
    "withdraw": Verb(OPEN),
    "seal": Verb(frozenset({"signed-off"}), "seal"),
    "deliver": Verb(frozenset({"sealed", "delivered"}), "deliver"),
}


@dataclass(frozen=True)
class Planned:
    """A step to come: where, and who may take it."""

    step: str
    department: str
    roles: tuple[str, ...]
    in_turn: bool = True


class Step(Protocol):
    """The part of a step that moves: ``seals.models.ApplicationStepRow`` has it."""

    step: str
    in_turn: bool
    state: str
    since: datetime | None


def plan(matter: Matter, purpose: str, department: str, countersigners: Sequence[str]) -> list[Planned]:
    """The steps of a round; the first is the application itself."""
    steps = [Planned("handle", department, ROLES["handle"])]
    for step in matter.steps:
        if step == "countersign":
            steps += [
                Planned(step, other, ROLES[step], matter.in_turn or number == 0) for number, other in enumerate(countersigners)
            ]
        elif step == "seal" and purpose == "use-seal":
            steps.append(Planned(step, department, matter.sealers))
        elif step in APPROVING or (step == "deliver" and purpose == "use-seal"):
            steps.append(Planned(step, department, ROLES[step]))
    return steps


def allowed(verb: str, status: str, current: Sequence[str]) -> bool:
    """Whether the state admits ``verb``; ``current`` are the steps that it waits for now."""
    asked = VERBS[verb]
    if status not in asked.statuses:
        return False
    # Several receipts may be kept: a second delivery finds the step done.
    return asked.step is None or asked.step in current or (verb == "deliver" and status == "delivered")


def advance(steps: Sequence[Step], now: datetime) -> None:
    """Make the next step current, and those that begin together with it, unless one still is."""
    if any(step.state == "current" for step in steps):
        return
    waiting = [step for step in steps if step.state == "waiting"]
    for number, step in enumerate(waiting):
        if number and (step.in_turn or step.step != waiting[0].step):
            break
        step.state, step.since = "current", now


def status_after(steps: Sequence[Step]) -> str:
    """The state of an application whose steps stand like this, none of them refused or returned."""
    done = {step.step for step in steps if step.state == "done"}
    for step, status in (("deliver", "delivered"), ("seal", "sealed"), ("sign-off", "signed-off")):
        if step in done:
            return status
    return "submitted"
