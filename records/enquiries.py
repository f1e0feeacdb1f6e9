"""Enquiries 协查: a counter asks the region that issued a licence, and gets yes or no under the issuing organ's seal.

The same row on both sides: ``out`` at the node that asks, ``in`` at the one that is asked, joined by ``reference``. Where the
register says yes to everything, a rule lets the node answer at once; anything else waits for a licensing clerk. The letter is
sealed on the path of every signature, travels back in the message that also says it for programs, and counts only if the
asking node's own verifier accepts it as a letter of that region.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import Conflict, NotFound, XinyinError
from formats.canonical import canonical_digest
from formats.dates import shown_time
from formats.identifiers import BadIdentifier, LicenceIdentifier
from licences.service import LEVEL, LicenceService
from people.schemas import Actor
from people.service import AccountService
from policies.authorise import Authoriser
from policies.limits import ENQUIRY_ANSWER
from policies.presenting import matter as matter_of
from records.between_models import EnquiryRow, PeerMessageRow
from records.enquiry_answers import Said, licence_of, said, seal_of
from records.enquiry_letter import answer_text, render
from records.enquiry_messages import body_of, identifier_of, read_answer, read_enquiry
from records.enquiry_outcome import for_applicant, judged
from records.enquiry_questions import BadEnquiry, digests, moment, new_salt
from records.peers import BadMessage, Message, PeerMail, Take
from seals.models import SealRow
from seals.placement import KeywordPlacement
from seals.schemas import Page, page_of
from seals.service import SealService, SealUse
from store.db import utc_now
from store.ids import new_id
from store.intents import Attempt, Outcome

log = logging.getLogger("xinyin.worker")

ASKED, ANSWERED = "enquiry", "enquiry-answer"
"""Kinds of message."""
MATTER = "enquiry-answer"
"""The matter under which letters are sealed."""


class NoSuchEnquiry(NotFound):
    """No such enquiry, or none that the caller may know of."""

    code = "no-such-enquiry"


class EnquiryAnswered(Conflict):
    """It has been answered, or it is one that others answer."""

    code = "enquiry-answered"


class NoSealForLetter(Conflict):
    """It is not clear under whose seal the answer goes."""

    code = "no-seal-for-letter"


class EnquiryService:
    """What the outside asks of enquiries. It answers two kinds of message of :class:`records.peers.PeerMail`.

    :param verify: our own verifier's verdict on a letter that came
    :param name: of the region, under which the local operator asks
    :param home: where the node's own list of matters lies
    """

    def __init__(
        self,
        mail: PeerMail,
        licences: LicenceService,
        seals: SealService,
        accounts: AccountService,
        *,
        verify: Callable[[bytes], dict[str, Any]],
        name: str,
        home: Path | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.mail = mail
        self.licences = licences
        self.seals = seals
        self.accounts = accounts
        self.db = seals.db
        self.blobs = seals.blobs
        self.audit = seals.audit
        self.authoriser: Authoriser = seals.authoriser
        self.region = seals.region
        self.name = name
        self._verify = verify
        self._home = home
        self._now = now
        self.node = Actor("system", "system", region=self.region, kind="node")

    # -- asking ---------------------------------------------------------------------------------------------------------

    def send(
        self,
        actor: Actor,
        *,
        region: str,
        identifier: str | None = None,
        document_sha256: str | None = None,
        matter: str | None = None,
        particulars: Mapping[str, str] | None = None,
        remark: str | None = None,
        slip: str | None = None,
    ) -> dict[str, Any]:
        """Ask another region: is it in force, is this its document, do these particulars agree?

        :param identifier: 证照标识; or ``document_sha256`` of the file that was shown, or both
        :param particulars: ``{"holder": "…"}`` of :data:`records.enquiry_questions.PARTICULARS` as the document says them; they
            are not kept and leave this node as salted digests
        :param slip: of the applicant, who finds there how it stands
        :raises BadEnquiry: nothing to ask about, or a region that is our own
        :raises UnknownPeer: no trust list of that region is held here; :raises NotAllowed: the rules say no
        """
        identifier = identifier_of(identifier)
        if identifier is None and document_sha256 is None:
            raise BadEnquiry(
                "Say what it is about: the licence's identifier, or the file that was shown.",
                "请给出证照标识，或所出示的文件。",
            )
        if document_sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", document_sha256):
            raise BadEnquiry("The digest of a file is 64 hexadecimal digits.", "文件摘要应为 64 位十六进制数。")
        if region == self.region:
            raise BadEnquiry(
                "It was issued in this region: look it up in the register here.", "该证照由本地区签发，请直接查询本地登记。"
            )
        if matter is not None:
            matter_of(matter, self._home)
        salt = new_salt()
        asked = digests(salt, particulars or {})
        department = actor.department or ""
        rule = self.authoriser.require(actor, "enquiry.send", {"region": self.region, "department": department}).rule
        now = self._now().replace(microsecond=0)
        row = EnquiryRow(
            id=new_id("enquiry"),
            region=self.region,
            direction="out",
            peer=region,
            status="open",
            department=department,
            organ=self._organ(department),
            matter=matter,
            identifier=identifier,
            document_sha256=document_sha256,
            salt=salt,
            particulars=asked,
            remark=(remark or "").strip()[:300] or None,
            slip=slip,
            asked_by=actor.id,
            asked_at=now,
            due_at=now + ENQUIRY_ANSWER,
        )
        row.reference = row.id

        def write(session: Session) -> EnquiryRow:
            made = session.merge(row)
            made.message_id = self.mail.send(session, region=region, kind=ASKED, body=body_of(made), about=made.id)
            data: dict[str, Any] = {"region": region, "matter": matter, "identifier": identifier, "document": document_sha256}
            data |= {"asked": sorted(asked), "remark": _digest(made.remark)}
            subject = {"enquiry": made.id, "message": made.message_id}
            self.audit.append(session, kind="enquiry.sent", actor=actor.id, subject=subject, data=data, rule=rule)
            return made

        return self._shown(self.db.run(write))

    def returned(self, message: Message) -> Take:
        """An answer came: the letter is verified by our own verifier before anything is written.

        :raises BadMessage: it answers nothing that was asked, or makes no sense
        """
        answer, letter, reference = read_answer(message.body)
        with self.db.read() as session:
            if self._of_reference(session, "out", message.region, reference) is None:
                raise BadMessage("It answers nothing that was asked here.", "该答复与本节点发起的协查不符。")
        verdict = judged(self._verify(letter), message.region, answer_text(message.body["answer"], reference))
        blob = self.blobs.put(letter)

        def take(session: Session) -> None:
            row = self._of_reference(session, "out", message.region, reference)
            if row is None or row.status == "answered":
                return
            row.status, row.answer, row.letter, row.letter_verdict = "answered", answer.model_dump(), blob, verdict
            row.answered_at = moment(answer.at, UTC)
            data = {"outcome": answer.outcome, "letter": blob, "counts": verdict["counts"], "region": message.region}
            subject = {"enquiry": row.id, "message": message.id}
            self.audit.append(session, kind="enquiry.returned", actor=f"region_{message.region}", subject=subject, data=data)

        return take

    # -- answering ------------------------------------------------------------------------------------------------------

    def asked(self, message: Message) -> Take:
        """Another region asks. :raises BadMessage: it makes no sense"""
        asked = read_enquiry(message.body)
        identifier, document = asked["identifier"], asked["document_sha256"]

        def take(session: Session) -> None:
            if self._of_reference(session, "in", message.region, asked["reference"]) is not None:
                return
            licence = licence_of(session, self.region, identifier, document)
            department = licence.issuer_uscc if licence is not None else self._named_issuer(session, identifier)
            own = {"id": new_id("enquiry"), "region": self.region, "department": department}
            row = EnquiryRow(**asked, **own, direction="in", peer=message.region, status="open")
            session.add(row)
            session.flush()
            data: dict[str, Any] = {"region": message.region, "matter": row.matter, "identifier": identifier}
            data |= {"document": document, "asked": sorted(row.particulars)}
            subject = {"enquiry": row.id, "message": message.id} | ({"licence": licence.id} if licence is not None else {})
            self.audit.append(session, kind="enquiry.received", actor=f"region_{message.region}", subject=subject, data=data)

        return take

    def work(self) -> int:
        """Answer by rule what the rules let the node answer at once; each enquiry is considered once. How many."""
        wanted = sa.select(EnquiryRow).where(
            EnquiryRow.region == self.region,
            EnquiryRow.direction == "in",
            EnquiryRow.status == "open",
            EnquiryRow.considered_at.is_(None),
        )
        with self.db.read() as session:
            waiting = session.scalars(wanted.order_by(EnquiryRow.id).limit(50)).all()
        return sum(self._consider(row) for row in waiting)

    def _consider(self, row: EnquiryRow) -> bool:
        with self.db.read() as session:
            found, licence = said(session, self.licences, row, self._now())
            seal = seal_of(session, licence) if licence is not None else None
        context = {"register": seal is not None, "agrees": found.agrees, "matter": row.matter}
        decision = self.authoriser.decide(self.node, "enquiry.answer-by-rule", self._facts(row), context)
        answered = False
        if decision.allowed and seal is not None:
            try:
                self._answer(row, self.node, decision.rule, seal, None, declined=False)
                answered = True
            except XinyinError as exc:  # a seal that is stopped, a key that is gone: a person answers
                log.warning("enquiry %s: %s %s", row.id, exc.code, exc.message)

        def write(session: Session) -> None:
            session.get_one(EnquiryRow, row.id).considered_at = self._now()

        self.db.run(write)
        return answered

    def answer(
        self,
        actor: Actor,
        enquiry_id: str,
        *,
        remark: str | None = None,
        declined: bool = False,
        seal_id: str | None = None,
    ) -> dict[str, Any]:
        """Answer as the register has it, or decline, under the seal of the organ that issued the licence.

        :param remark: for whoever asked, at most 300 characters; needed where it is declined
        :param seal_id: by default that of the organ that issues such licences, else the clerk's department's own
        :raises EnquiryAnswered: it was answered, or is one of ours to others
        :raises NoSealForLetter: it is not clear which seal; :raises NotAllowed: the rules say no
        """
        row = self._row(actor, enquiry_id)
        if row.direction != "in":
            raise EnquiryAnswered(
                "This is our own enquiry: the other region answers it.", "这是本方发起的协查，由对方地区答复。"
            )
        rule = self.authoriser.require(actor, "enquiry.answer", self._facts(row), {"matter": row.matter}).rule
        remark = (remark or "").strip()[:300] or None
        if declined and remark is None:
            raise BadEnquiry("Say why it is not answered.", "不予答复的，请说明理由。")
        if row.status == "answered":
            raise EnquiryAnswered("This enquiry has been answered.", "该协查已经答复。")
        seal = seal_id or self._seal(actor, row)
        self._answer(row, actor, rule, seal, remark, declined=declined)
        return self.show(actor, row.id)

    def _answer(self, row: EnquiryRow, actor: Actor, rule: str, seal_id: str, remark: str | None, *, declined: bool) -> None:
        """Seal the letter and hand it to the mail: one attempt of an intent, one transaction."""
        use = self.seals.plan(
            actor,
            seal_id=seal_id,
            format=None,
            suite=None,
            level=LEVEL,
            matter=MATTER,
            rule=rule,
            attended=actor is not self.node,
        )
        wish = canonical_digest({"enquiry": row.id, "remark": remark, "declined": declined, "seal": use.seal.id})

        def work(attempt: Attempt) -> Outcome:
            with self.db.read() as session:
                found, _ = said(session, self.licences, row, self._now())
            now = self._now().replace(microsecond=0)
            answer = self._made(found, use, remark, declined, by_rule=actor is self.node, at=now)
            asked = {
                name: getattr(row, name)
                for name in ("reference", "organ", "asked_at", "identifier", "document_sha256", "matter")
            }
            page = render(asked, answer, at=now, sample=self.licences.sample)
            sealed = self.seals.seal_within(attempt, use, page, KeywordPlacement(use.seal.owner_name))
            return Outcome(artefact=sealed.data, value=(answer, page, sealed))

        def commit(session: Session, outcome: Outcome, attempt: Attempt) -> dict[str, Any]:
            assert outcome.blob is not None
            answer, page, sealed = outcome.value
            found = session.get_one(EnquiryRow, row.id, with_for_update=True)
            if found.status == "answered":
                raise EnquiryAnswered("This enquiry has been answered.", "该协查已经答复。")
            impression = self.seals.record_use(session, use, attempt, sealed, source=page, document_sha256=outcome.blob)
            body = {"reference": found.reference, "answer": answer, "letter": base64.b64encode(sealed.data).decode("ascii")}
            found.status, found.answer, found.letter = "answered", answer, outcome.blob
            found.answered_by, found.answered_at = actor.id, moment(answer["at"], UTC)
            found.message_id = self.mail.send(session, region=found.peer, kind=ANSWERED, body=body, about=found.id)
            subject = {"enquiry": found.id, "impression": impression.id, "seal": use.seal.id, "message": found.message_id}
            data = {"outcome": answer["outcome"], "letter": outcome.blob, "region": found.peer, "by_rule": answer["by_rule"]}
            data |= {"remark": _digest(remark), "intent": attempt.intent_id, "attempt": attempt.number}
            self.audit.append(session, kind="enquiry.answered", actor=actor.id, subject=subject, data=data, rule=rule)
            return {"id": found.id}

        self.seals.intents.perform(
            account=actor.id,
            operation="enquiry.answer",
            key=f"{row.id}-{wish[:16]}",
            request_digest=wish,
            subject={"enquiry": row.id, "seal": use.seal.id},
            generation_ids=[use.generation.id],
            work=work,
            commit=commit,
        )

    def _made(
        self, found: Said, use: SealUse, remark: str | None, declined: bool, *, by_rule: bool, at: datetime
    ) -> dict[str, Any]:
        if declined:
            found = Said(None, "unknown", None, {})
        return {
            "outcome": "declined" if declined else "yes" if found.agrees else "no",
            **found.to_dict(),
            "remark": remark,
            "organ": use.seal.owner_name,
            "by_rule": by_rule,
            "at": int(at.timestamp()),
        }

    def _seal(self, actor: Actor, row: EnquiryRow) -> str:
        """The seal of whoever issues such licences; where that is not known, the only one of the clerk's department.

        :raises NoSealForLetter: none, or several
        """
        with self.db.read() as session:
            licence = licence_of(session, self.region, row.identifier, row.document_sha256)
            known = seal_of(session, licence) if licence is not None else None
            if known is not None:
                return known
            owners = sorted(actor.departments) or ([row.department] if row.department else [])
            fitting = sa.select(SealRow.id).where(
                SealRow.region == self.region, SealRow.status == "in-force", SealRow.kind.startswith("statutory")
            )
            if owners:
                fitting = fitting.where(SealRow.owner_uscc.in_(owners))
            found = session.scalars(fitting.limit(2)).all()
        if len(found) != 1:
            raise NoSealForLetter(
                "Name the seal under which the answer goes (--seal ID); `xinyin seal list` shows them.",
                "请指明答复所用的印章（--seal 编号）；可用 `xinyin seal list` 查看。",
            )
        return found[0]

    # -- reading --------------------------------------------------------------------------------------------------------

    def list(
        self,
        actor: Actor,
        *,
        direction: str | None = None,
        status: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[dict[str, Any]]:
        """Newest first, those that the caller may see."""
        self.authoriser.require(actor, "enquiry.list")
        statement = sa.select(EnquiryRow).where(EnquiryRow.region == self.region).order_by(EnquiryRow.id.desc())
        for column, wanted in ((EnquiryRow.direction, direction), (EnquiryRow.status, status)):
            if wanted:
                statement = statement.where(column == wanted)
        if cursor:
            statement = statement.where(EnquiryRow.id < cursor)
        with self.db.read() as session:
            rows = session.scalars(statement.limit(limit + 1)).all()
        return page_of(rows, limit, lambda row: str(row.id), lambda row: self._shown(row) if self._sees(actor, row) else None)

    def show(self, actor: Actor, enquiry_id: str) -> dict[str, Any]:
        """One enquiry; for those who may answer it, what the register would say now (``register``).

        :raises NoSuchEnquiry: none that the caller may know of
        """
        row = self._row(actor, enquiry_id)
        shown = self._shown(row)
        may = row.direction == "in" and row.status == "open" and self._may_answer(actor, row)
        if may:
            with self.db.read() as session:
                shown["register"] = said(session, self.licences, row, self._now())[0].to_dict()
        return shown | {"may_answer": may}

    def letter(self, actor: Actor, enquiry_id: str) -> bytes:
        """The sealed letter. :raises NoSuchEnquiry: none, or not answered yet"""
        row = self._row(actor, enquiry_id)
        if row.letter is None:
            raise NoSuchEnquiry("The enquiry has not been answered yet.", "该协查尚未答复。")
        return self.blobs.get(row.letter)

    def of_slip(self, slip: str) -> Sequence[dict[str, Any]]:
        """For the applicant's slip: how the enquiries stand that were made for it, oldest first; nothing personal.

        ``[{"id", "status", "region", "region_name", "asked_at", "due_at", "outcome", "message", "message_zh"}]``
        """
        with self.db.read() as session:
            rows = session.scalars(sa.select(EnquiryRow).where(EnquiryRow.slip == slip).order_by(EnquiryRow.id)).all()
        return [for_applicant(self._shown(row)) for row in rows]

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _facts(self, row: EnquiryRow) -> dict[str, Any]:
        return {"id": row.id, "region": self.region, "department": row.department, "kind": row.direction, "status": row.status}

    def _sees(self, actor: Actor, row: EnquiryRow) -> bool:
        return self.authoriser.decide(actor, "enquiry.show", self._facts(row)).allowed

    def _may_answer(self, actor: Actor, row: EnquiryRow) -> bool:
        return self.authoriser.decide(actor, "enquiry.answer", self._facts(row), {"matter": row.matter}).allowed

    def _row(self, actor: Actor, enquiry_id: str) -> EnquiryRow:
        with self.db.read() as session:
            row = session.get(EnquiryRow, enquiry_id)
        if row is None or row.region != self.region or not self._sees(actor, row):
            raise NoSuchEnquiry("There is no such enquiry.", "没有该协查。", enquiry=enquiry_id[:64])
        return row

    def _of_reference(self, session: Session, direction: str, region: str, reference: str) -> EnquiryRow | None:
        wanted = sa.select(EnquiryRow).where(
            EnquiryRow.direction == direction, EnquiryRow.peer == region, EnquiryRow.reference == reference
        )
        return session.scalars(wanted).one_or_none()

    def _named_issuer(self, session: Session, identifier: str | None) -> str:
        """The organ that the identifier names as issuer, if it has a seal here: its clerks see what is not on the register."""
        with suppress(BadIdentifier):
            issuer = LicenceIdentifier.parse(identifier or "").issuer_code
            if session.scalar(sa.select(SealRow.id).where(SealRow.owner_uscc == issuer, SealRow.region == self.region)):
                return issuer
        return ""

    def _organ(self, department: str) -> str:
        found = next((one.name for one in self.accounts.departments() if department in (one.id, one.uscc)), None)
        return found or self.name

    def _shown(self, row: EnquiryRow) -> dict[str, Any]:
        with self.db.read() as session:
            message = session.get(PeerMessageRow, row.message_id) if row.message_id else None
        now = self._now()
        return {
            "id": row.id,
            "status": "undeliverable" if row.status == "open" and message and message.status == "dead" else row.status,
            "direction": row.direction,
            "region": row.peer,
            "region_name": self._region_name(row.peer),
            "reference": row.reference,
            "department": row.department,
            "organ": row.organ,
            "matter": row.matter,
            "identifier": row.identifier,
            "document_sha256": row.document_sha256,
            "asks": list(row.particulars),
            "remark": row.remark,
            "slip": row.slip,
            "asked_by": row.asked_by,
            "asked_at": shown_time(row.asked_at),
            "due_at": shown_time(row.due_at),
            "overdue": row.status == "open" and now > row.due_at,
            "delivery": message.status if message else None,
            "delivery_error": message.error if message else None,
            "answer": row.answer,
            "answered_by": row.answered_by,
            "answered_at": shown_time(row.answered_at) if row.answered_at else None,
            "letter_sha256": row.letter,
            "letter_verdict": row.letter_verdict,
        }

    def _region_name(self, region: str) -> str:
        return next((one.name for one in self.mail.peers() if one.region == region), region)


def _digest(text: str | None) -> str | None:
    return hashlib.sha256(text.encode()).hexdigest() if text else None
