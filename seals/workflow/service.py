"""Applications 申请, from hand-in to delivery: every act one transaction with its audit leaf, decided by the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from policies.authorise import Authoriser
from policies.matters import Matters
from seals.models import ApplicationDeliveryRow
from seals.ports import Actor, Sealing
from seals.schemas import ApplicationStateRefused, BadApplication, Page
from seals.workflow import lists, tracking
from seals.workflow import register as uses
from seals.workflow.acting import digest_of, skip_rest
from seals.workflow.book import none_such
from seals.workflow.drafts import kept_words
from seals.workflow.handing_in import HandingIn
from seals.workflow.states import advance, status_after
from store.audit import AuditLog
from store.blobs import Blobs
from store.crashpoints import crash_point
from store.db import Database, utc_now
from store.ids import new_id
from store.intents import IntentService

METHODS = {
    "in-person": ("in person", "当面送达"),
    "post": ("by post", "邮寄送达"),
    "online": ("online", "网上送达"),
    "email": ("by e-mail", "电子邮件送达"),
    "system": ("through another system", "系统推送"),
    "other": ("otherwise", "其他方式"),
}
_DONE = {"review": "reviewed", "countersign": "countersigned", "sign-off": "signed-off"}


class ApplicationService(HandingIn):
    """What people and systems do with applications; :mod:`seals.workflow.states` says when, the rules say who."""

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        authoriser: Authoriser,
        blobs: Blobs,
        intents: IntentService,
        region: str,
        *,
        sealing: Sealing,
        matters: Matters | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(db, audit, authoriser, blobs, intents, region, matters=matters, now=now)
        self._sealing = sealing

    # -- review 审核, countersign 会签, sign off 签发 ------------------------------------------------------------------------

    def review(self, actor: Actor, application_id: str, *, note: str = "", content: str | None = None) -> dict[str, Any]:
        """审核. :param content: ``content_sha256`` of what was looked at: refused if it is another one now"""
        return self._approve(actor, application_id, "review", note, content)

    def countersign(self, actor: Actor, application_id: str, *, note: str = "", content: str | None = None) -> dict[str, Any]:
        """会签, by another department."""
        return self._approve(actor, application_id, "countersign", note, content)

    def sign_off(self, actor: Actor, application_id: str, *, note: str = "", content: str | None = None) -> dict[str, Any]:
        """签发, never by whoever handled it. :raises ApplicationStateRefused: not waiting for it"""
        return self._approve(actor, application_id, "sign-off", note, content)

    def return_(self, actor: Actor, application_id: str, *, reason: str) -> dict[str, Any]:
        """退回补正: back to who handles it, with the reason."""
        reason = _checked_reason(reason)

        def write(session: Session) -> None:
            row, rule, steps = self._ready(session, actor, application_id, "return")
            self._mark(actor, row, self._own_step(actor, steps), "returned", rule, reason)
            for step in steps:
                if step.state == "current":
                    step.state, step.since = "waiting", None
            steps[0].state, steps[0].since = "current", self._now()
            self._settle(session, actor, row, "returned", rule, steps, reason=reason)

        self.db.run(write)
        return self.show(actor, application_id)

    def refuse(self, actor: Actor, application_id: str, *, reason: str) -> dict[str, Any]:
        """不予用印 for good, with the reason. :raises ApplicationStateRefused: not waiting for a decision"""
        reason = _checked_reason(reason)

        def write(session: Session) -> None:
            row, rule, steps = self._ready(session, actor, application_id, "refuse")
            self._mark(actor, row, self._own_step(actor, steps), "refused", rule, reason)
            skip_rest(steps)
            row.decided_at = self._now()
            self._settle(session, actor, row, "refused", rule, steps, reason=reason)

        self.db.run(write)
        return self.show(actor, application_id)

    # -- seal 用印, deliver 送达 -------------------------------------------------------------------------------------------

    def seal(self, actor: Actor, application_id: str, *, attended: bool = True) -> dict[str, Any]:
        """用印: seal every document that was signed off and is not sealed yet, each by the path of a signature.

        Killed anywhere and asked again it goes on where it was: a document is one intent, whoever asks, and the mark that it
        was sealed is in the transaction of its impression.

        :raises ApplicationStateRefused: not signed off, or no documents were handed in with it
        :raises ApplicationChanged: a document or row is not what was signed off
        :raises NotAllowed, SealNotInForce, StillRunning, XinyinError: as :meth:`seals.service.SealService.apply`
        """
        with self.db.read() as session:
            row, steps = self._seen(session, actor, application_id)
            documents = self.documents(session, row)
            if row.status not in ("sealed", "delivered"):
                self._check_state(row, "seal", steps)
                self._decision(session, actor, "seal", row, steps).require()
        if not documents or any(one.size is None and one.impression_id is None for one in documents):
            raise ApplicationStateRefused(
                "The document was not handed in with this application; seal it by naming the application.",
                "该申请未附文件；请在盖章时指明本申请。",
                status=row.status,
            )
        for one in documents:
            if one.impression_id is None:
                self._sealing.apply(
                    actor,
                    self.blobs.get(one.sha256),
                    seal_id=str(row.seal_id),
                    placement=None,
                    application=row.id,
                    attended=attended,
                )
                crash_point("application.document-sealed")
        return self.show(actor, application_id)

    def deliver(
        self,
        actor: Actor,
        application_id: str,
        *,
        recipient: str,
        method: str = "in-person",
        receipt: str = "",
        receipt_file: bytes | None = None,
    ) -> dict[str, Any]:
        """送达: to whom, how, and the receipt, in words or as a file; further deliveries may follow.

        :param method: one of :data:`METHODS`
        """
        who, words = kept_words(recipient, 200), kept_words(receipt)
        if method not in METHODS or who is None:
            raise BadApplication(
                f"Say who received it (up to 200 characters), how ({', '.join(METHODS)}), and the receipt.",
                f"请填写接收人（200 字以内）、送达方式（{'、'.join(zh for _, zh in METHODS.values())}）和回执。",
            )
        kept = self.blobs.put(receipt_file) if receipt_file else None

        def write(session: Session) -> None:
            row, rule, steps = self._ready(session, actor, application_id, "deliver")
            delivery = ApplicationDeliveryRow(
                id=new_id("delivery"),
                application_id=row.id,
                recipient=who,
                method=method,
                receipt=words,
                receipt_sha256=kept,
                actor=actor.id,
                at=self._now(),
            )
            session.add(delivery)
            for step in steps:
                if step.state == "current":
                    self._mark(actor, row, step, "done", rule, None)
            told = {
                "method": method,
                "receipt": kept,
                "words": digest_of(row, f"{who}\n{words or ''}"),
                "delivery": delivery.id,
            }
            self._settle(session, actor, row, "delivered", rule, steps, **told)

        self.db.run(write)
        return self.show(actor, application_id)

    # -- look ------------------------------------------------------------------------------------------------------------

    def list(
        self,
        actor: Actor,
        *,
        status: str | None = None,
        todo: bool = False,
        mine: bool = False,
        done: bool = False,
        matter: str | None = None,
        department: str | None = None,
        seal_id: str | None = None,
        q: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[dict[str, Any]]:
        """Newest first, those that the caller may see.

        :param todo: those that wait for the caller; :param mine: those that the caller handled
        :param done: those at an end
        :param q: part of title, number or identifier
        """
        self.authoriser.require(actor, "application.list")
        wanted = lists.Wanted(status, todo, mine, done, matter, department, seal_id, q, since, until)
        return lists.page(self, actor, wanted, limit, cursor)

    def register(
        self,
        actor: Actor,
        *,
        seal_id: str | None = None,
        q: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        matter: str | None = None,
        status: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[dict[str, Any]]:
        """The register of use 用印登记, newest first: every use of the seals that the caller may look at.

        :param q: part of title, number, file name or applicant; or an identifier or digest in full
        """
        self.authoriser.require(actor, "impression.list")
        asked = uses.Asked(seal_id, q, since, until, matter, status)
        return uses.page(self, actor, asked, limit, cursor)

    def register_csv(self, actor: Actor, asked: uses.Asked | None = None, *, lang: str = "zh") -> Iterator[str]:
        """The same for a spreadsheet, a piece at a time: UTF-8 with a byte order mark."""
        self.authoriser.require(actor, "impression.list")
        return uses.lines(self, actor, asked or uses.Asked(), lang)

    def document(self, actor: Actor, application_id: str, n: int, *, sealed: bool = False) -> tuple[str, bytes]:
        """Name and bytes of a document, as handed in or as sealed.

        :raises NoSuchApplication: no such document that the caller may know of
        """
        with self.db.read() as session:
            row, _ = self._seen(session, actor, application_id)
            found = [one for one in self.documents(session, row) if one.n == n]
        digest = (found[0].sealed_sha256 if sealed else found[0].size and found[0].sha256) if found else None
        if not digest:
            raise none_such(application_id)
        return found[0].name, self.blobs.get(str(digest))

    def track(self, code: str) -> dict[str, Any]:
        """What the applicant outside may know, by the code that was given to them; nothing personal.

        :raises NoSuchApplication: no application has the code
        """
        return tracking.track(self, code)

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _approve(self, actor: Actor, application_id: str, verb: str, note: str, content: str | None) -> dict[str, Any]:
        kept = kept_words(note)

        def write(session: Session) -> None:
            row, rule, steps = self._ready(session, actor, application_id, verb)
            self._check_content(session, row, steps, content)
            step = self._own_step(actor, steps)
            self._mark(actor, row, step, "done", rule, kept)
            advance(steps, self._now())
            if verb == "sign-off":
                row.signer_off, row.decided_at = actor.id, self._now()
            status = status_after(steps)
            told = {"step": verb, "for": step.department if step else None}
            leaf = self._settle(session, actor, row, status, rule, steps, kind=f"application.{_DONE[verb]}", **told)
            if step is not None:
                step.leaf_id = leaf

        self.db.run(write)
        return self.show(actor, application_id)


def _checked_reason(reason: str) -> str:
    words = kept_words(reason)
    if words is None:
        raise BadApplication("Give the reason; whoever handles it must know what to mend.", "请填写事由，以便经办人补正。")
    return words
