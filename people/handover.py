"""Handing a post over (岗位交接): roles and open work pass to a successor, and nothing of the old post stays open."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from people.delegations import DelegationService
from people.errors import BadHandOver
from people.models import AccountRow, ApiTokenRow, ClientKeyRow, HandOverRow, SessionRow
from people.room import Room, checked_roles, find
from people.schemas import HandOver
from store.audit import AuditLog
from store.db import Database
from store.ids import new_id


class OpenWork(Protocol):
    """Work that lies with a person; a room that keeps such work registers one of these in ``HandOverService.work``."""

    def __call__(self, session: Session, from_account: str, to_account: str, *, actor: str) -> int:
        """Move what is open, in the caller's transaction, each piece with its audit leaf; how many pieces."""
        ...


class HandOverService(Room):
    """Hand-overs of one region. Who may the callers ask of the rules (``people.hand-over``).

    :ivar work: what moves along, by kind: ``work["applications"] = …``
    """

    def __init__(
        self, db: Database, audit: AuditLog, region: str, delegations: DelegationService, *, now: Callable[[], datetime]
    ) -> None:
        super().__init__(db, audit, region, now=now)
        self.delegations = delegations
        self.work: dict[str, OpenWork] = {}

    def hand_over(
        self,
        from_account: str,
        to_account: str,
        *,
        roles: Collection[str] | None = None,
        leaves: bool = False,
        reason: str = "",
        actor: str,
        rule: str | None = None,
    ) -> HandOver:
        """The post of ``from_account`` passes to ``to_account`` (names or identifiers), in one transaction.

        The roles move, open work moves, every session of the old holder ends, delegations given out of the post end. The
        successor takes over the department if they have none yet.

        :param roles: which; all of the old holder's if None
        :param leaves: the old account is disabled as well, and its tokens and keys with it
        :raises BadHandOver: the two are one, not in service, or of different departments; or there is nothing to hand over
        :raises RolesExclude: the successor would have two of officer, auditor, administrator
        """
        if len(reason) > 500:
            raise _bad("the reason has 500 characters at most", "说明不得超过 500 字")

        def pass_on(session: Session) -> HandOver:
            now = self._now()
            old, new = find(session, from_account), find(session, to_account)
            moving = _moving(old, new, roles)
            new.roles = checked_roles({*new.roles, *moving})
            old.roles = sorted(set(old.roles) - set(moving))
            new.department_id = new.department_id or old.department_id
            old.updated_at = new.updated_at = now
            session.execute(sa.delete(SessionRow).where(SessionRow.account_id == old.id))
            ended = self.delegations.withdraw_of(session, old.id, roles=moving, held=leaves, actor=actor, now=now)
            moved = {kind: move(session, old.id, new.id, actor=actor) for kind, move in sorted(self.work.items())}
            if leaves:
                _disable(session, old, now)
            row = HandOverRow(
                id=new_id("handover"),
                region=self.region,
                from_account=old.id,
                to_account=new.id,
                roles=moving,
                reason=reason.strip(),
                moved=moved,
                at=now,
                by=actor,
            )
            session.add(row)
            data = {"roles": moving, "moved": moved, "delegations_ended": ended, "leaves": leaves}
            subject = {"hand_over": row.id, "from": old.id, "to": new.id}
            self._leaf(session, "people.handed-over", actor, subject, data, rule)
            return _shown(row)

        return self.db.run(pass_on)

    def list(self, account_id: str | None = None, *, limit: int = 100, after: str | None = None) -> tuple[HandOver, ...]:
        """Newest first; those of an account, or all."""
        wanted = sa.select(HandOverRow).where(HandOverRow.region == self.region)
        if account_id is not None:
            wanted = wanted.where(sa.or_(HandOverRow.from_account == account_id, HandOverRow.to_account == account_id))
        if after:
            wanted = wanted.where(HandOverRow.id < after)
        with self.db.read() as session:
            return tuple(_shown(row) for row in session.scalars(wanted.order_by(HandOverRow.id.desc()).limit(limit)))


def _moving(old: AccountRow, new: AccountRow, roles: Collection[str] | None) -> list[str]:
    if old.id == new.id:
        raise _bad("nobody succeeds themselves", "不能交接给本人")
    if old.kind != "staff" or new.kind != "staff" or new.status != "active":
        raise _bad("a post passes between members of staff, to one in service", "岗位只能在工作人员之间交接，且接任人须在岗")
    if None not in (old.department_id, new.department_id) and old.department_id != new.department_id:
        raise _bad(
            "the successor belongs to another department; move them to this one first", "接任人属于其他部门；请先将其调入本部门"
        )
    moving = set(old.roles) if roles is None else set(roles)
    if not moving or moving - set(old.roles):
        raise _bad("choose roles that the old holder has", "请选择移交人拥有的角色")
    return sorted(moving)


def _disable(session: Session, old: AccountRow, now: datetime) -> None:
    old.status = "disabled"
    tokens = sa.update(ApiTokenRow).where(ApiTokenRow.account_id == old.id, ApiTokenRow.revoked_at.is_(None))
    keys = sa.update(ClientKeyRow).where(ClientKeyRow.account_id == old.id, ClientKeyRow.revoked_at.is_(None))
    session.execute(tokens.values(revoked_at=now))
    session.execute(keys.values(revoked_at=now))


def _shown(row: HandOverRow) -> HandOver:
    return HandOver(row.id, row.from_account, row.to_account, tuple(row.roles), row.reason, dict(row.moved), row.at, row.by)


def _bad(why: str, why_zh: str) -> BadHandOver:
    return BadHandOver(f"The post cannot be handed over: {why}.", f"无法办理岗位交接：{why_zh}。")
