"""The way of an event to those who asked for it: numbered and handed out, then pushed (RFC 8935) until taken or given up.

Killed anywhere it goes on: an event is handed out in the transaction that numbers it, and a delivery that was on its way when
the process ended is sent again with the same ``jti``, by which the receiver knows it. A receiver that does not answer holds up
nobody else. Notices may overtake one another; ``toe`` and the event's ``seq`` tell the order.
"""

from __future__ import annotations

import json
import logging
import random
import re
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import NotFound, XinyinError
from crypto.keys import Signer
from net.fetch import Answer, Fetcher, Limits, Resolver, endpoint, system_resolver
from people.schemas import Actor
from policies.limits import CALL_BACK_FIRST_PAUSE, CALL_BACK_GIVE_UP, CALL_BACK_LONGEST_PAUSE, CALL_BACK_SECONDS
from records.models import DeliveryRow, SubscriptionRow
from records.secevent import MEDIA_TYPE, event_token
from records.subscriptions import TEST_KIND, SubscriptionService, wanted
from store.crashpoints import crash_point
from store.ids import new_id
from store.models import EventRow
from store.outbox import Event

log = logging.getLogger("xinyin.worker")

ACTOR = "call-backs"
"""As whom the audit log has what the worker sends."""

_IN_HISTORY = frozenset({"application", "impression", "licence"})
"""Objects whose history says who was told."""
_MOST_TRIED = (DeliveryRow.attempts.desc(), EventRow.seq, DeliveryRow.id)
"""What failed before goes first, as a probe of whether its receiver is back."""
_LEASE = timedelta(minutes=10)
_AT_ONCE = 8
_A_RECEIVER = 20
_TAKEN = (200, 202, 204)
_HEALING = frozenset({"invalid_key", "authentication_failed"})
"""Errors of RFC 8935 §2.4 that pass when the receiver fetches our keys again; the others say that it never will take it."""


@dataclass(frozen=True)
class Parcel:
    """One delivery as it was claimed."""

    delivery: DeliveryRow
    subscription: SubscriptionRow
    event: Event


