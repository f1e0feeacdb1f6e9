"""Standing in for somebody who is away (代签授权).

A delegation lends some roles of one person to another, in a department and those below it, for some matters or all, for a time.
It never gives more than the lender has at the moment of use (``people.room.account_of`` cuts it down), cannot be passed on, and
ends at once when it is withdrawn, runs out, or the lender loses the post or the account. Officers, auditors and administrators
do not lend what they are, and an auditor stands in for nobody: whoever looks on does not act.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from people.errors import BadDelegation, NoSuchDelegation
from people.models import AccountRow, DelegationRow
from people.room import Room, find, reach
from people.schemas import DELEGABLE_ROLES, Delegation
from policies.limits import DELEGATION_LONGEST
from store.ids import new_id

_MATTER = re.compile(r"[\w.:-]{1,64}\Z")


class DelegationService(Room):
    """Delegations of one region. Who may grant and withdraw the callers ask of the rules (``people.delegate``)."""

    def grant(
        self,
        from_account: str,
        to_account: str,
        *,
        roles: Collection[str],
        until: datetime,
        department: str | None = None,
        matters: Collection[str] = (),
        since: datetime | None = None,
        reason: str = "",
        actor: str,
        rule: str | None = None,
    ) -> Delegation:
        """Let ``to_account`` stand in for ``from_account`` (names or identifiers).

        :param roles: some of the lender's, none of officer, auditor, administrator
        :param department: where; the lender's own if None, else one of those below it
        :param matters: codes of the matters; empty: every matter
        :param since: from now on if None
        :param until: at most half a year after ``since``
        :raises BadDelegation: any of this does not fit; the message says which and what to do
        :raises NoSuchAccount: one of the two is nobody
        """
        now = self._now()
        begins = max(since or now, now)
        _check_time(begins, until)
        codes = sorted({one.strip() for one in matters if one.strip()})
        if not all(_MATTER.match(one) for one in codes):
            raise _bad("a matter is named by its code", "事项须填写代码")
        if len(reason) > 500:
            raise _bad("the reason has 500 characters at most", "说明不得超过 500 字")

        def insert(session: Session) -> Delegation:
            lender, delegate = find(session, from_account), find(session, to_account)
            _check_people(lender, delegate)
            lent = _lendable(lender, roles)
            where = department or lender.department_id
            if where is None or where not in reach(session, lender.department_id):
                raise _bad("the lender has no say in that department", "授权人对该部门没有职权")
            row = DelegationRow(
                id=new_id("delegation"),
                region=self.region,
                from_account=lender.id,
                to_account=delegate.id,
                roles=lent,
                department_id=where,
                matters=codes,
                reason=reason.strip(),
                since=begins,
                until=until,
                created_by=actor,
                created_at=now,
            )
            session.add(row)
            session.flush()
            # The reason is in words of people and stays out of the log.
            data = {
                "roles": lent,
                "department": where,
                "matters": codes,
                "since": begins.isoformat(timespec="seconds"),
                "until": until.isoformat(timespec="seconds"),
            }
            subject = {"delegation": row.id, "from": lender.id, "to": delegate.id}
            self._leaf(session, "people.delegated", actor, subject, data, rule)
            return _shown(row, now)

        return self.db.run(insert)

    def withdraw(self, delegation_id: str, *, actor: str, rule: str | None = None) -> Delegation:
        """End it at once; ending one that has ended changes nothing.

        :raises NoSuchDelegation: there is none
        """

        def end(session: Session) -> Delegation:
            row = self._row(session, delegation_id)
            now = self._now()
            if row.withdrawn_at is None and row.until > now:
                row.withdrawn_at, row.withdrawn_by = now, actor
                subject = {"delegation": row.id, "from": row.from_account, "to": row.to_account}
                self._leaf(session, "people.delegation-withdrawn", actor, subject, {}, rule)
            return _shown(row, now)

        return self.db.run(end)

    def get(self, delegation_id: str) -> Delegation:
        """:raises NoSuchDelegation: there is none"""
        with self.db.read() as session:
            return _shown(self._row(session, delegation_id), self._now())

    def list(
        self, account_id: str | None = None, *, open_only: bool = False, limit: int = 100, after: str | None = None
    ) -> tuple[Delegation, ...]:
        """Newest first; those that an account gave or holds, or all.

        :param open_only: without those that ran out or were withdrawn
        :param after: the last one already seen
        """
        now = self._now()
        wanted = sa.select(DelegationRow).where(DelegationRow.region == self.region)
        if account_id is not None:
            wanted = wanted.where(sa.or_(DelegationRow.from_account == account_id, DelegationRow.to_account == account_id))
        if open_only:
            wanted = wanted.where(DelegationRow.withdrawn_at.is_(None), DelegationRow.until > now)
        if after:
            wanted = wanted.where(DelegationRow.id < after)
        with self.db.read() as session:
            return tuple(_shown(row, now) for row in session.scalars(wanted.order_by(DelegationRow.id.desc()).limit(limit)))

    def withdraw_of(
        self, session: Session, account_id: str, *, roles: Collection[str], held: bool, actor: str, now: datetime
    ) -> int:
        """End, in the caller's transaction, what an account lent of ``roles`` and, with ``held``, what it holds; how many."""
        mine = DelegationRow.from_account == account_id
        rows = session.scalars(
            sa.select(DelegationRow).where(
                sa.or_(mine, DelegationRow.to_account == account_id) if held else mine,
                DelegationRow.withdrawn_at.is_(None),
                DelegationRow.until > now,
            )
        )
        ended = [row for row in rows if row.to_account == account_id or set(row.roles) & set(roles)]
        for row in ended:
            row.withdrawn_at, row.withdrawn_by = now, actor
            subject = {"delegation": row.id, "from": row.from_account, "to": row.to_account}
            self._leaf(session, "people.delegation-withdrawn", actor, subject, {"because": "post handed over"})
        return len(ended)

    def _row(self, session: Session, delegation_id: str) -> DelegationRow:
        row = session.get(DelegationRow, delegation_id)
        if row is None or row.region != self.region:
            raise self.none()
        return row

    @staticmethod
    def none() -> NoSuchDelegation:
        """What is said of a delegation that is not there, or that the caller may not know of."""
        return NoSuchDelegation("There is no such delegation; look at the list again.", "没有该代签授权；请刷新列表后再试。")


