"""Who people are at an OpenID provider, and which account each of them is bound to."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from people.errors import BadAccount, NameTaken, NoSuchIdentity
from people.models import IdentityRow
from people.room import Room, account_of, find
from people.schemas import Account, Identity
from store.ids import new_id

_WAITING = 1000
"""Requests that wait at most; the oldest go first. Whoever has an account at the provider can make one."""


class IdentityService(Room):
    """Identities at providers. Who may bind the callers ask of the rules (``people.change``)."""

    def seen(self, issuer: str, subject: str, shown_name: str) -> Identity:
        """Somebody signed in at the provider: the identity, new ones kept waiting for an administrator."""

        def keep(session: Session) -> Identity:
            row = session.scalars(
                sa.select(IdentityRow).where(IdentityRow.issuer == issuer, IdentityRow.subject == subject)
            ).one_or_none()
            if row is None:
                waiting = sa.select(IdentityRow.id).where(IdentityRow.account_id.is_(None)).order_by(IdentityRow.id.desc())
                over = session.scalars(waiting.offset(_WAITING - 1)).all()
                session.execute(sa.delete(IdentityRow).where(IdentityRow.id.in_(over)))
                row = self._new(session, issuer, subject, shown_name)
            elif row.shown_name != shown_name:
                row.shown_name = shown_name
            return _shown(row)

        return self.db.run(keep)

    def waiting(self) -> tuple[Identity, ...]:
        """Those who signed in at the provider and are bound to no account, newest first."""
        return self._where(IdentityRow.account_id.is_(None))

    def of(self, account_id: str) -> tuple[Identity, ...]:
        """What an account is bound to."""
        return self._where(IdentityRow.account_id == account_id)

    def account(self, account_id: str) -> Account:
        """The account as it may act now. :raises NoSuchAccount: there is none"""
        with self.db.read() as session:
            return account_of(session, find(session, account_id), self._now())

    def bind(self, identity_id: str, name_or_id: str, *, actor: str, rule: str | None = None) -> Identity:
        """From now on this person signs in to this account.

        :raises NoSuchIdentity: there is no such request
        :raises NameTaken: it is bound to another account already
        :raises BadAccount: a system does not sign in
        """

        def change(session: Session) -> Identity:
            return self._bound(session, _row(session, identity_id), name_or_id, actor, rule)

        return self.db.run(change)

    def bind_subject(self, issuer: str, subject: str, name_or_id: str, *, actor: str, rule: str | None = None) -> Identity:
        """The same for a subject that is known beforehand, from the provider's own directory."""
        if not 1 <= len(subject) <= 255 or not 1 <= len(issuer) <= 500:
            raise BadAccount("Give issuer and subject as the provider has them.", "请填写认证系统中的 issuer 与 subject。")

        def change(session: Session) -> Identity:
            wanted = sa.select(IdentityRow).where(IdentityRow.issuer == issuer, IdentityRow.subject == subject)
            row = session.scalars(wanted).one_or_none() or self._new(session, issuer, subject, subject)
            return self._bound(session, row, name_or_id, actor, rule)

        return self.db.run(change)

    def unbind(self, identity_id: str, *, actor: str, account: str | None = None, rule: str | None = None) -> None:
        """This person signs in to the account no more. :raises NoSuchIdentity: there is none (of that account)"""

        def change(session: Session) -> None:
            row = _row(session, identity_id)
            if account is not None and row.account_id != account:
                raise _none()
            if row.account_id is not None:
                subject = {"account": row.account_id, "identity": row.id}
                self._leaf(session, "people.identity-unbound", actor, subject, {"issuer": row.issuer}, rule)
            session.delete(row)

        self.db.run(change)

    def _new(self, session: Session, issuer: str, subject: str, shown_name: str) -> IdentityRow:
        row = IdentityRow(
            id=new_id("identity"),
            region=self.region,
            issuer=issuer,
            subject=subject,
            shown_name=shown_name,
            created_at=self._now(),
        )
        session.add(row)
        session.flush()
        return row

    def _bound(self, session: Session, row: IdentityRow, name_or_id: str, actor: str, rule: str | None) -> Identity:
        account = find(session, name_or_id)
        if account.kind != "staff":
            raise BadAccount("A system does not sign in; choose a person's account.", "系统账户不能登录；请选择人员账户。")
        if row.account_id not in (None, account.id):
            raise NameTaken("This person is bound to another account already.", "该人员已绑定其他账户。")
        if row.account_id is None:
            row.account_id, row.bound_at = account.id, self._now()
            subject = {"account": account.id, "identity": row.id}
            self._leaf(session, "people.identity-bound", actor, subject, {"issuer": row.issuer}, rule)
        return _shown(row)

    def _where(self, condition: sa.ColumnElement[bool]) -> tuple[Identity, ...]:
        with self.db.read() as session:
            rows = session.scalars(sa.select(IdentityRow).where(condition).order_by(IdentityRow.id.desc()))
            return tuple(_shown(row) for row in rows)


def _row(session: Session, identity_id: str) -> IdentityRow:
    row = session.get(IdentityRow, identity_id)
    if row is None:
        raise _none()
    return row


def _none() -> NoSuchIdentity:
    return NoSuchIdentity("There is no such sign-in request; look at the list again.", "没有该登录请求；请刷新列表后再试。")


def _shown(row: IdentityRow) -> Identity:
    status = "bound" if row.account_id else "waiting"
    return Identity(row.id, status, row.issuer, row.subject, row.shown_name, row.account_id, row.created_at)
