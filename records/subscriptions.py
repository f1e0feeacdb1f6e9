"""What other systems are told of: their subscriptions, the events, and what could not be delivered."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from formats.dates import shown_time
from net.errors import BadAddress
from net.fetch import endpoint
from people.models import DepartmentRow
from people.schemas import Actor
from policies.authorise import Authoriser
from policies.limits import SUBSCRIPTIONS
from records.models import DeliveryRow, SubscriptionRow
from records.reliance import relied, relied_events
from records.schemas import BadSubscription, NoSuchEvent, NoSuchSubscription, SubscriptionStateRefused
from seals.schemas import Page, page_of
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id
from store.models import EventRow
from store.outbox import Event, Outbox

TEST_KIND = "subscription.tested"
_KIND = re.compile(r"[a-z][a-z-]*\.(\*|[a-z][a-z-]*)")


class SubscriptionService:
    """Subscriptions of systems, and the events that they, and people, may read.

    :param private_hosts: ``name`` or ``name:port`` that may lie on a private address and be reached without TLS (``node.toml``)
    """

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        authoriser: Authoriser,
        outbox: Outbox,
        region: str,
        *,
        private_hosts: Collection[str] = (),
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.audit = audit
        self.authoriser = authoriser
        self.outbox = outbox
        self.region = region
        self.private_hosts = frozenset(name.lower() for name in private_hosts)
        self._now = now

    # -- subscriptions --------------------------------------------------------------------------------------------------

    def subscribe(
        self,
        actor: Actor,
        *,
        url: str,
        kinds: Collection[str] = (),
        department: str | None = None,
        matter: str | None = None,
        seal_id: str | None = None,
        audience: str | None = None,
    ) -> dict[str, Any]:
        """Have events posted to ``url``; those of the caller's departments, and of documents that it verified here.

        :param kinds: ``impression.voided`` or ``impression.*``; empty: all
        :param department: of these only this one's (identifier or social credit code)
        :param audience: ``aud`` of the tokens; the address by default
        :raises NotAllowed: no system, or another department
        :raises BadSubscription: an address that cannot be used, a kind that is none, or too many subscriptions
        """
        rule = self.authoriser.require(actor, "subscription.create", self._facts("", department or "", actor.id)).rule
        self._check_url(url)
        department = self._as_in_events(department)
        if len(kinds) > 64 or not all(_KIND.fullmatch(kind) and len(kind) <= 64 for kind in kinds):
            raise BadSubscription(
                "Kinds are written impression.voided, or impression.* for all of a room; at most 64.",
                "事件类型写作 impression.voided，或以 impression.* 表示一类；最多 64 项。",
            )

        def write(session: Session) -> SubscriptionRow:
            self._check_number(session, actor)
            row = SubscriptionRow(
                id=new_id("subscription"),
                region=self.region,
                account_id=actor.id,
                url=url,
                audience=(audience or url)[:255],
                kinds=sorted(set(kinds)),
                department=department,
                matter=matter,
                seal_id=seal_id,
                status="active",
                created_at=self._now(),
            )
            session.add(row)
            data = {"url": _digest(url), "kinds": row.kinds, "department": department, "matter": matter, "seal": seal_id}
            self._leaf(session, "subscription.created", actor, row, data, rule)
            return row

        return _shown(self.db.run(write))

    def list(self, actor: Actor, *, limit: int = 100, cursor: str | None = None) -> Page[dict[str, Any]]:
        """Newest first, those that the caller may see."""
        self.authoriser.require(actor, "subscription.list")
        statement = sa.select(SubscriptionRow).where(SubscriptionRow.region == self.region)
        statement = statement.order_by(SubscriptionRow.id.desc()).limit(limit + 1)
        if cursor:
            statement = statement.where(SubscriptionRow.id < cursor)
        with self.db.read() as session:
            rows = session.scalars(statement).all()
        return page_of(rows, limit, lambda row: str(row.id), lambda row: _shown(row) if self._sees(actor, row) else None)

    def show(self, actor: Actor, subscription_id: str) -> dict[str, Any]:
        """One subscription with how many deliveries wait, arrived and were given up.

        :raises NoSuchSubscription: none that the caller may know of
        """
        with self.db.read() as session:
            row = self._row(session, actor, subscription_id)
            counts = sa.select(DeliveryRow.status, sa.func.count()).where(DeliveryRow.subscription_id == row.id)
            found = {status: number for status, number in session.execute(counts.group_by(DeliveryRow.status))}  # noqa: C416
        return _shown(row) | {"deliveries": {status: found.get(status, 0) for status in ("waiting", "delivered", "dead")}}

    def end(self, actor: Actor, subscription_id: str) -> dict[str, Any]:
        """Send nothing more; what waits is given up. Ending one that is over is no error."""

        def write(session: Session) -> SubscriptionRow:
            row = self._row(session, actor, subscription_id)
            rule = self.authoriser.require(actor, "subscription.end", self._facts_of(row)).rule
            if row.status == "active":
                row.status, row.ended_at = "ended", self._now()
                waiting = sa.update(DeliveryRow).where(DeliveryRow.subscription_id == row.id, DeliveryRow.status == "waiting")
                session.execute(waiting.values(status="dead", error="subscription-ended", ended_at=self._now()))
                self._leaf(session, "subscription.ended", actor, row, {}, rule)
            return row

        return _shown(self.db.run(write))

    def test(self, actor: Actor, subscription_id: str) -> dict[str, Any]:
        """Have a notice of the kind ``subscription.tested`` sent to this subscription alone; the event."""

        def write(session: Session) -> EventRow:
            row = self._row(session, actor, subscription_id)
            rule = self.authoriser.require(actor, "subscription.retry", self._facts_of(row)).rule
            _demand_active(row)
            event_id = self.outbox.add(session, TEST_KIND, {"subscription": row.id}, {})
            self._leaf(session, TEST_KIND, actor, row, {"event": event_id}, rule)
            return session.get_one(EventRow, event_id)

        return Event.of(self.db.run(write)).to_dict()

    # -- deliveries -----------------------------------------------------------------------------------------------------

    def deliveries(
        self, actor: Actor, subscription_id: str, *, status: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[dict[str, Any]]:
        """Newest first; ``status="dead"`` is the list of what could not be delivered."""
        with self.db.read() as session:
            row = self._row(session, actor, subscription_id)
            statement = (
                sa.select(DeliveryRow, EventRow.kind)
                .join(EventRow, EventRow.id == DeliveryRow.event_id)
                .where(DeliveryRow.subscription_id == row.id)
                .order_by(DeliveryRow.id.desc())
                .limit(limit + 1)
            )
            if status:
                statement = statement.where(DeliveryRow.status == status)
            if cursor:
                statement = statement.where(DeliveryRow.id < cursor)
            rows = session.execute(statement).all()
        return page_of(rows, limit, lambda pair: str(pair[0].id), lambda pair: _delivery(*pair))

    def retry(self, actor: Actor, subscription_id: str, delivery_id: str) -> dict[str, Any]:
        """Try a delivery again that was given up.

        :raises SubscriptionStateRefused: it is not given up, or the subscription has ended
        """

        def write(session: Session) -> tuple[DeliveryRow, str]:
            row = self._row(session, actor, subscription_id)
            rule = self.authoriser.require(actor, "subscription.retry", self._facts_of(row)).rule
            _demand_active(row)
            found = session.get(DeliveryRow, delivery_id)
            if found is None or found.subscription_id != row.id:
                raise _none(delivery_id)
            if found.status != "dead":
                raise SubscriptionStateRefused(
                    f"The delivery is {found.status}; only one that was given up is tried again.",
                    "该通知尚未放弃投递，无须重试。",
                    status=found.status,
                )
            found.status, found.next_at, found.first_at, found.ended_at = "waiting", self._now(), None, None
            self._leaf(session, "subscription.retried", actor, row, {"delivery": found.id, "event": found.event_id}, rule)
            return found, session.get_one(EventRow, found.event_id).kind

        return _delivery(*self.db.run(write))

    # -- events ---------------------------------------------------------------------------------------------------------

    def events(
        self, actor: Actor, *, kind: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[dict[str, Any]]:
        """Oldest first, those that the caller may see. Nothing is missed by asking again with the last ``seq`` as cursor.

        :param cursor: the ``seq`` of the last event already seen
        """
        self.authoriser.require(actor, "event.list")
        statement = (
            sa.select(EventRow)
            .where(EventRow.region == self.region, EventRow.seq > _number(cursor))
            .order_by(EventRow.seq)
            .limit(limit + 1)
        )
        if kind:
            statement = statement.where(
                EventRow.kind.startswith(kind[:-1], autoescape=True) if kind.endswith(".*") else EventRow.kind == kind
            )
        if actor.kind != "local-operator" and "auditor" not in actor.roles:
            statement = statement.where(sa.or_(EventRow.department.in_(sorted(actor.departments)), relied_events(actor.id)))
        with self.db.read() as session:
            rows = session.scalars(statement).all()
            return page_of(
                rows,
                limit,
                lambda row: str(row.seq),
                lambda row: Event.of(row).to_dict() if self.may_see(session, actor, row) else None,
            )

    def event(self, actor: Actor, event_id: str) -> dict[str, Any]:
        """:raises NoSuchEvent: none that the caller may know of"""
        with self.db.read() as session:
            row = session.get(EventRow, event_id)
            if row is None or row.region != self.region or not self.may_see(session, actor, row):
                raise NoSuchEvent("There is no such event.", "没有该事件。", event=event_id[:64])
            return Event.of(row).to_dict()

    def may_see(self, session: Session, actor: Actor, row: EventRow) -> bool:
        """What the rules say: the department's own, or a document that the actor relied on."""
        facts = {
            "id": row.id,
            "region": row.region,
            "department": row.department or "",
            "kind": row.kind,
            "relied": actor.kind == "system" and relied(session, actor.id, row),
        }
        return self.authoriser.decide(actor, "event.show", facts).allowed

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _check_url(self, url: str) -> None:
        try:
            scheme, host, port = endpoint(url)
        except BadAddress as exc:
            raise BadSubscription(
                "The address must be a whole https address without a name or password in it.",
                "回调地址须为完整的 https 地址，且不得包含用户名或密码。",
            ) from exc
        if scheme != "https" and not {host, f"{host}:{port}"} & self.private_hosts:
            raise BadSubscription(
                "Notices are sent over https; the operator may allow http for a host of this network in node.toml.",
                "通知仅通过 https 发送；本网内主机如须使用 http，请由运维人员在 node.toml 中列明。",
                host=host,
            )

    def _as_in_events(self, department: str | None) -> str | None:
        """A department as events name it: by its social credit code where it has one, else by its identifier."""
        if department is None:
            return None
        with self.db.read() as session:
            code = session.scalar(sa.select(DepartmentRow.uscc).where(DepartmentRow.id == department))
        return code or department

    def _check_number(self, session: Session, actor: Actor) -> None:
        active = sa.select(sa.func.count()).where(SubscriptionRow.account_id == actor.id, SubscriptionRow.status == "active")
        if (session.scalar(active) or 0) >= SUBSCRIPTIONS:
            raise BadSubscription(
                f"A system has at most {SUBSCRIPTIONS} subscriptions; end one first.",
                f"每个系统最多 {SUBSCRIPTIONS} 项订阅；请先结束其中一项。",
            )

    def _row(self, session: Session, actor: Actor, subscription_id: str) -> SubscriptionRow:
        row = session.get(SubscriptionRow, subscription_id)
        if row is None or row.region != self.region or not self._sees(actor, row):
            raise _none(subscription_id)
        return row

    def _sees(self, actor: Actor, row: SubscriptionRow) -> bool:
        return self.authoriser.decide(actor, "subscription.show", self._facts_of(row)).allowed

    def _facts_of(self, row: SubscriptionRow) -> dict[str, Any]:
        return self._facts(row.id, row.department or "", row.account_id)

    def _facts(self, subscription_id: str, department: str, account: str) -> dict[str, Any]:
        return {"id": subscription_id, "region": self.region, "department": department, "account": account}

    def _leaf(self, session: Session, kind: str, actor: Actor, row: SubscriptionRow, data: dict[str, Any], rule: str) -> None:
        subject = {"subscription": row.id, "account": row.account_id}
        self.audit.append(session, kind=kind, actor=actor.id, subject=subject, data=data, rule=rule)


