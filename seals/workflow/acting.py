"""What every act on an application shares: find it, ask the state and the rules, write the step, its leaf and its event."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from policies.authorise import Authoriser, Decision
from policies.matters import Matters
from seals.models import ApplicationRow, ApplicationStepRow, SealRow
from seals.ports import Actor
from seals.schemas import ApplicationStateRefused
from seals.workflow.book import ApplicationBook, none_such
from seals.workflow.drafts import content_of
from seals.workflow.showing import Showing, for_reader
from seals.workflow.states import APPROVING, VERBS, allowed
from store.audit import AuditLog
from store.crashpoints import crash_point
from store.db import Database, utc_now
from store.outbox import Outbox


class Acting(ApplicationBook):
    """The book, with whoever acts on it: :mod:`seals.workflow.states` says when, the rules say who."""

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        authoriser: Authoriser,
        region: str,
        *,
        matters: Matters | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(db, audit, region, matters=matters, now=now)
        self.authoriser = authoriser
        self.outbox = Outbox(region, now=now)

    # -- look ------------------------------------------------------------------------------------------------------------

    def show(self, actor: Actor, application_id: str) -> dict[str, Any]:
        """One application, with ``can``: what this actor may do to it now.

        :raises NoSuchApplication: none that the caller may know of
        """
        with self.db.read() as session:
            row, steps = self._seen(session, actor, application_id)
            shown = for_reader(Showing(session, [row], self.matters, self.region).shown(row), actor)
            current = [step.step for step in steps if step.state == "current"]
            shown["can"] = [
                verb
                for verb in VERBS
                if allowed(verb, row.status, current) and self._decision(session, actor, verb, row, steps).allowed
            ]
            if any(one["impression_id"] for one in shown["documents"]) and row.status == "signed-off":
                shown["can"] = [verb for verb in shown["can"] if verb == "seal"]
        return shown

    # -- decide --------------------------------------------------------------------------------------------------------

    def sees(self, actor: Actor, row: ApplicationRow, steps: Sequence[ApplicationStepRow]) -> bool:
        """Whether the caller may know of it."""
        return self.authoriser.decide(actor, "application.show", self.facts(row), self.context(row, steps)).allowed

    def _seen(self, session: Session, actor: Actor, application_id: str) -> tuple[ApplicationRow, list[ApplicationStepRow]]:
        row = self.row(session, application_id)
        steps = self.steps(session, row)
        if not self.sees(actor, row, steps):
            raise none_such(application_id)
        return row, steps

    def _ready(
        self, session: Session, actor: Actor, application_id: str, verb: str
    ) -> tuple[ApplicationRow, str, list[ApplicationStepRow]]:
        """The application, locked, the rule that lets the caller do this, and its steps."""
        self.row(session, application_id, lock=True)
        row, steps = self._seen(session, actor, application_id)
        self._check_state(row, verb, steps)
        if verb in ("amend", "withdraw") and any(one.impression_id for one in self.documents(session, row)):
            raise ApplicationStateRefused(
                "One of its documents is sealed already; void that instead.",
                "其中已有文件用印；请改为作废。",
                status=row.status,
            )
        return row, self._decision(session, actor, verb, row, steps).require().rule, steps

    def _check_state(self, row: ApplicationRow, verb: str, steps: Sequence[ApplicationStepRow]) -> None:
        current = [step.step for step in steps if step.state == "current"]
        if allowed(verb, row.status, current):
            return
        raise ApplicationStateRefused(
            f"The application is {row.status}" + (f" and waits for {current[0]}" if current else "") + "; look at it again.",
            "申请当前状态不允许此操作；请重新查看该申请。",
            status=row.status,
            waiting=current[:1],
        )

    def _decision(
        self, session: Session, actor: Actor, verb: str, row: ApplicationRow, steps: Sequence[ApplicationStepRow]
    ) -> Decision:
        context = self.context(row, steps)
        if verb == "seal":
            seal = session.get(SealRow, row.seal_id) if row.seal_id else None
            if seal is None:
                why = "the seal that it names is not in the register; amend the application."
                return Decision(False, "seal.apply", "no-permit", why, "申请所指印章不在登记簿中；请补正申请。")
            facts = {"id": seal.id, "region": seal.region, "department": seal.owner_uscc, "sample": seal.sample}
            more = {"application_state": row.status, "attended": True, "bound": True}
            more["by_rule"] = (row.signer_off or "").startswith("rule:")
            return self.authoriser.decide(
                actor, "seal.apply", facts | {"status": seal.status, "kind": seal.kind}, context | more
            )
        step = self._own_step(actor, steps)
        facts = self.facts(row)
        if step is not None and (verb in APPROVING or verb in ("return", "refuse")):
            facts["department"], context["step"] = step.department, step.step
        return self.authoriser.decide(actor, f"application.{verb}", facts, context)

    def _own_step(self, actor: Actor, steps: Sequence[ApplicationStepRow]) -> ApplicationStepRow | None:
        """The current step that this actor would take: of several countersigning departments, the actor's own."""
        current = [step for step in steps if step.state == "current"]
        own = [step for step in current if step.department in actor.reach and actor.every_role.intersection(step.roles)]
        return next(iter(own or current), None)

    # -- write -----------------------------------------------------------------------------------------------------------

    def _check_content(
        self, session: Session, row: ApplicationRow, steps: Sequence[ApplicationStepRow], seen: str | None
    ) -> None:
        """What is approved is what the tables say, and what the person looked at."""
        now = content_of(row, self.documents(session, row), [s.department for s in steps if s.step == "countersign"])
        if (row.content_sha256 is not None and now != row.content_sha256) or (seen is not None and seen != row.content_sha256):
            raise ApplicationStateRefused(
                "The application is not the one that you looked at: it was changed meanwhile. Look at it again.",
                "申请内容在您查看之后已有改动；请重新查看后再处理。",
                status=row.status,
            )

    def _mark(
        self, actor: Actor, row: ApplicationRow, step: ApplicationStepRow | None, state: str, rule: str, note: str | None
    ) -> None:
        if step is None:
            return
        step.state, step.actor, step.at, step.rule, step.note = state, actor.id, self._now(), str(rule), (note or None)
        step.on_behalf_of, step.content_sha256 = behalf(rule), row.content_sha256

    def _settle(
        self,
        session: Session,
        actor: Actor,
        row: ApplicationRow,
        status: str,
        rule: str,
        steps: Sequence[ApplicationStepRow],
        *,
        kind: str | None = None,
        reason: str | None = None,
        **told: Any,
    ) -> str:
        """Set the state, and write leaf and event of it; the leaf."""
        if row.status != status:
            row.status, row.since = status, self._now()
        if reason is not None:
            row.reason, told = reason, told | {"reason": digest_of(row, reason)}
        kind = kind or f"application.{status}"
        leaf = self._record(session, actor.id, row, kind, rule, actor=actor, **told)
        self._tell(session, row, kind)
        crash_point("application.uncommitted")
        return leaf

    def _record(
        self, session: Session, by: str, row: ApplicationRow, kind: str, rule: str, *, actor: Actor, **told: Any
    ) -> str:
        """The audit leaf of an act: digests only."""
        data = {
            "purpose": row.purpose,
            "matter": row.matter,
            "round": row.round,
            "content": row.content_sha256,
            "document": row.document_sha256,
        }
        if by != actor.id:
            data["handed_in_by"] = actor.id
        subject = {"application": row.id} | ({"seal": row.seal_id} if row.seal_id else {})
        return self.audit.append(session, kind=kind, actor=by, subject=subject, data=data | told, rule=rule)

    def _tell(self, session: Session, row: ApplicationRow, kind: str) -> None:
        """An event for systems that asked to be told."""
        subject = {"application": row.id} | ({"seal": row.seal_id} if row.seal_id else {})
        data = {"status": row.status, "round": row.round, "content": row.content_sha256}
        self.outbox.add(session, kind, subject, data, department=row.department, matter=row.matter)


def skip_rest(steps: Sequence[ApplicationStepRow]) -> None:
    """Nobody takes what is left any more."""
    for step in steps:
        if step.state in ("current", "waiting"):
            step.state = "skipped"


def behalf(rule: str) -> str | None:
    """The account that somebody stood in for when the rules allowed an act (代签授权): the rule remembers it."""
    standing_in: dict[str, str] = getattr(rule, "standing_in", {})
    return standing_in.get("on_behalf_of")


def digest_of(row: ApplicationRow, text: str) -> str:
    """Words that the audit log must not hold themselves, as HMAC-SHA256 under the application's tracking code.

    A name is guessed from its bare digest in no time; the code is random and in no leaf. Whoever has the application has both.
    """
    return hmac.new(row.track_code.encode(), text.encode(), hashlib.sha256).hexdigest()
