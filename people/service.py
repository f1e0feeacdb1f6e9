"""Accounts, departments, sign-in, sessions and tokens.

Secrets are kept as digests only: passwords as argon2id, session and bearer tokens (256 random bits) as SHA-256. A failed
sign-in costs the same and says the same whether or not the name exists, and counts by name in either case.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from crypto.errors import Misconfigured
from people.errors import (
    BadAccount,
    BadCredentials,
    BadToken,
    NameTaken,
    NoSuchAccount,
    NoSuchDepartment,
    RolesExclude,
    SignInLocked,
)
from people.models import AccountRow, ApiTokenRow, DepartmentRow, SessionRow, SignInFailureRow
from people.schemas import EXCLUSIVE_ROLES, ROLES, Account, ActorKind, ApiToken, Department, SignedIn
from policies.limits import SESSION_IDLE, SESSION_LONGEST, SIGN_IN_FAILURES, SIGN_IN_LOCK
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id

T = TypeVar("T")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}\Z")
_PASSWORD = (12, 256)
_TOKEN_PREFIX = "xinyin_"  # noqa: S105 - lets secret scanners find one that leaked
_SEEN_EVERY = timedelta(minutes=1)
LEAST_IDLE = timedelta(minutes=10)
"""No session of a page where people type ends sooner for being idle."""


class AccountService:
    """Operations on people. Every change writes an audit leaf in its own transaction. Limits: ``policies/limits.toml``.

    :param failures: failed sign-ins under one name before it is locked for ``lock``
    :param idle: a session ends after this long without a request; never below ten minutes
    :param longest: a session ends after this long in any case
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
        hasher: PasswordHasher | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        if idle < LEAST_IDLE:
            raise Misconfigured(
                "Sessions must stay open for at least ten idle minutes; set a longer time.",
                "会话空闲时限不得少于十分钟；请加长。",
            )
        self.db = db
        self.audit = audit
        self.region = region
        self.failures = failures
        self.lock = lock
        self.idle = idle
        self.longest = longest
        self._hasher = hasher or PasswordHasher()
        self._now = now

    # -- departments ----------------------------------------------------------------------------------------------------

    def create_department(
        self, name: str, *, uscc: str | None = None, parent: str | None = None, actor: str = "local-operator"
    ) -> Department:
        """A department under ``parent`` (an identifier), or at the top.

        :raises NameTaken: another department of the region has the name or the code
        :raises NoSuchDepartment: there is no such parent
        """
        if not 1 <= len(name.strip()) <= 200:
            raise _bad_account("a department's name has 1 to 200 characters", "部门名称须为 1 至 200 个字符")

        def create(session: Session) -> Department:
            if parent is not None and session.get(DepartmentRow, parent) is None:
                raise _no_department(parent)
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
            raise _bad_account("staff sign in with a password, systems with tokens", "工作人员使用密码登录，系统使用令牌")
        hashed = self._hash(name, password) if password is not None else None

        def create(session: Session) -> Account:
            if department is not None and session.get(DepartmentRow, department) is None:
                raise _no_department(department)
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
            return _account(session, row)

        return self._unique(create, name)

    def get(self, name_or_id: str) -> Account:
        """:raises NoSuchAccount: none has this name or identifier"""
        with self.db.read() as session:
            return _account(session, _find(session, name_or_id))

    def accounts(self, *, limit: int = 100, after: str | None = None) -> list[Account]:
        """Accounts of the region by identifier; ``after`` is the last one already seen."""
        statement = sa.select(AccountRow).where(AccountRow.region == self.region).order_by(AccountRow.id).limit(limit)
        if after:
            statement = statement.where(AccountRow.id > after)
        with self.db.read() as session:
            return [_account(session, row) for row in session.scalars(statement)]

    def set_roles(self, name_or_id: str, roles: Collection[str], *, actor: str) -> Account:
        """Replace the roles; open sessions have the new ones at once."""
        checked = _checked_roles(roles)

        def change(session: Session) -> Account:
            row = _find(session, name_or_id)
            before, row.roles, row.updated_at = row.roles, checked, self._now()
            self._leaf(session, "people.roles-changed", actor, {"account": row.id}, {"before": before, "after": checked})
            return _account(session, row)

        return self.db.run(change)

    def set_password(self, name_or_id: str, password: str, *, actor: str) -> None:
        """A new password; every session of the account ends."""

        hashed = self._hash(self.get(name_or_id).name, password)

        def change(session: Session) -> None:
            row = _find(session, name_or_id)
            row.password_hash, row.updated_at = hashed, self._now()
            session.execute(sa.delete(SessionRow).where(SessionRow.account_id == row.id))
            self._leaf(session, "people.password-changed", actor, {"account": row.id}, {})

        self.db.run(change)

    def set_status(self, name_or_id: str, status: str, *, actor: str) -> Account:
        """``disabled`` ends every session and refuses every token at once; ``active`` opens the account again."""
        if status not in ("active", "disabled"):
            raise _bad_account("an account is active or disabled", "账户状态只能是启用或停用")

        def change(session: Session) -> Account:
            row = _find(session, name_or_id)
            row.status, row.updated_at = status, self._now()
            if status == "disabled":
                session.execute(sa.delete(SessionRow).where(SessionRow.account_id == row.id))
            self._leaf(session, f"people.{status}", actor, {"account": row.id}, {})
            return _account(session, row)

        return self.db.run(change)

    # -- sign-in --------------------------------------------------------------------------------------------------------

    def authenticate(self, name: str, password: str) -> Account:
        """The account, if name and password fit.

        :raises BadCredentials: they do not, or the account is disabled
        :raises SignInLocked: too many failures under this name; the message says how long to wait
        """
        key = _digest(name.strip().lower())
        # Counted as failed before the password is tried: a hundred guesses at once get no more tries than one after another.
        self.db.run(lambda session: self._count_failure(session, key))
        with self.db.read() as session:
            row = session.scalars(sa.select(AccountRow).where(AccountRow.name == name)).one_or_none()
            account = _account(session, row) if row is not None else None
        stored = row.password_hash if row is not None and row.password_hash is not None else self._nobodys_hash
        fits = self._fits(stored, password)
        if row is None or account is None or row.password_hash is None or not fits or row.status != "active":
            raise BadCredentials("Name or password is wrong; try again.", "用户名或密码错误；请重试。")
        rehashed = self._hasher.hash(password) if self._hasher.check_needs_rehash(stored) else None
        self.db.run(lambda session: self._succeeded(session, key, account.id, rehashed))
        return account

    def sign_in(self, name: str, password: str) -> SignedIn:
        """:meth:`authenticate`, and a new session (never an existing one: no token from before survives a sign-in)."""
        account = self.authenticate(name, password)
        return self.open_session(account)

    def open_session(self, account: Account) -> SignedIn:
        """A session for an account that proved itself."""
        token, now = secrets.token_urlsafe(32), self._now()
        expires = now + self.longest

        def insert(session: Session) -> None:
            session.execute(sa.delete(SessionRow).where(SessionRow.expires_at <= now))
            session.add(
                SessionRow(token_digest=_digest(token), account_id=account.id, created_at=now, seen_at=now, expires_at=expires)
            )

        self.db.run(insert)
        return SignedIn(account, token, expires)

    def by_session(self, token: str) -> Account | None:
        """Who holds this session, with the roles of now; None if it is unknown, idle too long, or over."""
        now, digest = self._now(), _digest(token)
        with self.db.read() as session:
            row = session.get(SessionRow, digest)
            if row is None or row.expires_at <= now or row.seen_at + self.idle <= now:
                return None
            account = session.get(AccountRow, row.account_id)
            if account is None or account.status != "active":
                return None
            result = _account(session, account)
        if now - row.seen_at >= _SEEN_EVERY:
            self.db.run(
                lambda session: session.execute(
                    sa.update(SessionRow).where(SessionRow.token_digest == digest).values(seen_at=now)
                )
            )
        return result

    def sign_out(self, token: str) -> None:
        """End a session; ending one that is over is no error."""
        self.db.run(lambda session: session.execute(sa.delete(SessionRow).where(SessionRow.token_digest == _digest(token))))

    # -- tokens of systems ----------------------------------------------------------------------------------------------

    def issue_token(
        self, name_or_id: str, label: str, *, days: int = 365, actor: str = "local-operator"
    ) -> tuple[ApiToken, str]:
        """A bearer token for an account; the secret is returned this once."""
        secret, now = _TOKEN_PREFIX + secrets.token_urlsafe(32), self._now()

        def insert(session: Session) -> ApiToken:
            account = _find(session, name_or_id)
            row = ApiTokenRow(
                id=new_id("token"),
                token_digest=_digest(secret),
                account_id=account.id,
                name=label,
                created_at=now,
                expires_at=now + timedelta(days=days),
            )
            session.add(row)
            self._leaf(session, "people.token-issued", actor, {"account": account.id, "token": row.id}, {"days": days})
            return _api_token(row, now)

        return self.db.run(insert), secret

    def by_token(self, bearer: str) -> Account:
        """Who calls with this bearer token.

        :raises BadToken: unknown, expired, revoked, or its account is disabled
        """
        now = self._now()
        with self.db.read() as session:
            row = session.scalars(sa.select(ApiTokenRow).where(ApiTokenRow.token_digest == _digest(bearer))).one_or_none()
            if row is not None and row.revoked_at is None and row.expires_at > now:
                account = session.get(AccountRow, row.account_id)
                if account is not None and account.status == "active":
                    return _account(session, account)
        raise BadToken(
            "The bearer token is unknown, expired or revoked; ask the administrator for a new one.",
            "访问令牌无效、已过期或已撤销；请向系统管理员申请新令牌。",
        )

    def tokens(self, name_or_id: str) -> list[ApiToken]:
        """An account's tokens, oldest first, without their secrets."""
        with self.db.read() as session:
            account = _find(session, name_or_id)
            rows = session.scalars(sa.select(ApiTokenRow).where(ApiTokenRow.account_id == account.id).order_by(ApiTokenRow.id))
            return [_api_token(row, self._now()) for row in rows]

    def revoke_token(self, token_id: str, *, actor: str) -> None:
        """:raises BadToken: there is no such token"""

        def revoke(session: Session) -> None:
            row = session.get(ApiTokenRow, token_id)
            if row is None:
                raise BadToken("There is no such token; list the account's tokens.", "没有该令牌；请查看账户的令牌列表。")
            row.revoked_at = row.revoked_at or self._now()
            self._leaf(session, "people.token-revoked", actor, {"account": row.account_id, "token": row.id}, {})

        self.db.run(revoke)

    # -- inside ---------------------------------------------------------------------------------------------------------

    @cached_property
    def _nobodys_hash(self) -> str:
        """What a password is tried against when the name is unknown, at the same cost."""
        return self._hasher.hash(secrets.token_hex(16))

    def _fits(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password[: _PASSWORD[1] + 1])
        except (Argon2Error, InvalidHashError):
            return False

    def _hash(self, name: str, password: str) -> str:
        if not _PASSWORD[0] <= len(password) <= _PASSWORD[1] or name in password.lower():
            raise _bad_account(
                f"a password has {_PASSWORD[0]} to {_PASSWORD[1]} characters and does not contain the name",
                f"密码须为 {_PASSWORD[0]} 至 {_PASSWORD[1]} 个字符，且不得包含用户名",
            )
        return self._hasher.hash(password)

    def _count_failure(self, session: Session, key: str) -> None:
        now = self._now()
        row = session.get(SignInFailureRow, key, with_for_update=True)
        if row is None:
            # Guessed names must not fill the table: what is older than a lock counts for nothing any more.
            session.execute(sa.delete(SignInFailureRow).where(SignInFailureRow.last_at < now - self.lock))
            row = SignInFailureRow(name_digest=key, count=0, last_at=now)
            session.add(row)
        if row.locked_until is not None and row.locked_until > now:
            minutes = max(1, round((row.locked_until - now).total_seconds() / 60))
            raise SignInLocked(
                f"Too many failed sign-ins; wait {minutes} minutes or ask the administrator.",
                f"登录失败次数过多；请等待 {minutes} 分钟，或联系系统管理员。",
                minutes=minutes,
            )
        if row.locked_until is not None or now - row.last_at > self.lock:
            row.count, row.locked_until = 0, None
        row.count += 1
        row.last_at = now
        if row.count >= self.failures:
            row.locked_until = now + self.lock

    def _succeeded(self, session: Session, key: str, account_id: str, rehashed: str | None) -> None:
        session.execute(sa.delete(SignInFailureRow).where(SignInFailureRow.name_digest == key))
        if rehashed:
            session.execute(sa.update(AccountRow).where(AccountRow.id == account_id).values(password_hash=rehashed))

    def _leaf(self, session: Session, kind: str, actor: str, subject: dict[str, str], data: dict[str, Any]) -> None:
        self.audit.append(session, kind=kind, actor=actor, subject=subject, data=data)

    def _unique(self, work: Callable[[Session], T], name: str) -> T:
        try:
            return self.db.run(work)
        except IntegrityError as exc:
            raise NameTaken(
                f"{name} or its code is in use already; choose another.", f"{name} 或其代码已被使用；请另选。", name=name
            ) from exc


