"""Names for what the workflow keeps as identifiers: people, departments, and who may take a step."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import sqlalchemy as sa
from sqlalchemy.orm import Session

from people.models import AccountRow, DelegationRow, DepartmentRow
from store.db import utc_now

MOST_NAMED = 20
_OPERATOR = "local-operator"


def called(account: str | None, name: str | None, *, english: bool) -> str:
    """What pages and tables print for who did something: the name, and words for whoever works at the node itself."""
    if account == _OPERATOR:
        return "local operator" if english else "本机操作员"
    return name or ""


class Directory:
    """Reads accounts and departments in the caller's transaction.

    :param region: whose departments
    """

    def __init__(self, session: Session, region: str) -> None:
        self._session = session
        rows = session.execute(
            sa.select(DepartmentRow.id, DepartmentRow.uscc, DepartmentRow.name, DepartmentRow.parent_id).where(
                DepartmentRow.region == region
            )
        ).all()
        self._departments = {row.id: row for row in rows}
        self._ids = {code: row.id for row in rows for code in (row.id, row.uscc) if code}
        self._names: dict[str, str] = {}
        self._able: dict[tuple[frozenset[str], str], list[tuple[str, str]]] = {}

    def department(self, code: str) -> str:
        """A department's name by identifier or social credit code; the code itself where none has it."""
        found = self._departments.get(self._ids.get(code, ""))
        return found.name if found is not None else code

    def code(self, department: str) -> str:
        """The social credit code by which applications name a department, if it has one."""
        found = self._departments.get(self._ids.get(department, ""))
        return (found.uscc or department) if found is not None else department

    def codes(self) -> dict[str, str]:
        """Every code and identifier with the department's name."""
        return {code: self._departments[key].name for code, key in self._ids.items()}

    def learn(self, accounts: Iterable[str | None]) -> None:
        """Look up the names of many at once."""
        unknown = {one for one in accounts if one} - set(self._names)
        if unknown:
            found = self._session.execute(
                sa.select(AccountRow.id, AccountRow.display_name).where(AccountRow.id.in_(sorted(unknown)))
            )
            self._names |= {row.id: row.display_name for row in found}

    def person(self, account: str | None) -> str | None:
        """What an account is called; its identifier where nobody has it (the local operator, a rule)."""
        if account is None:
            return None
        self.learn([account])
        return self._names.get(account, account)

    def holders(self, roles: Collection[str], department: str, *, other_than: Collection[str] = ()) -> list[str]:
        """Who holds one of the roles at the department or above it, and who stands in for them, by name; at most twenty."""
        asked = (frozenset(roles), department)
        if asked not in self._able:  # the same few for a whole list
            self._able[asked] = self._find(*asked)
        return [name for account, name in self._able[asked] if account not in other_than][:MOST_NAMED]

    def _find(self, roles: frozenset[str], department: str) -> list[tuple[str, str]]:
        reach = self.upwards(department)
        rows = self._session.execute(
            sa.select(AccountRow.id, AccountRow.display_name, AccountRow.roles)
            .where(AccountRow.department_id.in_(reach), AccountRow.status == "active", AccountRow.kind == "staff")
            .order_by(AccountRow.display_name)
        ).all()
        found = [(row.id, row.display_name) for row in rows if roles.intersection(row.roles)]
        return found + self._stand_ins([account for account, _ in found], roles, reach)

    def upwards(self, department: str) -> list[str]:
        """Identifiers of a department and of those above it."""
        reach: list[str] = []
        above = self._ids.get(department)
        while above is not None and above not in reach:
            reach.append(above)
            above = self._departments[above].parent_id if above in self._departments else None
        return reach

    def _stand_ins(self, holders: Collection[str], roles: frozenset[str], reach: Collection[str]) -> list[tuple[str, str]]:
        """Who may act in the place of a holder now 代签授权."""
        now, lent = utc_now(), DelegationRow
        rows = self._session.execute(
            sa.select(AccountRow.id, AccountRow.display_name, lent.roles)
            .join(lent, lent.to_account == AccountRow.id)
            .where(
                lent.from_account.in_(sorted(holders)),
                lent.department_id.in_(reach),
                lent.withdrawn_at.is_(None),
                lent.since <= now,
                lent.until > now,
                AccountRow.status == "active",
            )
            .order_by(AccountRow.display_name)
        ).all()
        return [(row.id, row.display_name) for row in rows if roles.intersection(row.roles)]
