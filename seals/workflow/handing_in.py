"""Handing in 经办: put, amend or withdraw an application; each hand-in begins a round of steps of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from policies.authorise import Authoriser
from policies.matters import Matters
from seals.models import ApplicationDocumentRow, ApplicationRow, ApplicationStepRow
from seals.ports import Actor
from seals.schemas import ApplicationStateRefused
from seals.workflow import tracking
from seals.workflow.acting import Acting, behalf, skip_rest
from seals.workflow.drafting import Drafting, Wish
from seals.workflow.drafts import Draft, NewDocument, kept_words
from seals.workflow.states import APPROVING, advance, plan
from store.audit import AuditLog
from store.blobs import Blobs
from store.crashpoints import crash_point
from store.db import Database, utc_now
from store.ids import new_id
from store.intents import Attempt, IntentService, Outcome
from store.models import IntentRow

_SUBMIT = "application.submit"


class HandingIn(Acting):
    """What those do who handle an application."""

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        authoriser: Authoriser,
        blobs: Blobs,
        intents: IntentService,
        region: str,
        *,
        matters: Matters | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(db, audit, authoriser, region, matters=matters, now=now)
        self.blobs = blobs
        self.intents = intents
        self._drafting = Drafting(db, region, self.matters, now)

    # -- handle 经办 ------------------------------------------------------------------------------------------------------

    def submit(
        self,
        actor: Actor,
        *,
        purpose: str,
        department: str,
        matter: str = "default",
        seal_id: str | None = None,
        documents: Sequence[NewDocument] = (),
        document_sha256: str | None = None,
        number: str | None = None,
        copies: int = 1,
        applicant: Mapping[str, str] | None = None,
        title: str = "",
        facts: Mapping[str, Any] | None = None,
        countersigners: Sequence[str] = (),
        replaces: str | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Put an application to a department (its social credit code, or identifier).

        :param purpose: ``make-seal``, ``use-seal`` or ``issue-licence``
        :param documents: to be sealed; or ``document_sha256`` of one that is kept elsewhere; without either any document of
            the matter, which production refuses to seal
        :param number: 文号; :param copies: 份数; :param applicant: ``{"name", "contact"}`` of who outside asked for it
        :param facts: what is applied for, plain JSON: for a seal ``{"owner_name", "owner_uscc", "name", "kind"}``; a rule that
            signs off by itself (秒批) decides over them
        :param countersigners: departments, where the matter asks for countersigning and leaves it to the application which
        :param replaces: the impression that the newly sealed document takes the place of
        :raises BadApplication: something that cannot be, and what to do about it
        :raises NoSuchSeal: the department has no such seal
        """
        wish = Wish(
            purpose, department, matter, seal_id, tuple(documents), document_sha256, number, copies, title, facts or {},
            tuple(countersigners), replaces,
        )  # fmt: skip
        department = self._drafting.code(department)
        facts = {"region": self.region, "department": department}
        # Whoever stands in for some matters only puts applications in those.
        rule = self.authoriser.require(actor, "application.submit", facts, {"matter": matter}).rule
        draft = self._drafting.checked(wish)
        person = self._drafting.applicant(applicant)
        for document in documents:
            self.blobs.put(document.data)

        def write(session: Session) -> str:
            row = self._new_row(actor, draft, person)
            session.add(row)
            session.flush()
            self._open_round(session, actor, row, draft, rule, "application.submitted")
            crash_point("application.uncommitted")
            return row.id

        return self.show(actor, self._once(actor, idempotency_key, draft, write))

    def amend(
        self,
        actor: Actor,
        application_id: str,
        *,
        documents: Sequence[NewDocument] | None = None,
        applicant: Mapping[str, str] | None = None,
        note: str | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        """补正: change what was applied for (any of ``matter, seal_id, document_sha256, number, copies, title, facts,
        countersigners, replaces``; what is not named stays). Every step begins anew: approvals were given for something else.

        :raises ApplicationStateRefused: at an end, or sealed in part; or nothing was changed and nobody had returned it
        """
        with self.db.read() as session:
            row, steps = self._seen(session, actor, application_id)
            wish = self._drafting.changed(row, self.documents(session, row), steps, documents, changes)
        draft = self._drafting.checked(wish)
        person, remark = self._drafting.applicant(applicant), kept_words(note)
        for document in documents or ():
            self.blobs.put(document.data)

        def write(session: Session) -> None:
            row, rule, steps = self._ready(session, actor, application_id, "amend")
            if draft.matter.code != row.matter:  # into another matter is as if it were handed in there
                self.authoriser.require(actor, "application.submit", self.facts(row), {"matter": draft.matter.code})
            if row.status != "returned" and draft.content_sha256 == row.content_sha256:
                raise ApplicationStateRefused("Nothing was changed.", "内容没有变化。", status=row.status)
            skip_rest(steps)
            row.round += 1
            row.applicant = person or row.applicant
            self._open_round(session, actor, row, draft, rule, "application.amended", note=remark)
            crash_point("application.uncommitted")

        self.db.run(write)
        return self.show(actor, application_id)

    def withdraw(self, actor: Actor, application_id: str, *, reason: str = "") -> dict[str, Any]:
        """撤回, by those who handle it, before anything is sealed."""
        why = kept_words(reason)

        def write(session: Session) -> None:
            row, rule, steps = self._ready(session, actor, application_id, "withdraw")
            skip_rest(steps)
            self._settle(session, actor, row, "withdrawn", rule, steps, reason=why)

        self.db.run(write)
        return self.show(actor, application_id)

    def put_under(self, actor: Actor, key: str) -> str | None:
        """The application that was put under this idempotency key, by ``actor`` or whoever had the work before; None: none."""
        there = sa.select(IntentRow.account, IntentRow.result).where(
            IntentRow.key == key, IntentRow.operation == _SUBMIT, IntentRow.region == self.region, IntentRow.status == "done"
        )
        with self.db.read() as session:
            found = {account: result for account, result in session.execute(there) if result}
        result = found.get(actor.id) or next(iter(found.values()), None)
        return str(result["id"]) if result else None

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _once(self, actor: Actor, key: str | None, draft: Draft, write: Callable[[Session], str]) -> str:
        """The same request under the same key makes one application."""
        if key is None:
            return self.db.run(write)

        def commit(session: Session, outcome: Outcome, attempt: Attempt) -> dict[str, Any]:
            return {"id": write(session)}

        result = self.intents.perform(
            account=actor.id,
            operation=_SUBMIT,
            key=key,
            request_digest=draft.content_sha256,
            subject={"department": draft.department, "matter": draft.matter.code},
            generation_ids=[],
            work=lambda attempt: Outcome(),
            commit=commit,
        )
        return str(result.result["id"])

    def _new_row(self, actor: Actor, draft: Draft, applicant: dict[str, Any] | None) -> ApplicationRow:
        now = self._now()
        return ApplicationRow(
            id=new_id("application"),
            region=self.region,
            purpose=draft.purpose,
            status="submitted",
            department=draft.department,
            matter=draft.matter.code,
            title=draft.title,
            copies=draft.copies,
            facts=draft.facts,
            applicant=applicant,
            handler=actor.id,
            handlers=[],
            round=1,
            track_code=tracking.new_code(secrets.choice),
            created_at=now,
            since=now,
        )

    def _open_round(
        self,
        session: Session,
        actor: Actor,
        row: ApplicationRow,
        draft: Draft,
        rule: str,
        kind: str,
        *,
        note: str | None = None,
    ) -> None:
        """Write what is applied for and the steps that it takes; the first of them is done."""
        now = self._now()
        row.matter, row.title, row.number, row.copies = draft.matter.code, draft.title, draft.number, draft.copies
        row.seal_id, row.facts, row.replaces, row.document_sha256 = (
            draft.seal_id, draft.facts, draft.replaces, draft.document_sha256,
        )  # fmt: skip
        row.content_sha256, row.status, row.since = draft.content_sha256, "submitted", now
        row.reason = row.signer_off = row.decided_at = None
        row.handlers = sorted({*row.handlers, actor.id, *filter(None, [behalf(rule)])})
        for n, document in enumerate(draft.documents, 1):
            session.add(ApplicationDocumentRow(application_id=row.id, round=row.round, n=n, **document))
        planned = plan(draft.matter, draft.purpose, draft.department, draft.countersigners)
        steps = [
            ApplicationStepRow(
                application_id=row.id,
                round=row.round,
                n=n,
                step=one.step,
                department=one.department,
                roles=list(one.roles),
                in_turn=one.in_turn,
                state="waiting",
            )
            for n, one in enumerate(planned)
        ]
        session.add_all(steps)
        self._mark(actor, row, steps[0], "done", rule, note)
        steps[0].since = now
        steps[0].leaf_id = self._record(session, actor.id, row, kind, rule, actor=actor, document=draft.document_sha256)
        self._tell(session, row, kind)
        advance(steps, now)
        self._by_rule(session, actor, row, steps)

    def _by_rule(self, session: Session, actor: Actor, row: ApplicationRow, steps: Sequence[ApplicationStepRow]) -> None:
        """秒批: where the matter has a rule for it and that rule says yes, it is recorded as the sign-off."""
        wanted = self.matters.of(row.matter).instant
        if wanted is None:
            return
        context = self._drafting.instant_context(row, self.documents(session, row), self.context(row, steps), wanted)
        decision = self.authoriser.decide(actor, "application.instant", self.facts(row), context)
        if not decision.allowed or decision.rule != wanted:
            return
        signed, now = f"rule:{wanted}", self._now()
        for step in steps:
            if step.step == "sign-off":
                step.since = step.since or now
                step.state, step.actor, step.at, step.rule, step.content_sha256 = (
                    "done",
                    signed,
                    now,
                    wanted,
                    row.content_sha256,
                )
                row.signer_off, row.decided_at, row.status, row.since = signed, now, "signed-off", now
                step.leaf_id = self._record(session, signed, row, "application.signed-off", wanted, actor=actor, instant=True)
            elif step.step in APPROVING:
                step.state = "skipped"
        advance(steps, now)
        self._tell(session, row, "application.signed-off")
