"""Accounts and departments, and the one object through which other rooms reach everything about people.

:class:`AccountService` signs in with passwords (``signing_in.py``) and knows bearer tokens (``tokens.py``). What else there is
hangs on it: ``passkeys``, ``clients`` (keys of systems), ``identities`` (at an OpenID provider), ``delegations``,
``hand_overs``. Every change writes an audit leaf in its own transaction; of secrets only digests are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import sqlalchemy as sa
from argon2 import PasswordHasher
from sqlalchemy.orm import Session

from crypto.errors import Misconfigured
from people.delegations import DelegationService
from people.handover import HandOverService
from people.identities import IdentityService
from people.models import AccountRow, DepartmentRow, SessionRow
from people.passkeys import PasskeyService
from people.room import account_of, bad_account, checked_roles, digest, find, no_department, reach
from people.schemas import Account, ActorKind, Department
from people.signing_in import SigningIn
from people.tokens import Tokens
from policies.limits import SESSION_IDLE, SESSION_LONGEST, SIGN_IN_FAILURES, SIGN_IN_LOCK
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id

if TYPE_CHECKING:
    from people.clients import ClientKeyService
    from people.oidc import OidcService, OidcSettings, Web

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

    @cached_property
    def delegations(self) -> DelegationService:
        return DelegationService(self.db, self.audit, self.region, now=self._now)

    @cached_property
    def clients(self) -> ClientKeyService:
        # Authlib is loaded where it is used: every command of the service opens the accounts.
        from people.clients import ClientKeyService

        return ClientKeyService(self.db, self.audit, self.region, base_url=self.base_url, now=self._now)

    @cached_property
    def identities(self) -> IdentityService:
        return IdentityService(self.db, self.audit, self.region, now=self._now)

    def oidc(self, settings: OidcSettings, web: Web) -> OidcService:
        """Sign-in at the OpenID provider of these settings."""
        from people.oidc import OidcService

        return OidcService(self.db, self.audit, self.region, settings, web, self.identities, now=self._now)

    @cached_property
    def hand_overs(self) -> HandOverService:
        return HandOverService(self.db, self.audit, self.region, self.delegations, now=self._now)

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

    def change_department(
        self, department: str, *, name: str | None = None, parent: str | None = None, actor: str, rule: str | None = None
    ) -> Department:
        """Another name, or another place in the tree; what is None stays.

        :raises NoSuchDepartment: there is no such department or parent
        :raises BadAccount: the name does not do, or the new parent lies below the department itself
        :raises NameTaken: another department of the region has the name
        """
        if name is not None and not 1 <= len(name.strip()) <= 200:
            raise bad_account("a department's name has 1 to 200 characters", "部门名称须为 1 至 200 个字符")

        def change(session: Session) -> Department:
            row = session.get(DepartmentRow, department)
            if row is None or row.region != self.region:
                raise no_department(department)
            if parent is not None:
                if session.get(DepartmentRow, parent) is None:
                    raise no_department(parent)
                if parent in reach(session, row.id):
                    raise bad_account("a department cannot lie below itself", "部门不能隶属于自身或其下级部门")
            before = row.parent_id
            row.name, row.parent_id = name.strip() if name is not None else row.name, parent or row.parent_id
            session.flush()
            data = {"renamed": name is not None, "parent_before": before, "parent": row.parent_id}
            self._leaf(session, "people.department-changed", actor, {"department": row.id}, data, rule)
            return Department(row.id, row.name, row.uscc, row.parent_id)

        return self._unique(change, name or department)

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
        """An account.

        :param name: 2 to 63 of ``a-z 0-9 . _ -``
        :param password: 12 to 256 characters; nothing else is asked of it but not to contain the name. None for a system, which
            has tokens or keys, and for people who sign in elsewhere or with a passkey
        :raises BadAccount: name, password, kind or a role that does not exist
        :raises RolesExclude: two of officer, auditor, administrator
        :raises NameTaken: the name is in use
        """
        _check_name(name)
        checked = checked_roles(roles)
        if kind not in ("staff", "system") or (kind == "system" and password is not None):
            raise bad_account(
                "only staff sign in with a password; systems have tokens", "只有工作人员使用密码登录；系统使用令牌"
            )
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

    def accounts(
        self,
        *,
        limit: int = 100,
        after: str | None = None,
        q: str = "",
        role: str | None = None,
        department: str | None = None,
        status: str | None = None,
        kind: str | None = None,
    ) -> list[Account]:
        """Accounts of the region by identifier; ``after`` is the last one already seen.

        :param q: part of the sign-in name or of what the person is called
        :param department: this one and those below it
        """
        wanted = sa.select(AccountRow).where(AccountRow.region == self.region).order_by(AccountRow.id).limit(limit)
        if after:
            wanted = wanted.where(AccountRow.id > after)
        if q.strip():
            part = "%" + re.sub(r"([%_\\])", r"\\\1", q.strip().lower()) + "%"
            either = [sa.func.lower(one).like(part, escape="\\") for one in (AccountRow.name, AccountRow.display_name)]
            wanted = wanted.where(sa.or_(*either))
        if role:
            wanted = wanted.where(sa.cast(AccountRow.roles, sa.String).contains(f'"{role}"', autoescape=True))
        for column, value in ((AccountRow.status, status), (AccountRow.kind, kind)):
            wanted = wanted.where(column == value) if value else wanted
        with self.db.read() as session:
            if department:
                wanted = wanted.where(AccountRow.department_id.in_(reach(session, department)))
            return [account_of(session, row) for row in session.scalars(wanted)]

    def colleagues(self, account: Account) -> list[Account]:
        """Staff in service of the own department, those below it and the one right above, without the account itself."""
        with self.db.read() as session:
            near = set(reach(session, account.department))
            own = session.get(DepartmentRow, account.department) if account.department else None
            if own is not None and own.parent_id:
                near.add(own.parent_id)
            rows = session.scalars(
                sa.select(AccountRow)
                .where(
                    AccountRow.region == self.region,
                    AccountRow.kind == "staff",
                    AccountRow.status == "active",
                    AccountRow.id != account.id,
                    AccountRow.department_id.in_(near),
                )
                .order_by(AccountRow.display_name)
            )
            return [account_of(session, row) for row in rows]

    def change(
        self,
        name_or_id: str,
        *,
        display_name: str | None = None,
        department: str | None = None,
        actor: str,
        rule: str | None = None,
    ) -> Account:
        """What the person is called, or which department they belong to; what is None stays.

        :raises NoSuchDepartment: there is no such department
        """
        if display_name is not None and not 1 <= len(display_name.strip()) <= 200:
            raise bad_account("a person's name has 1 to 200 characters", "姓名须为 1 至 200 个字符")

        def change(session: Session) -> Account:
            row = find(session, name_or_id)
            if department is not None and session.get(DepartmentRow, department) is None:
                raise no_department(department)
            before = row.department_id
            row.display_name = display_name.strip() if display_name is not None else row.display_name
            row.department_id, row.updated_at = department or row.department_id, self._now()
            data = {"renamed": display_name is not None, "department_before": before, "department": row.department_id}
            self._leaf(session, "people.changed", actor, {"account": row.id}, data, rule)
            return account_of(session, row)

        return self.db.run(change)

    def set_roles(self, name_or_id: str, roles: Collection[str], *, actor: str) -> Account:
        """Replace the roles; open sessions have the new ones at once."""
        checked = checked_roles(roles)

        def change(session: Session) -> Account:
            row = find(session, name_or_id)
            before, row.roles, row.updated_at = row.roles, checked, self._now()
            self._leaf(session, "people.roles-changed", actor, {"account": row.id}, {"before": before, "after": checked})
            return account_of(session, row)

        return self.db.run(change)

    def set_password(self, name_or_id: str, password: str, *, actor: str, keep: str | None = None) -> None:
        """A new password; every session of the account ends, but the one with the token ``keep``."""

        hashed = self._hash(self.get(name_or_id).name, password)

        def change(session: Session) -> None:
            row = find(session, name_or_id)
            row.password_hash, row.updated_at = hashed, self._now()
            others = sa.and_(SessionRow.account_id == row.id, SessionRow.token_digest != digest(keep or ""))
            session.execute(sa.delete(SessionRow).where(others))
            self._leaf(session, "people.password-changed", actor, {"account": row.id}, {})

        self.db.run(change)

    def has_password(self, name_or_id: str) -> bool:
        """Whether the account can sign in with a password at all."""
        with self.db.read() as session:
            return find(session, name_or_id).password_hash is not None

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
