"""What every service of this room shares: database, log, region and clock; accounts as rows and as others see them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from people.errors import BadAccount, NameTaken, NoSuchAccount, NoSuchDepartment, RolesExclude
from people.models import AccountRow, DelegationRow, DepartmentRow
from people.schemas import DELEGABLE_ROLES, EXCLUSIVE_ROLES, ROLES, Account, Actor, ActorKind
from store.audit import AuditLog
from store.db import Database, utc_now

T = TypeVar("T")


class Room:
    """Database, audit log, region and clock."""

    def __init__(self, db: Database, audit: AuditLog, region: str, *, now: Callable[[], datetime] = utc_now) -> None:
        self.db = db
        self.audit = audit
        self.region = region
        self._now = now

    def _leaf(
        self,
        session: Session,
        kind: str,
        actor: str,
        subject: Mapping[str, str],
        data: Mapping[str, Any],
        rule: str | None = None,
    ) -> None:
        self.audit.append(session, kind=kind, actor=actor, subject=subject, data=data, rule=rule)

    def _unique(self, work: Callable[[Session], T], name: str) -> T:
        try:
            return self.db.run(work)
        except IntegrityError as exc:
            raise NameTaken(
                f"{name} or its code is in use already; choose another.", f"{name} 或其代码已被使用；请另选。", name=name
            ) from exc


def find(session: Session, name_or_id: str) -> AccountRow:
    """:raises NoSuchAccount: none has this name or identifier"""
    row = session.scalars(
        sa.select(AccountRow).where(sa.or_(AccountRow.id == name_or_id, AccountRow.name == name_or_id))
    ).one_or_none()
    if row is None:
        raise NoSuchAccount(
            f"There is no account {name_or_id[:64]}; list the accounts or create it.",
            f"没有账户 {name_or_id[:64]}；请查看账户列表或先创建。",
        )
    return row


def account_of(session: Session, row: AccountRow, now: datetime | None = None) -> Account:
    """The account; with ``now`` as it may act at that moment, standing in for others."""
    return Account(
        id=row.id,
        name=row.name,
        roles=frozenset(row.roles),
        department=row.department_id,
        region=row.region,
        kind=cast(ActorKind, row.kind),
        departments=reach(session, row.department_id),
        display_name=row.display_name,
        status=row.status,
        created_at=row.created_at,
        stand_ins=_stand_ins(session, row, now) if now is not None and row.kind == "staff" else (),
    )


def _stand_ins(session: Session, row: AccountRow, now: datetime) -> tuple[Actor, ...]:
    """One actor a delegation in force: no more than the person stood in for may do at this very moment."""
    rows = session.execute(
        sa.select(DelegationRow, AccountRow)
        .join(AccountRow, AccountRow.id == DelegationRow.from_account)
        .where(
            DelegationRow.to_account == row.id,
            DelegationRow.withdrawn_at.is_(None),
            DelegationRow.since <= now,
            DelegationRow.until > now,
            AccountRow.status == "active",
        )
        .order_by(DelegationRow.id)
    )
    found = []
    for delegation, absent in rows:
        departments = reach(session, delegation.department_id) & reach(session, absent.department_id)
        roles = DELEGABLE_ROLES.intersection(delegation.roles, absent.roles)
        if roles and departments:
            found.append(
                Actor(
                    id=row.id,
                    name=row.name,
                    roles=roles,
                    department=delegation.department_id,
                    region=row.region,
                    kind=cast(ActorKind, row.kind),
                    departments=departments,
                    on_behalf_of=absent.id,
                    delegation=delegation.id,
                    matters=frozenset(delegation.matters),
                )
            )
    return tuple(found)


def reach(session: Session, department: str | None) -> frozenset[str]:
    """Identifiers and social credit codes of a department and all below it."""
    if department is None:
        return frozenset()
    below = sa.select(DepartmentRow.id, DepartmentRow.uscc).where(DepartmentRow.id == department).cte("below", recursive=True)
    below = below.union(sa.select(DepartmentRow.id, DepartmentRow.uscc).join(below, DepartmentRow.parent_id == below.c.id))
    return frozenset(value for pair in session.execute(sa.select(below.c.id, below.c.uscc)) for value in pair if value)


def digest(secret: str) -> str:
    """SHA-256 of a secret of full entropy: how it is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def bad_account(why: str, why_zh: str) -> BadAccount:
    return BadAccount(f"This cannot be saved: {why}.", f"无法保存：{why_zh}。")


def no_department(department: str) -> NoSuchDepartment:
    return NoSuchDepartment(
        f"There is no department {department[:64]}; list the departments or create it.",
        f"没有部门 {department[:64]}；请查看部门列表或先创建。",
    )


def checked_roles(roles: Collection[str]) -> list[str]:
    unknown = set(roles) - set(ROLES)
    if unknown:
        raise bad_account(
            f"there is no role {', '.join(sorted(unknown))}; the roles are {', '.join(ROLES)}",
            f"没有该角色；可用角色：{'、'.join(ROLES)}",
        )
    if len(EXCLUSIVE_ROLES & set(roles)) > 1:
        raise RolesExclude(
            "Officer, auditor and administrator exclude one another; give them to different people.",
            "密钥管理员、审计员与系统管理员互斥；请分别授予不同人员。",
            roles=sorted(EXCLUSIVE_ROLES & set(roles)),
        )
    return sorted(set(roles))
