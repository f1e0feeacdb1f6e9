"""Copies 副本: licences on phones.

A copy is bound to a key that was made on the phone and cannot leave it. Downloading takes the path of a signature
(docs/life-of-a-signature.md): the phone proves its key, the rules decide, one intent has the credential issuer's key sign
both forms of the credential (:mod:`licences.copy_credentials`), and the commit writes the copy with its leaf. A copy lives for
thirty days at most and is renewed with the same key; whatever ends it shows in its place of the status list.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ca.ports import Generation, Keys
from crypto.errors import Conflict, NotFound
from formats import masking
from formats.canonical import canonical_digest, rfc3339
from formats.dates import shown_time
from licences import copy_views as views
from licences import proofs
from licences.catalogue import licence_type
from licences.copy_credentials import CredentialOrder, Credentials, make
from licences.copybook import CopyBook
from licences.grants import KINDS_ZH, GrantService, not_yours
from licences.holding_models import ChallengeRow, CopyRow, GrantRow
from licences.models import LicenceRow
from licences.proofs import BadProof, Proof
from licences.service import LicenceService
from licences.standing import OWNERS, Standing, best, line_of, of_person, person_mark, state_of
from people.schemas import Actor
from policies.authorise import Authoriser
from store.audit import AuditLog
from store.blobs import Blobs
from store.db import Database, utc_now
from store.ids import new_id
from store.intents import Attempt, IntentService, Outcome
from verify.schemas import StatusRef

LIFE = timedelta(days=30)
CHALLENGE_LIFE = timedelta(minutes=10)
MAX_CHALLENGES = 20
_SHOWN_FOR = timedelta(days=90)
_AT_ONCE = 200


class NoSuchCopy(NotFound):
    """No copy has this identifier, or none that the caller has to do with."""

    code = "no-such-copy"


class PhoneLost(Conflict):
    """The phone's key was reported lost and is not taken again."""

    code = "phone-lost"


@dataclass(frozen=True)
class _Order:
    """A download that was decided: for whom, on what ground, and the copy that it renews, if any."""

    standing: Standing
    rule: str
    expires: datetime
    renews: CopyRow | None


