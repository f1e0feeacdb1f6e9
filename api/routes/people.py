"""``/api/v1/accounts``, ``/departments`` and ``/delegations``: who is who, and who stands in for whom."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from api.auth import Caller, node_of
from api.routes.common import KNOWN, Cursor, Limit, Moment, errors
from api.schemas import Open, Page
from ceremonies.plain import plain
from people.errors import NoSuchAccount
from people.schemas import Account, Actor, Delegation

router = APIRouter(prefix="/api/v1", tags=["people"], responses=KNOWN)

Role = Literal[
    "handler", "reviewer", "signer_off", "seal_keeper", "licensing_clerk", "window_clerk", "officer", "auditor", "administrator"
]
Name = Annotated[str, Field(max_length=200)]
Words = Annotated[str, Field(max_length=500)]


class AccountOut(Open):
    """An account. ``name`` is what one signs in with, ``department`` an identifier."""

    id: str
    name: str
    display_name: str
    kind: Literal["staff", "system"]
    status: Literal["active", "disabled"]
    roles: list[str]
    department: str | None


class NewAccount(BaseModel):
    """An account; staff without a password sign in with a passkey or at the OpenID provider."""

    name: Annotated[str, Field(max_length=63)]
    display_name: Name | None = None
    kind: Literal["staff", "system"] = "staff"
    roles: list[Role] = []
    department: Name | None = None
    password: Annotated[str, Field(max_length=256)] | None = None


class AccountChange(BaseModel):
    """What is given changes; the rest stays."""

    display_name: Name | None = None
    department: Name | None = None
    roles: list[Role] | None = None
    status: Literal["active", "disabled"] | None = None


class DepartmentOut(Open):
    """A department; ``parent`` is the one above it, ``uscc`` its unified social credit code."""

    id: str
    name: str
    uscc: str | None
    parent: str | None


class NewDepartment(BaseModel):
    """A department."""

    name: Name
    uscc: Annotated[str, Field(max_length=18)] | None = None
    parent: Name | None = None


class DepartmentChange(BaseModel):
    """What is given changes; the rest stays."""

    name: Name | None = None
    parent: Name | None = None


class DelegationOut(Open):
    """Somebody stands in for somebody (代签授权); no ``matters`` means every matter."""

    id: str
    status: Literal["planned", "active", "ended", "withdrawn"]
    from_account: str
    to_account: str
    roles: list[str]
    department: str
    matters: list[str]
    since: datetime
    until: datetime


class NewDelegation(BaseModel):
    """``from_account`` is the caller's own if absent."""

    to_account: Name
    roles: list[Role]
    until: Moment
    from_account: Name | None = None
    department: Name | None = None
    matters: list[Annotated[str, Field(max_length=64)]] = Field(default=[], max_length=100)
    since: Moment | None = None
    reason: Words = ""


class NewHandOver(BaseModel):
    """A post passes to ``to_account``; ``leaves``: the old account is closed as well."""

    to_account: Name
    roles: list[Role] | None = None
    leaves: bool = False
    reason: Words = ""


class HandOverOut(Open):
    """A post that passed on (岗位交接); ``moved`` counts the open work that went along, by kind."""

    id: str
    from_account: str
    to_account: str
    roles: list[str]
    moved: dict[str, int]
    at: datetime


# -- accounts ---------------------------------------------------------------------------------------------------------------


@router.get("/accounts", operation_id="list_accounts", response_model=Page[AccountOut])
def list_accounts(
    request: Request,
    caller: Caller,
    limit: Limit = 100,
    cursor: Cursor = None,
    q: Annotated[str, Query(max_length=200)] = "",
    role: Role | None = None,
    department: Annotated[str | None, Query(max_length=200)] = None,
    status: Literal["active", "disabled"] | None = None,
) -> dict[str, Any]:
    """Accounts by identifier; ``q`` is part of a name, ``department`` includes those below it."""
    node = node_of(request)
    node.authorise(caller, "people.list")
    found = node.accounts.accounts(
        limit=limit + 1,
        after=cursor,
        q=q,
        role=role,
        department=node.department(department) if department else None,
        status=status,
    )
    return {"items": [_account(one) for one in found[:limit]], "next": found[limit - 1].id if len(found) > limit else None}