def _check_time(begins: datetime, until: datetime) -> None:
    if until <= begins:
        raise _bad("it would end before it begins", "结束时间早于开始时间")
    if until - begins > DELEGATION_LONGEST:
        days = DELEGATION_LONGEST // timedelta(days=1)
        raise _bad(f"it lasts {days} days at most; for longer hand the post over", f"期限最长 {days} 天；更久请办理岗位交接")


def _check_people(lender: AccountRow, delegate: AccountRow) -> None:
    if lender.id == delegate.id:
        raise _bad("nobody stands in for themselves", "不能授权给本人")
    for one in (lender, delegate):
        if one.kind != "staff" or one.status != "active":
            raise _bad(f"{one.display_name} is not a member of staff in service", f"{one.display_name}不是在岗工作人员")
    if "auditor" in delegate.roles:
        raise _bad("an auditor stands in for nobody", "审计员不得代签")


def _lendable(lender: AccountRow, roles: Collection[str]) -> list[str]:
    wanted = set(roles)
    if not wanted:
        raise _bad("choose at least one role", "请至少选择一个角色")
    missing = wanted - set(lender.roles)
    if missing:
        raise _bad("only roles that the person has can be lent", "只能授出本人拥有的角色")
    if wanted - DELEGABLE_ROLES:
        raise _bad("officers, auditors and administrators act themselves", "密钥管理员、审计员与系统管理员不得授权他人代行")
    return sorted(wanted)


def _shown(row: DelegationRow, now: datetime) -> Delegation:
    status = (
        "withdrawn"
        if row.withdrawn_at is not None
        else "ended"
        if row.until <= now
        else "planned"
        if row.since > now
        else "active"
    )
    return Delegation(
        row.id,
        status,
        row.from_account,
        row.to_account,
        tuple(row.roles),
        row.department_id,
        tuple(row.matters),
        row.reason,
        row.since,
        row.until,
        row.created_by,
        row.created_at,
        row.withdrawn_at,
    )


def _bad(why: str, why_zh: str) -> BadDelegation:
    return BadDelegation(f"This delegation cannot be made: {why}.", f"无法办理代签授权：{why_zh}。")