class CopyService:
    """What the outside asks of copies. One instance serves all threads.

    :param issuer: the credential issuer's key now
    :param doubted: identifiers of keys that are in other hands: what they signed has to be made anew
    :param base_url: this node's address: what a phone's proof must be meant for
    """

    def __init__(
        self,
        db: Database,
        keys: Keys,
        intents: IntentService,
        audit: AuditLog,
        blobs: Blobs,
        authoriser: Authoriser,
        licences: LicenceService,
        grants: GrantService,
        book: CopyBook,
        region: str,
        *,
        issuer: Callable[[], Generation],
        doubted: Callable[[], Collection[str]] = frozenset,
        base_url: str,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.keys = keys
        self.intents = intents
        self.audit = audit
        self.blobs = blobs
        self.authoriser = authoriser
        self.licences = licences
        self.grants = grants
        self.book = book
        self.region = region
        self.base_url = base_url
        self._issuer = issuer
        self._doubted = doubted
        self._now = now

    # -- what somebody has -------------------------------------------------------------------------------------------------

    def of(self, actor: Actor) -> list[dict[str, Any]]:
        """The licences that a citizen may use: what each is, how it stands, and whether it may be downloaded now or why not."""
        self.authoriser.require(actor, "holding.list", {"region": self.region})
        with self.db.read() as session:
            found = of_person(session, actor.person or "", self._now())
            return [self._held(session, actor, one) for one in found]

    def _held(self, session: Session, actor: Actor, one: Standing) -> dict[str, Any]:
        state = state_of(session, one.licence, self._now())
        decision = self.authoriser.decide(actor, "holding.download", *self._asked(session, actor, one, phone=""))
        mine = self._alive(session, one, actor.person or "")
        return {
            **views.licence(one.licence),
            "status": state.status if state else "not-yet-issued",
            "state_zh": state.state_zh if state else "未签发",
            "role": one.role,
            "role_zh": views.ROLES_ZH[one.role],
            "grant": one.grant.id if one.grant else None,
            "matters": list(one.matters),
            "until": shown_time(one.grant.until) if one.grant else None,
            "given_by": one.grant.giver_name if one.grant else None,
            "may_authorise": [kind for kind in KINDS_ZH if self._may_authorise(session, actor, one, kind)],
            "download": {
                "allowed": decision.allowed,
                "message": decision.reason if not decision.allowed else "",
                "message_zh": decision.reason_zh if not decision.allowed else "",
            },
            "copies": [copy.id for copy in mine],
        }

    def _may_authorise(self, session: Session, actor: Actor, one: Standing, kind: str) -> bool:
        facts, _ = self._asked(session, actor, one, phone="")
        context = {"role": one.role, "grants": kind, "managers": 0, "within": True}
        return self.authoriser.decide(actor, "holding.authorise", facts, context).allowed

    # -- download ----------------------------------------------------------------------------------------------------------

    def challenge(self, actor: Actor) -> dict[str, Any]:
        """A nonce for the phone's proof, good once and for ten minutes; whom the proof must be meant for; and the time, since
        phones' clocks are set by hand.
        """
        self.authoriser.require(actor, "holding.list", {"region": self.region})
        nonce, now, person = secrets.token_urlsafe(24), self._now(), actor.person or ""

        def write(session: Session) -> None:
            session.execute(sa.delete(ChallengeRow).where(ChallengeRow.expires_at <= now))
            alive = session.scalars(
                sa.select(ChallengeRow).where(ChallengeRow.person == person).order_by(ChallengeRow.expires_at.desc())
            ).all()
            for old in alive[MAX_CHALLENGES - 1 :]:
                session.delete(old)
            row = ChallengeRow(nonce_sha256=_sha256(nonce), region=self.region, person=person, expires_at=now + CHALLENGE_LIFE)
            session.add(row)

        self.db.run(write)
        return {
            "nonce": nonce,
            "audience": self.base_url,
            "now": shown_time(now),
            "expires_at": shown_time(now + CHALLENGE_LIFE),
        }

    def download(
        self,
        actor: Actor,
        licence_id: str,
        *,
        device: str,
        proof: str,
        grant_id: str | None = None,
        idempotency_key: str | None = None,
        own_phone: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """Put a licence on the phone whose key ``proof`` proves, or renew the copy that is on it: the copy with both forms of
        its credential, as plain JSON.

        :param device: what the owner calls the phone
        :param grant_id: on which authorisation, where somebody has several for the licence; by default the widest
        :param own_phone: asked with the fingerprint of the phone's key before anything is made; raises if the caller's session
            serves another phone
        :raises BadProof: the proof does not hold, or its nonce is not one of ours, too old, or used
        :raises PhoneLost: this phone's key was reported lost
        :raises NoSuchLicence: none that the citizen has to do with; :raises NotAllowed: the rules say no
        """
        held = proofs.read(proof, audience=self.base_url, now=self._now())
        with self.db.read() as session:
            order = self._order(session, actor, licence_id, grant_id, held)
        if own_phone is not None:
            own_phone(held.key.fingerprint)
        generation = self._issuer()
        device = _device(device)
        request = {
            "licence": order.standing.licence.id,
            "grant": order.standing.grant.id if order.standing.grant else None,
            "phone": held.key.fingerprint,
        }

        def work(attempt: Attempt) -> Outcome:
            made, ref = self._make(actor, order, held, generation, attempt)
            return Outcome(artefact=made.to_json(), value=(made, ref))

        def commit(session: Session, outcome: Outcome, attempt: Attempt) -> dict[str, Any]:
            made, ref = outcome.value
            again = self._order(session, actor, order.standing.licence.id, request["grant"], held)
            if _signed_for(again) != _signed_for(order):
                # The credential has another's place in the status list, or says what is true no more: nothing would end it.
                raise Conflict(
                    "Something changed while the licence was put on the phone; try again.",
                    "下载期间证照、授权或本机副本发生变化；请重试。",
                )
            self._use_up(session, actor, held.nonce)
            return {"id": self._write(session, actor, again, held, device, made, ref, generation.id, attempt)}

        result = self.intents.perform(
            account=actor.id,
            operation="copy.download",
            key=idempotency_key,
            request_digest=canonical_digest(request),
            subject={"licence": order.standing.licence.id},
            generation_ids=[generation.id],
            work=work,
            commit=commit,
        )
        assert result.blob is not None
        return self._downloaded(result.result["id"], Credentials.from_json(self.blobs.get(result.blob)))

    def _order(self, session: Session, actor: Actor, licence_id: str, grant_id: str | None, held: Proof) -> _Order:
        """Who downloads what on which ground; asked before the work and again in its commit."""
        phone, now = held.key.fingerprint, self._now()
        lost = sa.select(CopyRow.id).where(CopyRow.phone == phone, CopyRow.status == "lost").limit(1)
        if session.scalar(lost) is not None:
            raise PhoneLost(
                "This phone was reported lost; clear this page's data on it (that makes a new key) and download again.",
                "此手机已挂失；如已找回，请清除本页面的数据（将生成新密钥）后重新下载。",
            )
        standing = self._standing(session, actor.person or "", licence_id, grant_id)
        facts, context = self._asked(session, actor, standing, phone=phone)
        rule = self.authoriser.require(actor, "holding.download", facts, context).rule
        ends = (now + LIFE, standing.licence.valid_to, standing.grant.until if standing.grant else None)
        same = [one for one in self._alive(session, standing, actor.person or "") if one.phone == phone]
        return _Order(standing, rule, min(end for end in ends if end).replace(microsecond=0), same[0] if same else None)

    def _standing(self, session: Session, person: str, licence_id: str, grant_id: str | None) -> Standing:
        row = session.scalars(
            sa.select(LicenceRow).where(
                sa.or_(LicenceRow.id == licence_id, LicenceRow.identifier == licence_id), LicenceRow.region == self.region
            )
        ).one_or_none()
        mine = [one for one in of_person(session, person, self._now()) if row and line_of(one.licence) == line_of(row)]
        if grant_id is not None:
            mine = [one for one in mine if one.grant is not None and one.grant.id == grant_id]
        found = best(mine)
        if found is None:
            raise not_yours()
        return found

    def _asked(self, session: Session, actor: Actor, one: Standing, *, phone: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the rules are told: of the licence, and of the circumstances."""
        state, kind = state_of(session, one.licence, self._now()), licence_type(one.licence.type_id)
        others = {copy.phone for copy in self._alive(session, one, actor.person or "")} - {phone}
        first = session.scalar(
            sa.select(CopyRow.id).where(CopyRow.licence_id == one.licence.id, CopyRow.role == "representative").limit(1)
        )
        facts = {
            "id": one.licence.id,
            "region": self.region,
            "department": one.licence.issuer_uscc,
            "kind": one.licence.type_id,
            "sample": one.licence.sample,
            "status": state.status if state else "not-yet-issued",
        }
        context = {
            "role": one.role,
            "phones": len(others),
            "first": first is not None or kind.of_a_person,
            "same_name": _plain_name(one.name) == _plain_name(actor.name),
        }
        return facts, context

    def _alive(self, session: Session, one: Standing, person: str) -> Sequence[CopyRow]:
        """A person's copies of this version on the same ground that have not ended."""
        return session.scalars(
            sa.select(CopyRow).where(
                CopyRow.licence_id == one.licence.id,
                CopyRow.person == person,
                CopyRow.status == "active",
                CopyRow.grant_id == one.grant.id if one.grant else CopyRow.grant_id.is_(None),
            )
        ).all()

    def _make(
        self, actor: Actor, order: _Order, held: Proof, generation: Generation, attempt: Attempt
    ) -> tuple[Credentials, StatusRef]:
        """The work of an attempt: the nonce is looked at, a place in the status list found, both forms are signed."""
        with self.db.read() as session:
            self._check_nonce(session, actor, held.nonce)
        if order.renews is not None:
            ref = StatusRef(order.renews.status_uri, order.renews.status_index)
        else:
            ref = self.db.run(lambda session: self.book.statuses.allot(session, attempt.intent_id))
        standing = order.standing
        wish = CredentialOrder(
            licence=standing.licence,
            role=standing.role,
            bearer=actor.name,
            matters=standing.matters,
            key=held.key,
            status=ref,
            issued=self._now().replace(microsecond=0),
            expires=order.expires,
            base_url=self.base_url,
            region=self.region,
        )
        return make(wish, self.keys.signer(generation.id, attempt)), ref

    def _check_nonce(self, session: Session, actor: Actor, nonce: str) -> ChallengeRow:
        row = session.get(ChallengeRow, _sha256(nonce))
        if row is None or row.person != actor.person or row.expires_at <= self._now():
            raise BadProof(
                "The challenge in the phone's proof was used already or is older than ten minutes; ask for a new one.",
                "一次性口令已使用或已超过十分钟；请重新获取后再试。",
            )
        return row

    def _use_up(self, session: Session, actor: Actor, nonce: str) -> None:
        """In one transaction with the copy: no nonce makes two."""
        self._check_nonce(session, actor, nonce)
        gone = session.execute(sa.delete(ChallengeRow).where(ChallengeRow.nonce_sha256 == _sha256(nonce)))
        if cast(sa.CursorResult[Any], gone).rowcount != 1:
            raise BadProof("The challenge was used already; ask for a new one.", "一次性口令已使用；请重新获取后再试。")

    def _write(
        self,
        session: Session,
        actor: Actor,
        order: _Order,
        held: Proof,
        device: str,
        made: Credentials,
        ref: StatusRef,
        generation_id: str,
        attempt: Attempt,
    ) -> str:
        """The row and its leaf: a new copy, or the one that was renewed."""
        now, standing = self._now(), order.standing
        row = order.renews
        if row is None:
            row = CopyRow(
                id=new_id("copy"),
                region=self.region,
                line=line_of(standing.licence),
                licence_id=standing.licence.id,
                citizen=actor.id,
                person=actor.person or "",
                role=standing.role,
                grant_id=standing.grant.id if standing.grant else None,
                phone=held.key.fingerprint,
                public_jwk=held.jwk,
                status_uri=ref.uri,
                status_index=ref.index,
                status="active",
                issued_at=now,
                sample=standing.licence.sample,
            )
            session.add(row)
        row.bearer, row.device, row.renewed_at, row.expires_at = actor.name[:100], device, now, made.expires
        row.generation_id, row.intent_id = generation_id, attempt.intent_id
        session.flush()
        self.book.say(session, row, standing.licence)
        subject = {"copy": row.id, "licence": row.licence_id}
        self.audit.append(
            session,
            kind="copy.renewed" if order.renews else "copy.issued",
            actor=actor.id,
            subject=subject | ({"grant": row.grant_id} if row.grant_id else {}),
            data={
                "role": row.role,
                "person": person_mark(row.id, row.person),
                "phone": row.phone,
                "expires": rfc3339(row.expires_at),
                "index": row.status_index,
                "sd_jwt": _sha256(made.sd_jwt),
                "credential": hashlib.sha256(made.compact).hexdigest(),
                "generation": generation_id,
                "intent": attempt.intent_id,
                "attempt": attempt.number,
            },
            rule=order.rule,
        )
        return row.id

    def _downloaded(self, copy_id: str, made: Credentials) -> dict[str, Any]:
        with self.db.read() as session:
            row = session.get_one(CopyRow, copy_id)
            licence = session.get_one(LicenceRow, row.licence_id)
            grant = session.get(GrantRow, row.grant_id) if row.grant_id else None
        return {
            "id": row.id,
            "sd_jwt": made.sd_jwt,
            "credential": base64.urlsafe_b64encode(made.compact).rstrip(b"=").decode("ascii"),
            "host": self.licences.host,
            "licence": views.licence(licence),
            "role": row.role,
            "role_zh": views.ROLES_ZH[row.role],
            "bearer": row.bearer,
            "matters": list(grant.matters) if grant else [],
            "expires_at": shown_time(row.expires_at),
            "renew_from": shown_time(max(row.expires_at - views.RENEW_BEFORE, row.renewed_at)),
            "status": {"uri": row.status_uri, "idx": row.status_index},
        }

    # -- copies that there are ---------------------------------------------------------------------------------------------

    def mine(self, actor: Actor, *, present: str | None = None) -> list[dict[str, Any]]:
        """A citizen's copies on all phones, newest first, with those that ended within three months, so that a phone that was
        switched off learns why.

        :param present: at a counter, the person key of whoever is there in person: theirs are asked for
        """
        self.authoriser.require(actor, "holding.list", {"region": self.region}, {"present": present is not None})
        since = self._now() - _SHOWN_FOR
        with self.db.read() as session:
            rows = session.scalars(
                sa.select(CopyRow)
                .where(CopyRow.person == (present or actor.person or ""), CopyRow.region == self.region)
                .where(sa.or_(CopyRow.ended_at.is_(None), CopyRow.ended_at > since))
                .order_by(CopyRow.id.desc())
                .limit(_AT_ONCE)
            ).all()
            return self._shown(session, rows)

    def remove(self, actor: Actor, copy_id: str, *, present: str | None = None) -> dict[str, Any]:
        """Take a copy off a phone; it can be downloaded again. Parameters and errors as :meth:`lost`."""
        return self._end(actor, copy_id, "removed", lambda session, row: [row], present)[0]

    def lost(self, actor: Actor, copy_id: str, *, present: str | None = None) -> list[dict[str, Any]]:
        """Report the phone that carries a copy as lost: every copy of this person on it ends, and its key is never taken again.

        :param present: at a counter, the person key of whoever is there in person
        :raises NoSuchCopy: none that the citizen has to do with
        """

        def same_phone(session: Session, row: CopyRow) -> Sequence[CopyRow]:
            of_phone = sa.select(CopyRow).where(CopyRow.phone == row.phone, CopyRow.person == row.person)
            return session.scalars(of_phone.order_by(CopyRow.id.desc())).all()

        return self._end(actor, copy_id, "lost", same_phone, present)

    def _end(
        self,
        actor: Actor,
        copy_id: str,
        status: str,
        which: Callable[[Session, CopyRow], Sequence[CopyRow]],
        present: str | None,
    ) -> list[dict[str, Any]]:
        def write(session: Session) -> list[dict[str, Any]]:
            row, who = session.get(CopyRow, copy_id), present or actor.person or ""
            own = row is not None and bool(who) and row.person == who
            standing = None
            if row is not None and who:
                mine = (one for one in of_person(session, who, self._now()) if line_of(one.licence) == row.line)
                standing = best(one for one in mine if one.role in OWNERS)
            if row is None or not (own or standing is not None):
                raise _no_such_copy()
            context = {"own": own, "role": standing.role if standing else "", "present": present is not None}
            facts = {"id": row.licence_id, "region": row.region, "department": row.line.split("/")[1]}
            rule = self.authoriser.require(actor, "holding.end", facts, context).rule
            # Another's phone is not one's own to report: its owner keeps the key for other licences.
            rows = list(which(session, row)) if own else [row]
            self.book.end(session, rows, status if own else "removed", actor=actor.id, rule=rule)
            return self._shown(session, rows)

        return self.db.run(write)

    def inspect(self, actor: Actor, licence_id: str) -> list[dict[str, Any]]:
        """For staff: every copy of a licence through all its versions, newest first; names masked.

        :raises NoSuchLicence: none that the caller may know of; :raises NotAllowed: the rules say no
        """
        licence = self.licences.row(licence_id, actor)
        facts = {"id": licence.id, "region": self.region, "department": licence.issuer_uscc}
        self.authoriser.require(actor, "holding.inspect", facts)
        with self.db.read() as session:
            rows = session.scalars(
                sa.select(CopyRow).where(CopyRow.line == line_of(licence)).order_by(CopyRow.id.desc()).limit(_AT_ONCE)
            ).all()
            shown = self._shown(session, rows)
        for one, row in zip(shown, rows, strict=True):
            one |= {"bearer": masking.name(row.bearer), "device": "", "licence": row.licence_id}
            del one["sentence"], one["sentence_zh"]  # they speak to the holder
        return shown

    def _shown(self, session: Session, rows: Sequence[CopyRow]) -> list[dict[str, Any]]:
        """Copies as their holder sees them; those whose issuer's key is in other hands have to be made anew."""
        doubted, now = self._doubted(), self._now()
        return [views.copy(session, row, now, doubted=row.generation_id in doubted) for row in rows]


def _signed_for(order: _Order) -> tuple[str | None, ...]:
    """What the signed credential rests on: the version of the licence, role, authorisation, and the copy that it renews."""
    standing = order.standing
    grant, renewed = standing.grant, order.renews
    return standing.licence.id, standing.role, grant.id if grant else None, renewed.id if renewed else None


def _device(text: str) -> str:
    """What a phone is called: one line, sixty characters, a plain word where nothing was said."""
    shown = "".join(c for c in unicodedata.normalize("NFC", text) if not unicodedata.category(c).startswith("C"))
    return " ".join(shown.split())[:60] or "手机"


def _plain_name(text: str) -> str:
    """Names as they are compared: without blanks and middle dots, which are written in several ways, and without the mark that
    sample people carry.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKC", text) if not c.isspace() and c not in "·•・.")
    return plain.removeprefix("样本").casefold()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("ascii", "replace")).hexdigest()


def _no_such_copy() -> NoSuchCopy:
    return NoSuchCopy("There is no such copy among yours.", "您名下没有该副本。")