@router.post("/accounts", operation_id="create_account", status_code=201, response_model=AccountOut, responses=errors(404, 409))
def create_account(request: Request, caller: Caller, body: NewAccount) -> dict[str, Any]:
    """An account."""
    node = node_of(request)
    node.authorise(caller, "people.create")
    made = node.accounts.create(
        body.name,
        body.password,
        roles=body.roles,
        department=node.department(body.department) if body.department else None,
        display_name=body.display_name,
        kind=body.kind,
        actor=caller.id,
    )
    return _account(made)


@router.get("/accounts/me", operation_id="show_own_account", response_model=AccountOut)
def show_own_account(request: Request, caller: Caller) -> dict[str, Any]:
    """The caller, and for whom they may act."""
    found = node_of(request).accounts.get(caller.id)
    acting = [
        {"on_behalf_of": one.on_behalf_of, "delegation": one.delegation, "roles": sorted(one.roles)} for one in found.stand_ins
    ]
    return {**_account(found), "stands_in": acting}


@router.get("/accounts/{account_id}", operation_id="show_account", response_model=AccountOut, responses=errors(404))
def show_account(request: Request, caller: Caller, account_id: str) -> dict[str, Any]:
    """One account, by identifier or name."""
    return _account(_known(request, caller, account_id))


@router.patch("/accounts/{account_id}", operation_id="change_account", response_model=AccountOut, responses=errors(404, 409))
def change_account(request: Request, caller: Caller, account_id: str, body: AccountChange) -> dict[str, Any]:
    """Change what the person is called, department, roles or state."""
    node, found = node_of(request), _known(request, caller, account_id)
    rule = node.authorise(caller, "people.change", {"id": found.id})
    if body.roles is not None:
        node.accounts.set_roles(found.id, body.roles, actor=caller.id)
    if body.display_name is not None or body.department is not None:
        department = node.department(body.department) if body.department else None
        node.accounts.change(found.id, display_name=body.display_name, department=department, actor=caller.id, rule=rule)
    if body.status is not None:
        node.accounts.set_status(found.id, body.status, actor=caller.id)
    return _account(node.accounts.get(found.id))


@router.post(
    "/accounts/{account_id}/hand-over", operation_id="hand_over_post", response_model=HandOverOut, responses=errors(404, 409)
)
def hand_over_post(request: Request, caller: Caller, account_id: str, body: NewHandOver) -> Any:
    """岗位交接: roles and open work pass to a successor; the old holder's sessions and delegations end."""
    node, found = node_of(request), _known(request, caller, account_id)
    rule = node.authorise(caller, "people.hand-over", {"id": found.id})
    done = node.accounts.hand_overs.hand_over(
        found.id, body.to_account, roles=body.roles, leaves=body.leaves, reason=body.reason, actor=caller.id, rule=rule
    )
    return plain(done)


# -- departments ------------------------------------------------------------------------------------------------------------


@router.get("/departments", operation_id="list_departments", response_model=Page[DepartmentOut])
def list_departments(request: Request, caller: Caller) -> dict[str, Any]:
    """Every department, all at once."""
    node = node_of(request)
    node.authorise(caller, "people.departments")
    return {"items": plain(node.accounts.departments()), "next": None}


@router.post(
    "/departments", operation_id="create_department", status_code=201, response_model=DepartmentOut, responses=errors(404, 409)
)
def create_department(request: Request, caller: Caller, body: NewDepartment) -> Any:
    """A department; ``parent`` by identifier, code or name."""
    node = node_of(request)
    node.authorise(caller, "people.change")
    parent = node.department(body.parent) if body.parent else None
    return plain(node.accounts.create_department(body.name, uscc=body.uscc or None, parent=parent, actor=caller.id))


@router.patch(
    "/departments/{department_id}", operation_id="change_department", response_model=DepartmentOut, responses=errors(404, 409)
)
def change_department(request: Request, caller: Caller, department_id: str, body: DepartmentChange) -> Any:
    """Another name, or another place in the tree."""
    node = node_of(request)
    rule = node.authorise(caller, "people.change", {"id": department_id})
    parent = node.department(body.parent) if body.parent else None
    changed = node.accounts.change_department(
        node.department(department_id), name=body.name, parent=parent, actor=caller.id, rule=rule
    )
    return plain(changed)