def wanted(row: SubscriptionRow, event: EventRow) -> bool:
    """Whether a subscription asks for this event; whether it may have it is another question."""
    if event.kind == TEST_KIND:
        return event.subject.get("subscription") == row.id
    named = not row.kinds or any(
        event.kind == kind or (kind.endswith(".*") and event.kind.startswith(kind[:-1])) for kind in row.kinds
    )
    return (
        named
        and row.department in (None, event.department)
        and row.matter in (None, event.matter)
        and row.seal_id in (None, event.seal_id)
    )


def _number(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise BadSubscription("The cursor is the seq of the last event seen.", "cursor 为已读最后一个事件的 seq。")
    return int(cursor)


def _demand_active(row: SubscriptionRow) -> None:
    if row.status != "active":
        raise SubscriptionStateRefused("The subscription has ended; make a new one.", "该订阅已结束；请重新订阅。")


def _none(subscription_id: str) -> NoSuchSubscription:
    return NoSuchSubscription("There is no such subscription or delivery.", "没有该订阅或投递记录。", id=subscription_id[:64])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _shown(row: SubscriptionRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "account": row.account_id,
        "url": row.url,
        "audience": row.audience,
        "kinds": row.kinds,
        "department": row.department,
        "matter": row.matter,
        "seal_id": row.seal_id,
        "created_at": shown_time(row.created_at),
        "ended_at": shown_time(row.ended_at) if row.ended_at else None,
    }


def _delivery(row: DeliveryRow, kind: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "event": row.event_id,
        "kind": kind,
        "attempts": row.attempts,
        "next_at": shown_time(row.next_at) if row.status == "waiting" else None,
        "error": row.error,
        "created_at": shown_time(row.created_at),
        "ended_at": shown_time(row.ended_at) if row.ended_at else None,
    }
