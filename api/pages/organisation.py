"""The administrator's pages about the whole house: departments, who stands in for whom, who asks to be bound to an account.

What these pages share with those of one account (``people.py``) is here.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from api import render
from api.auth import CurrentSession, node_of
from api.pages.account import shown_delegation, signed_in
from api.sessions import Session
from ceremonies.plain import plain
from crypto.errors import XinyinError
from people.schemas import ROLES, Department

router = APIRouter(include_in_schema=False)

PAGE = 50
Csrf = Annotated[str, Form(max_length=200)]
Short = Annotated[str, Form(max_length=200)]


@router.get("/people/departments")
def departments_page(request: Request, session: CurrentSession) -> Response:
    """The departments as a tree."""
    may(request, session, "people.list")
    return _tree(request)


@router.post("/people/departments")
def create_department(
    request: Request,
    session: CurrentSession,
    name: Short = "",
    uscc: Annotated[str, Form(max_length=18)] = "",
    parent: Short = "",
    csrf: Csrf = "",
) -> Response:
    """A department."""
    mine = signed_in(session, csrf)
    node = node_of(request)
    try:
        node.authorise(mine.account, "people.change")
        node.accounts.create_department(name, uscc=uscc.strip().upper() or None, parent=parent or None, actor=mine.account.id)
    except XinyinError as exc:
        return _tree(request, exc.status, problem=exc.to_dict())
    return RedirectResponse("/people/departments?done=saved", 303)


@router.post("/people/departments/{department_id}")
def change_department(
    request: Request, session: CurrentSession, department_id: str, name: Short = "", parent: Short = "", csrf: Csrf = ""
) -> Response:
    """Another name or place for a department."""
    mine = signed_in(session, csrf)
    node = node_of(request)
    try:
        rule = node.authorise(mine.account, "people.change", {"id": department_id})
        node.accounts.change_department(department_id, name=name, parent=parent or None, actor=mine.account.id, rule=rule)
    except XinyinError as exc:
        return _tree(request, exc.status, problem=exc.to_dict())
    return RedirectResponse("/people/departments?done=saved", 303)


@router.get("/people/delegations")
def delegations_page(request: Request, session: CurrentSession, cursor: str | None = None) -> Response:
    """Who stands in for whom."""
    may(request, session, "people.list")
    accounts = node_of(request).accounts
    found = accounts.delegations.list(limit=PAGE + 1, after=cursor)
    names = accounts.display_names({x for one in found for x in (one.from_account, one.to_account)})
    departments = {one.id: one.name for one in accounts.departments()}
    matters = node_of(request).seals.book.matters.all()
    return render_people(
        request,
        "people_delegations.html",
        "delegations",
        rows=[shown_delegation(one, names, departments) for one in found[:PAGE]],
        matter_names={one.code: one.zh if render.language(request) == "zh" else one.en for one in matters},
        following=f"/people/delegations?cursor={found[PAGE - 1].id}" if len(found) > PAGE else None,
        first="/people/delegations" if cursor else None,
        done=said(request),
    )


@router.post("/people/delegations/{delegation_id}/withdraw")
def withdraw(request: Request, session: CurrentSession, delegation_id: str, csrf: Csrf = "") -> Response:
    """End a delegation in its giver's place."""
    mine = signed_in(session, csrf)
    node = node_of(request)
    found = node.accounts.delegations.get(delegation_id)
    rule = node.authorise(mine.account, "people.delegate", {"id": found.from_account})
    node.accounts.delegations.withdraw(found.id, actor=mine.account.id, rule=rule)
    return RedirectResponse("/people/delegations?done=withdrawn", 303)


@router.get("/people/requests")
def requests_page(request: Request, session: CurrentSession) -> Response:
    """Who signed in at the provider and is bound to no account."""
    may(request, session, "people.list")
    accounts = node_of(request).accounts
    return render_people(
        request,
        "people_requests.html",
        "requests",
        rows=[{**plain(one), "code": one.code} for one in accounts.identities.waiting()],
        people=[(one.id, f"{one.display_name}（{one.name}）") for one in accounts.accounts(kind="staff", limit=1000)],
        provider=node_of(request).oidc,
        done=said(request),
    )


@router.post("/people/requests/{identity_id}/bind")
def bind(request: Request, session: CurrentSession, identity_id: str, account: Short = "", csrf: Csrf = "") -> Response:
    """Bind a person at the provider to an account."""
    mine = signed_in(session, csrf)
    node = node_of(request)
    rule = node.authorise(mine.account, "people.change", {"id": account})
    node.accounts.identities.bind(identity_id, account, actor=mine.account.id, rule=rule)
    return RedirectResponse("/people/requests?done=bound", 303)


# -- shared -----------------------------------------------------------------------------------------------------------------


def may(request: Request, session: Session | None, action: str) -> Session:
    """The session, if the rules allow the action. :raises NotAllowed: they do not"""
    mine = signed_in(session)
    node_of(request).authorise(mine.account, action)
    return mine


_SAID = frozenset({"created", "saved", "password", "signed-out", "token", "delegated", "handed-over", "withdrawn", "bound"})


def said(request: Request) -> str:
    """What was done just now, for the page to say so."""
    done = request.query_params.get("done", "")
    return done if done in _SAID else ""


def render_people(request: Request, template: str, tab: str, status: int = 200, **values: Any) -> Response:
    """A page of the administrator's; ``tab`` is the one it belongs to."""
    waiting = len(node_of(request).accounts.identities.waiting())
    shared = {"tab": tab, "waiting": waiting, "role_order": ROLES, "done": "", **values}
    return render.page(request, template, status, here="people", **shared)


def _tree(request: Request, status: int = 200, **values: Any) -> Response:
    flat = node_of(request).accounts.departments()
    there = {one.id for one in flat}

    def below(parent: str | None) -> list[dict[str, Any]]:
        mine = [one for one in flat if (one.parent if one.parent in there else None) == parent]
        return [{"unit": one, "below": below(one.id), "others": _others(flat, one)} for one in mine]

    options = [(one.id, one.name) for one in flat]
    return render_people(
        request,
        "people_departments.html",
        "departments",
        status,
        tree=below(None),
        options=options,
        done=said(request),
        **values,
    )


def _others(flat: list[Department], one: Department) -> list[tuple[str, str]]:
    """Where a department may move to: any but itself; what lies below it the service refuses."""
    return [(other.id, other.name) for other in flat if other.id != one.id]