class Courier:
    """Hands events out and delivers them.

    :param issuer: the node's address, ``iss``
    :param accounts: identifier → who that account is now; :class:`crypto.errors.NotFound` where there is none
    :param signer: the receipt key, looked up at each round
    :param tls: for receivers whose certificates have a root of this network
    """

    def __init__(
        self,
        subscriptions: SubscriptionService,
        *,
        issuer: str,
        accounts: Callable[[str], Actor],
        signer: Callable[[], Signer],
        tls: ssl.SSLContext | None = None,
        resolver: Resolver = system_resolver,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.subscriptions = subscriptions
        self.db = subscriptions.db
        self.audit = subscriptions.audit
        self.issuer = issuer
        self._accounts = accounts
        self._signer = signer
        self._tls = tls
        self._resolver = resolver
        self._now = now or subscriptions._now

    def work(self) -> int:
        """Hand out what is new, deliver what is due; how many were taken."""
        while self.hand_out():
            pass
        return self.deliver()

    # -- handing out ----------------------------------------------------------------------------------------------------

    def hand_out(self) -> int:
        """Number a batch of events and write a delivery for everyone who wants and may have it; how many events."""
        with self.db.read() as session:
            waiting = sa.select(EventRow.id).where(EventRow.region == self.subscriptions.region, EventRow.seq.is_(None))
            if session.scalar(waiting.limit(1)) is None:
                return 0
            active = list(session.scalars(sa.select(SubscriptionRow).where(SubscriptionRow.status == "active")))
        actors = {account: self._account(account) for account in {row.account_id for row in active}}
        offered = [(row, actor) for row in active if (actor := actors[row.account_id]) is not None]

        def write(session: Session) -> int:
            events = self.subscriptions.outbox.number(session)
            for event in events:
                for row, actor in offered:
                    if wanted(row, event) and (event.kind == TEST_KIND or self.subscriptions.may_see(session, actor, event)):
                        session.add(self._new(row, event))
            session.flush()
            crash_point("call-back.handed-out-uncommitted")
            return len(events)

        return self.db.run(write)

    def _account(self, account_id: str) -> Actor | None:
        """The account as it is now; None for one that may not act any more."""
        try:
            found = self._accounts(account_id)
        except NotFound:
            return None
        return found if getattr(found, "status", "active") == "active" else None

    def _new(self, row: SubscriptionRow, event: EventRow) -> DeliveryRow:
        now = self._now()
        return DeliveryRow(
            id=new_id("delivery"),
            region=row.region,
            subscription_id=row.id,
            event_id=event.id,
            status="waiting",
            attempts=0,
            next_at=now,
            created_at=now,
        )

    # -- delivering -----------------------------------------------------------------------------------------------------

    def deliver(self) -> int:
        """Push what is due, receivers side by side; how many were taken."""
        claimed = self._claim()
        if not claimed:
            return 0
        groups: dict[str, list[Parcel]] = {}
        for parcel in claimed:
            groups.setdefault(parcel.subscription.id, []).append(parcel)
        may_hear = {row.account_id: self._account(row.account_id) is not None for row in (p.subscription for p in claimed)}
        told = [group for group in groups.values() if may_hear[group[0].subscription.account_id]]
        signer = self._signer()
        with ThreadPoolExecutor(_AT_ONCE, "call-back") as pool:
            return sum(pool.map(lambda group: self._deliver_to_one(group, signer), told))

    def _claim(self) -> list[Parcel]:
        now = self._now()
        rank = sa.func.row_number().over(partition_by=DeliveryRow.subscription_id, order_by=_MOST_TRIED).label("n")
        due = (
            sa.select(DeliveryRow.id, rank)
            .join(EventRow, EventRow.id == DeliveryRow.event_id)
            .where(DeliveryRow.status == "waiting", DeliveryRow.next_at <= now)
            .subquery()
        )
        with self.db.read() as session:
            if session.scalar(sa.select(due.c.id).limit(1)) is None:
                return []

        def write(session: Session) -> list[Parcel]:
            rows = session.execute(
                sa.select(DeliveryRow, SubscriptionRow, EventRow)
                .join(due, due.c.id == DeliveryRow.id)
                .join(SubscriptionRow, SubscriptionRow.id == DeliveryRow.subscription_id)
                .join(EventRow, EventRow.id == DeliveryRow.event_id)
                .where(due.c.n <= _A_RECEIVER, SubscriptionRow.status == "active")
                .order_by(*_MOST_TRIED)
                .limit(_AT_ONCE * _A_RECEIVER)
            ).all()
            for delivery, _, _ in rows:
                delivery.next_at = now + _LEASE
                delivery.first_at = delivery.first_at or now
            return [Parcel(delivery, subscription, Event.of(event)) for delivery, subscription, event in rows]

        return self.db.run(write)

    def _deliver_to_one(self, parcels: Sequence[Parcel], signer: Signer) -> int:
        """One receiver's parcels in turn; how many were taken.

        One that fails may be a notice that this receiver chokes on, so another is tried; when that fails too, the receiver is
        down, and everything for it waits as long as the first.
        """
        taken, until = 0, None
        for number, parcel in enumerate(parcels):
            error, final = self._push(parcel, signer)
            crash_point("call-back.pushed")
            if error is None:
                self._record_taken(parcel)
                taken, until = taken + 1, None
                continue
            down = until or (None if final else self._backing_off(parcels))
            if down is not None:
                self._postpone(parcels[number:], down)
                break
            until = self._record_failure(parcel, error, final)
        return taken

    def _backing_off(self, parcels: Sequence[Parcel]) -> datetime | None:
        """Until when an earlier notice to this receiver waits, which failed and is not among these."""
        earlier = sa.select(sa.func.min(DeliveryRow.next_at)).where(
            DeliveryRow.subscription_id == parcels[0].subscription.id,
            DeliveryRow.status == "waiting",
            DeliveryRow.attempts > 0,
            DeliveryRow.next_at > self._now(),
            DeliveryRow.id.not_in([parcel.delivery.id for parcel in parcels]),
        )
        with self.db.read() as session:
            return session.scalar(earlier)

    def _push(self, parcel: Parcel, signer: Signer) -> tuple[str | None, bool]:
        """What went wrong, None where it was taken, and whether trying again is of no use."""
        url = parcel.subscription.url
        try:
            token = event_token(
                parcel.event,
                issuer=self.issuer,
                audience=parcel.subscription.audience,
                token_id=parcel.delivery.id,
                now=self._now(),
                signer=signer,
            )
            _, host, port = endpoint(url)
            fetcher = Fetcher(
                [f"{host}:{port}"],
                private_hosts=self.subscriptions.private_hosts & {host, f"{host}:{port}"},
                limits=Limits(size=65_536, time=float(CALL_BACK_SECONDS), redirects=0),
                resolver=self._resolver,
                tls=self._tls,
            )
            answer = fetcher.post(
                url, token.encode(), content_type=MEDIA_TYPE, accept="application/json", statuses=(*_TAKEN, 400)
            )
        except XinyinError as exc:
            return f"{exc.code}: {exc.message}"[:500], False
        except Exception:  # a fault of our own is tried again and given up like one of theirs
            log.exception("call-back %s to %s", parcel.delivery.id, parcel.subscription.id)
            return "internal: see the worker's log", False
        if answer.status in _TAKEN:
            return None, False
        return _refusal(answer)

    # -- what came of it ------------------------------------------------------------------------------------------------

    def _record_taken(self, parcel: Parcel) -> None:
        def write(session: Session) -> None:
            row = session.get_one(DeliveryRow, parcel.delivery.id)
            if row.status != "waiting":
                return
            row.status, row.error, row.ended_at = "delivered", None, self._now()
            row.attempts += 1
            self._leaf(session, "subscription.delivered", parcel, {"attempts": row.attempts})

        self.db.run(write)

    def _record_failure(self, parcel: Parcel, error: str, final: bool) -> datetime | None:
        """When it is tried again, None where it is given up."""

        def write(session: Session) -> datetime | None:
            now = self._now()
            row = session.get_one(DeliveryRow, parcel.delivery.id)
            if row.status != "waiting":
                return None
            row.attempts += 1
            row.error = error
            if final or now - (row.first_at or now) >= CALL_BACK_GIVE_UP:
                row.status, row.ended_at = "dead", now
                self._leaf(session, "subscription.given-up", parcel, {"attempts": row.attempts})
                return None
            pause = min(CALL_BACK_FIRST_PAUSE * 2 ** min(row.attempts - 1, 16), CALL_BACK_LONGEST_PAUSE)
            row.next_at = now + pause * random.uniform(0.75, 1.0)  # noqa: S311 - spreads retries, guards nothing
            return row.next_at

        again = self.db.run(write)
        log.info("call-back %s to %s: %s", parcel.delivery.id, parcel.subscription.id, error)
        return again

    def _postpone(self, parcels: Sequence[Parcel], until: datetime) -> None:
        """These, and whatever else is due for the same receiver, wait as well."""
        due = sa.or_(DeliveryRow.id.in_([parcel.delivery.id for parcel in parcels]), DeliveryRow.next_at <= self._now())
        of_receiver = DeliveryRow.subscription_id == parcels[0].subscription.id
        statement = sa.update(DeliveryRow).where(of_receiver, DeliveryRow.status == "waiting", due)
        self.db.run(lambda session: session.execute(statement.values(next_at=until)))

    def _leaf(self, session: Session, kind: str, parcel: Parcel, data: dict[str, int]) -> None:
        about = {name: parcel.event.subject[name] for name in _IN_HISTORY & parcel.event.subject.keys()}
        subject = {**about, "subscription": parcel.subscription.id, "event": parcel.event.id}
        told = {"kind": parcel.event.kind, "jti": parcel.delivery.id}
        self.audit.append(session, kind=kind, actor=ACTOR, subject=subject, data={**told, **data})


def _refusal(answer: Answer) -> tuple[str, bool]:
    """The receiver's error (RFC 8935 §2.3) in a line, and whether it is its last word."""
    try:
        said = json.loads(answer.data)
        code, text = str(said["err"]), str(said.get("description", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "refused: status 400 without a reason", True
    line = re.sub(r"[^\w.,:;()/'\" -]", " ", f"refused: {code}: {text}")
    return line[:500], code not in _HEALING