def _check_name(name: str) -> None:
    if not _NAME.match(name):
        raise _bad_account(
            "a name has 2 to 63 of the characters a-z, 0-9, dot, underscore and hyphen",
            "用户名须为 2 至 63 个字符，可用 a-z、0-9、点、下划线与连字符",
        )


def _checked_roles(roles: Collection[str]) -> list[str]:
    unknown = set(roles) - set(ROLES)
    if unknown:
        raise _bad_account(
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


def _find(session: Session, name_or_id: str) -> AccountRow:
    row = session.scalars(
        sa.select(AccountRow).where(sa.or_(AccountRow.id == name_or_id, AccountRow.name == name_or_id))
    ).one_or_none()
    if row is None:
        raise NoSuchAccount(
            f"There is no account {name_or_id[:64]}; list the accounts or create it.",
            f"没有账户 {name_or_id[:64]}；请查看账户列表或先创建。",
        )
    return row


def _account(session: Session, row: AccountRow) -> Account:
    return Account(
        id=row.id,
        name=row.name,
        roles=frozenset(row.roles),
        department=row.department_id,
        region=row.region,
        kind=cast(ActorKind, row.kind),
        departments=_reach(session, row.department_id),
        display_name=row.display_name,
        status=row.status,
        created_at=row.created_at,
    )


def _reach(session: Session, department: str | None) -> frozenset[str]:
    """Identifiers and social credit codes of a department and all below it."""
    if department is None:
        return frozenset()
    below = sa.select(DepartmentRow.id, DepartmentRow.uscc).where(DepartmentRow.id == department).cte("below", recursive=True)
    below = below.union(sa.select(DepartmentRow.id, DepartmentRow.uscc).join(below, DepartmentRow.parent_id == below.c.id))
    return frozenset(value for pair in session.execute(sa.select(below.c.id, below.c.uscc)) for value in pair if value)


def _api_token(row: ApiTokenRow, now: datetime) -> ApiToken:
    status = "revoked" if row.revoked_at is not None else "expired" if row.expires_at <= now else "active"
    return ApiToken(row.id, row.account_id, row.name, row.created_at, row.expires_at, status)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _bad_account(why: str, why_zh: str) -> BadAccount:
    return BadAccount(f"This cannot be saved: {why}.", f"无法保存：{why_zh}。")


def _no_department(department: str) -> NoSuchDepartment:
    return NoSuchDepartment(
        f"There is no department {department[:64]}; list the departments or create it.",
        f"没有部门 {department[:64]}；请查看部门列表或先创建。",
    )
