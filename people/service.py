"""Accounts and departments, and the one object through which other rooms reach everything about people.

:class:`AccountService` signs in with passwords (``signing_in.py``) and knows bearer tokens (``tokens.py``). What else there is
hangs on it: ``passkeys``. Every change writes an audit leaf in its own transaction; secrets are kept as digests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from functools import cached_property

import sqlalchemy as sa
from argon2 import PasswordHasher
from sqlalchemy.orm import Session

from crypto.errors import Misconfigured
from people.errors import RolesExclude
from people.models import AccountRow, DepartmentRow, SessionRow
from people.passkeys import PasskeyService
from people.room import account_of, bad_account, find, no_department
from people.schemas import EXCLUSIVE_ROLES, ROLES, Account, ActorKind, Department
from people.signing_in import SigningIn
from people.tokens import Tokens
from policies.limits import SESSION_IDLE, SESSION_LONGEST, SIGN_IN_FAILURES, SIGN_IN_LOCK
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}\Z")
LEAST_IDLE = timedelta(minutes=10)
"""No session of a page where people type ends sooner for being idle."""


class AccountService(SigningIn, Tokens):
    """Operations on people. Limits: ``policies/limits.toml``.

    :param failures: failed sign-ins under one name before it is locked for ``lock``
    :param idle: a session ends after this long without a request; never below ten minutes
    :param longest: a session ends after this long in any case
    :param base_url: the node's own address: passkeys belong to its host
    :param any_port: whether passkeys count from any port of that host (development)
    """

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        region: str,
        *,
        failures: int = SIGN_IN_FAILURES,
        lock: timedelta = SIGN_IN_LOCK,
        idle: timedelta = SESSION_IDLE,
        longest: timedelta = SESSION_LONGEST,
        base_url: str = "http://localhost",
        any_port: bool = False,
        hasher: PasswordHasher | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        if idle < LEAST_IDLE:
            raise Misconfigured(
                "Sessions must stay open for at least ten idle minutes; set a longer time.",
                "会话空闲时限不得少于十分钟；请加长。",
            )
        super().__init__(db, audit, region, now=now)
        self.failures = failures
        self.lock = lock
        self.idle = idle
        self.longest = longest
        self.base_url = base_url
        self.any_port = any_port
        self._hasher = hasher or PasswordHasher()

    @cached_property
    def passkeys(self) -> PasskeyService:
        return PasskeyService(self.db, self.audit, self.region, base_url=self.base_url, any_port=self.any_port, now=self._now)

    # -- departments ----------------------------------------------------------------------------------------------------

    def create_department(
        self, name: str, *, uscc: str | None = None, parent: str | None = None, actor: str = "local-operator"
    ) -> Department:
        """A department under ``parent`` (an identifier), or at the top.

        :raises NameTaken: another department of the region has the name or the code
        :raises NoSuchDepartment: there is no such parent
        """
        if not 1 <= len(name.strip()) <= 200:
            raise bad_account("a department's name has 1 to 200 characters", "部门名称须为 1 至 200 个字符")

        def create(session: Session) -> Department:
            if parent is not None and session.get(DepartmentRow, parent) is None:
                raise no_department(parent)
            row = DepartmentRow(
                id=new_id("dept"), region=self.region, name=name.strip(), uscc=uscc, parent_id=parent, created_at=self._now()
            )
            session.add(row)
            session.flush()
            self._leaf(session, "people.department-created", actor, {"department": row.id}, {"uscc": uscc, "parent": parent})
            return Department(row.id, row.name, row.uscc, row.parent_id)

        return self._unique(create, name)

    def departments(self) -> list[Department]:
        """Every department of the region, oldest first."""
        with self.db.read() as session:
            rows = session.scalars(
                sa.select(DepartmentRow).where(DepartmentRow.region == self.region).order_by(DepartmentRow.id)
            )
            return [Department(row.id, row.name, row.uscc, row.parent_id) for row in rows]

    # -- accounts -------------------------------------------------------------------------------------------------------

    def create(
        self,
        name: str,
        password: str | None,
        *,
        roles: Collection[str],
        department: str | None = None,
        display_name: str | None = None,
        kind: ActorKind = "staff",
        actor: str = "local-operator",
    ) -> Account:
        """An account; staff need a password, systems have none and get tokens (:meth:`issue_token`).

        :param name: 2 to 63 of ``a-z 0-9 . _ -``
        :param password: 12 to 256 characters; nothing else is asked of it but not to contain the name
        :raises BadAccount: name, password, kind or a role that does not exist
        :raises RolesExclude: two of officer, auditor, administrator
        :raises NameTaken: the name is in use
        """
        _check_name(name)
        checked = _checked_roles(roles)
        if kind not in ("staff", "system") or (kind == "staff") != (password is not None):
            raise bad_account("staff sign in with a password, systems with tokens", "工作人员使用密码登录，系统使用令牌")
        hashed = self._hash(name, password) if password is not None else None

        def create(session: Session) -> Account:
            if department is not None and session.get(DepartmentRow, department) is None:
                raise no_department(department)
            now = self._now()
            row = AccountRow(
                id=new_id("account"),
                region=self.region,
                name=name,
                display_name=display_name or name,
                kind=kind,
                status="active",
                roles=checked,
                department_id=department,
                password_hash=hashed,
                created_at=now,
                updated_at=now,
            )
            session.add(row)
            session.flush()
            data = {"kind": kind, "roles": checked, "department": department}
            self._leaf(session, "people.created", actor, {"account": row.id}, data)
            return account_of(session, row)

        return self._unique(create, name)

    def get(self, name_or_id: str) -> Account:
        """:raises NoSuchAccount: none has this name or identifier"""
        with self.db.read() as session:
            return account_of(session, find(session, name_or_id), self._now())

    def display_names(self, ids: Iterable[str]) -> dict[str, str]:
        """What people are called, by identifier, for pages and lists; identifiers of nobody here are left out."""
        wanted = set(ids)
        with self.db.read() as session:
            rows = session.execute(sa.select(AccountRow.id, AccountRow.display_name).where(AccountRow.id.in_(wanted)))
            return {row.id: row.display_name for row in rows}

    def accounts(self, *, limit: int = 100, after: str | None = None) -> list[Account]:
        """Accounts of the region by identifier; ``after`` is the last one already seen."""
        statement = sa.select(AccountRow).where(AccountRow.region == self.region).order_by(AccountRow.id).limit(limit)
        if after:
            statement = statement.where(AccountRow.id > after)
        with self.db.read() as session:
            return [account_of(session, row) for row in session.scalars(statement)]

    def set_roles(self, name_or_id: str, roles: Collection[str], *, actor: str) -> Account:
        """Replace the roles; open sessions have the new ones at once."""
        checked = _checked_roles(roles)

        def change(session: Session) -> Account:
            row = find(session, name_or_id)
            before, row.roles, row.updated_at = row.roles, checked, self._now()
            self._leaf(session, "people.roles-changed", actor, {"account": row.id}, {"before": before, "after": checked})
            return account_of(session, row)

        return self.db.run(change)

    def set_password(self, name_or_id: str, password: str, *, actor: str) -> None:
        """A new password; every session of the account ends."""

        hashed = self._hash(self.get(name_or_id).name, password)

        def change(session: Session) -> None:
            row = find(session, name_or_id)
            row.password_hash, row.updated_at = hashed, self._now()
            session.execute(sa.delete(SessionRow).where(SessionRow.account_id == row.id))
            self._leaf(session, "people.password-changed", actor, {"account": row.id}, {})

        self.db.run(change)

    def set_status(self, name_or_id: str, status: str, *, actor: str) -> Account:
        """``disabled`` ends every session and refuses every token at once; ``active`` opens the account again."""
        if status not in ("active", "disabled"):
            raise bad_account("an account is active or disabled", "账户状态只能是启用或停用")

        def change(session: Session) -> Account:
            row = find(session, name_or_id)
            row.status, row.updated_at = status, self._now()
            if status == "disabled":
                session.execute(sa.delete(SessionRow).where(SessionRow.account_id == row.id))
            self._leaf(session, f"people.{status}", actor, {"account": row.id}, {})
            return account_of(session, row)

        return self.db.run(change)


def _check_name(name: str) -> None:
    if not _NAME.match(name):
        raise bad_account(
            "a name has 2 to 63 of the characters a-z, 0-9, dot, underscore and hyphen",
            "用户名须为 2 至 63 个字符，可用 a-z、0-9、点、下划线与连字符",
        )


def _checked_roles(roles: Collection[str]) -> list[str]:
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