# -- delegations ------------------------------------------------------------------------------------------------------------


@router.get("/delegations", operation_id="list_delegations", response_model=Page[DelegationOut])
def list_delegations(request: Request, caller: Caller, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """Newest first: all of them for administrators and auditors, else those that the caller gave or holds."""
    node = node_of(request)
    everything = node.authoriser.decide(caller, "people.delegations", {"region": node.region}).allowed
    if not everything:
        node.authorise(caller, "people.delegations", {"id": caller.id})
    found = node.accounts.delegations.list(None if everything else caller.id, limit=limit + 1, after=cursor)
    return {"items": plain(found[:limit]), "next": found[limit - 1].id if len(found) > limit else None}


@router.post(
    "/delegations", operation_id="create_delegation", status_code=201, response_model=DelegationOut, responses=errors(404)
)
def create_delegation(request: Request, caller: Caller, body: NewDelegation) -> Any:
    """Let somebody stand in: for the caller, or, for an administrator, for anybody."""
    node = node_of(request)
    lender = _known(request, caller, body.from_account).id if body.from_account else caller.id
    rule = node.authorise(caller, "people.delegate", {"id": lender})
    made = node.accounts.delegations.grant(
        lender,
        _colleague(request, caller, body.to_account),
        roles=body.roles,
        department=node.department(body.department) if body.department else None,
        matters=body.matters,
        since=body.since,
        until=body.until,
        reason=body.reason,
        actor=caller.id,
        rule=rule,
    )
    return plain(made)


@router.get("/delegations/{delegation_id}", operation_id="show_delegation", response_model=DelegationOut, responses=errors(404))
def show_delegation(request: Request, caller: Caller, delegation_id: str) -> Any:
    """One delegation."""
    return plain(_own_delegation(request, caller, delegation_id))


@router.post(
    "/delegations/{delegation_id}/withdraw",
    operation_id="withdraw_delegation",
    response_model=DelegationOut,
    responses=errors(404),
)
def withdraw_delegation(request: Request, caller: Caller, delegation_id: str) -> Any:
    """End it at once: whoever gave it, whoever holds it, or an administrator."""
    node, found = node_of(request), _own_delegation(request, caller, delegation_id)
    whose = caller.id if caller.id == found.to_account else found.from_account
    rule = node.authorise(caller, "people.delegate", {"id": whose})
    return plain(node.accounts.delegations.withdraw(found.id, actor=caller.id, rule=rule))


# -- shared -----------------------------------------------------------------------------------------------------------------


def _account(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "display_name": account.display_name,
        "kind": account.kind,
        "status": account.status,
        "roles": sorted(account.roles),
        "department": account.department,
        "created_at": account.created_at,
    }


def _known(request: Request, caller: Actor, name_or_id: str) -> Account:
    """The account, if the caller may know of it. :raises NoSuchAccount: there is none, or they may not"""
    node = node_of(request)
    found = node.accounts.get(name_or_id)
    if not node.authoriser.decide(caller, "people.show", {"id": found.id, "region": found.region}).allowed:
        raise NoSuchAccount(
            f"There is no account {name_or_id[:64]}; list the accounts or create it.",
            f"没有账户 {name_or_id[:64]}；请查看账户列表或先创建。",
        )
    return found


def _colleague(request: Request, caller: Actor, name_or_id: str) -> str:
    """Whom the caller may let stand in: anybody they may see, else a colleague. :raises NoSuchAccount: nobody of these"""
    accounts = node_of(request).accounts
    near = accounts.colleagues(accounts.get(caller.id))
    return next((one.id for one in near if name_or_id in (one.id, one.name)), None) or _known(request, caller, name_or_id).id


def _own_delegation(request: Request, caller: Actor, delegation_id: str) -> Delegation:
    """The delegation, if it is the caller's on either side, or the caller sees all."""
    node = node_of(request)
    found = node.accounts.delegations.get(delegation_id)
    if caller.id not in (found.from_account, found.to_account):
        allowed = node.authoriser.decide(caller, "people.delegations", {"region": node.region}).allowed
        if not allowed:
            raise node.accounts.delegations.none()
    return found
