"""The own account: passkeys, who stands in for whom, open sessions, the password."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Header, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel

from api import render
from api.auth import CurrentSession, node_of
from api.pages.signin import origin_of
from api.sessions import Session, demand
from api.texts import text
from ceremonies.plain import plain
from crypto.errors import BadInput, Unauthenticated, XinyinError
from formats.dates import BEIJING
from people.schemas import DELEGABLE_ROLES, ROLES, Account, Delegation

router = APIRouter(include_in_schema=False)


class NewPasskey(BaseModel):
    """What the browser's new passkey gave, and what its owner calls it."""

    name: str = ""
    ticket: str = ""
    credential: dict[str, Any] = {}


@router.get("/account")
def account_page(request: Request, session: CurrentSession) -> Response:
    """Everything about the own account."""
    return _page(request, signed_in(session))


# -- passkeys ---------------------------------------------------------------------------------------------------------------


@router.post("/account/passkeys/options")
def passkey_options(
    request: Request, session: CurrentSession, x_csrf_token: Annotated[str, Header(max_length=200)] = ""
) -> Response:
    """What the browser needs to make a passkey."""
    mine = signed_in(session)
    demand(mine.csrf, x_csrf_token)
    node_of(request).accounts.need_fresh(mine.token)  # a passkey outlasts the session that it was added in
    passkeys = node_of(request).accounts.passkeys
    passkeys.check_origin(origin_of(request))
    options, ticket = passkeys.begin_enrolment(mine.account)
    return JSONResponse({"options": options, "ticket": ticket})


@router.post("/account/passkeys")
def add_passkey(
    request: Request, session: CurrentSession, made: NewPasskey, x_csrf_token: Annotated[str, Header(max_length=200)] = ""
) -> Response:
    """Keep the passkey that the browser made."""
    mine = signed_in(session)
    demand(mine.csrf, x_csrf_token)
    passkeys = node_of(request).accounts.passkeys
    passkeys.finish_enrolment(mine.account, made.ticket, made.credential, name=made.name, origin=origin_of(request))
    return JSONResponse({"next": "/account?done=passkey-added#passkeys"})


@router.post("/account/passkeys/{passkey_id}/rename")
def rename_passkey(
    request: Request,
    session: CurrentSession,
    passkey_id: str,
    name: Annotated[str, Form(max_length=100)],
    csrf: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Call a passkey something else."""
    mine = signed_in(session, csrf)
    return _done(request, mine, "renamed", lambda: node_of(request).accounts.passkeys.rename(mine.account.id, passkey_id, name))


@router.post("/account/passkeys/{passkey_id}/remove")
def remove_passkey(
    request: Request, session: CurrentSession, passkey_id: str, csrf: Annotated[str, Form(max_length=200)] = ""
) -> Response:
    """A passkey proves nothing from now on."""
    mine = signed_in(session, csrf)
    own = mine.account.id
    remove = node_of(request).accounts.passkeys.remove
    return _done(request, mine, "passkey-removed", lambda: remove(own, passkey_id, actor=own))


# -- sessions and password --------------------------------------------------------------------------------------------------


@router.post("/account/sessions/{session_id}/end")
def end_session(
    request: Request, session: CurrentSession, session_id: str, csrf: Annotated[str, Form(max_length=200)] = ""
) -> Response:
    """End one of the own sessions, or with ``others`` all but this one."""
    mine = signed_in(session, csrf)
    accounts = node_of(request).accounts
    if session_id == "others":
        return _done(request, mine, "session-ended", lambda: accounts.end_sessions(mine.account.id, keep=mine.token))
    return _done(request, mine, "session-ended", lambda: accounts.end_session(mine.account.id, session_id))


@router.post("/account/password")
def change_password(
    request: Request,
    session: CurrentSession,
    current: Annotated[str, Form(max_length=1000)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    again: Annotated[str, Form(max_length=1000)] = "",
    csrf: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """A new password, for whoever knows the present one; every other session ends."""
    mine = signed_in(session, csrf)
    accounts = node_of(request).accounts

    def change() -> None:
        if password != again:
            raise BadInput("The two new passwords differ; type them again.", "两次输入的新密码不一致，请重新输入。")
        accounts.authenticate(mine.account.name, current)
        accounts.set_password(mine.account.id, password, actor=mine.account.id, keep=mine.token)

    return _done(request, mine, "password-changed", change)


# -- delegations ------------------------------------------------------------------------------------------------------------


@router.post("/account/delegations")
def delegate(
    request: Request,
    session: CurrentSession,
    to: Annotated[str, Form(max_length=64)] = "",
    role: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI copies it
    department: Annotated[str, Form(max_length=64)] = "",
    matter: Annotated[list[str], Form()] = [],  # noqa: B006
    since: Annotated[str, Form(max_length=10)] = "",
    until: Annotated[str, Form(max_length=10)] = "",
    reason: Annotated[str, Form(max_length=500)] = "",
    csrf: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Let a colleague stand in."""
    mine = signed_in(session, csrf)
    node = node_of(request)

    def grant() -> None:
        rule = node.authorise(mine.account, "people.delegate", {"id": mine.account.id})
        if to not in {one.id for one in node.accounts.colleagues(mine.account)}:
            raise BadInput(
                "Choose a colleague of your department; for anybody else ask the administrator.",
                "请选择本部门的同事；授权给其他人员请联系系统管理员办理。",
            )
        node.accounts.delegations.grant(
            mine.account.id,
            to,
            roles=role,
            department=department or None,
            matters=matter,
            since=day(since, end=False) if since else None,
            until=day(until, end=True),
            reason=reason,
            actor=mine.account.id,
            rule=rule,
        )

    return _done(request, mine, "delegated", grant)


@router.post("/account/delegations/{delegation_id}/withdraw")
def withdraw(
    request: Request, session: CurrentSession, delegation_id: str, csrf: Annotated[str, Form(max_length=200)] = ""
) -> Response:
    """End a delegation that one gave, or give back one that one holds."""
    mine = signed_in(session, csrf)
    delegations = node_of(request).accounts.delegations

    def end() -> None:
        found = delegations.get(delegation_id)
        if mine.account.id not in (found.from_account, found.to_account):
            raise delegations.none()
        delegations.withdraw(found.id, actor=mine.account.id)

    return _done(request, mine, "withdrawn", end)


# -- shared -----------------------------------------------------------------------------------------------------------------


def signed_in(session: Session | None, csrf: str | None = None) -> Session:
    """The session; with ``csrf`` (a form's) checked against it.

    :raises Unauthenticated: nobody is signed in
    """
    if session is None:
        raise Unauthenticated("Sign in first.", "请先登录。")
    if csrf is not None:
        demand(session.csrf, csrf)
    return session


def day(value: str, *, end: bool) -> datetime:
    """A date of a form, in Beijing: its first moment, or with ``end`` the first one after it.

    :raises BadInput: no date
    """
    try:
        found = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=BEIJING)
        return found + timedelta(days=1) if end else found
    except (ValueError, OverflowError) as exc:
        raise BadInput("Choose a date.", "请选择日期。") from exc


def shown_delegation(one: Delegation, names: dict[str, str], departments: dict[str, str]) -> dict[str, Any]:
    """A delegation with names for its identifiers, for a page."""
    found: dict[str, Any] = plain(one)
    return {
        **found,
        "from_name": names.get(one.from_account, one.from_account),
        "to_name": names.get(one.to_account, one.to_account),
        "department_name": departments.get(one.department, one.department),
        "open": one.status in ("active", "planned"),
    }


def browser(agent: str) -> str:
    """What a browser's own long name says to people: ``Chrome · Windows``; empty where it says nothing."""
    made = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
    runs = (
        ("HarmonyOS", "HarmonyOS"),
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    )
    parts = [next((name for mark, name in kinds if mark in agent), "") for kinds in (made, runs)]
    return " · ".join(part for part in parts if part)


def _done(request: Request, mine: Session, what: str, do: Callable[[], object]) -> Response:
    """Do it and lead back to the page, which says so; or show the page with what is wrong."""
    try:
        do()
    except XinyinError as exc:
        return _page(request, mine, exc.status, problem=exc.to_dict())
    return RedirectResponse(f"/account?done={what}", 303)


_SAID = frozenset(
    {"passkey-added", "passkey-removed", "renamed", "session-ended", "password-changed", "delegated", "withdrawn"}
)


def _page(request: Request, mine: Session, status: int = 200, **values: Any) -> Response:
    accounts = node_of(request).accounts
    account: Account = mine.account
    lang = render.language(request)
    departments = {one.id: one.name for one in accounts.departments()}
    delegations = accounts.delegations.list(account.id, limit=50)
    names = accounts.display_names({x for one in delegations for x in (one.from_account, one.to_account)})
    given = [shown_delegation(one, names, departments) for one in delegations if one.from_account == account.id]
    held = [shown_delegation(one, names, departments) for one in delegations if one.to_account == account.id]
    done = request.query_params.get("done", "")
    lend_options = role_options(DELEGABLE_ROLES & account.roles, lang)
    return render.page(
        request,
        "account.html",
        status,
        here="account",
        me=account,
        department=departments.get(account.department or "", ""),
        has_password=accounts.has_password(account.id),
        passkeys=plain(accounts.passkeys.owned(account.id)),
        passkeys_here=_passkeys_work(request),
        own_address=accounts.passkeys.origin,
        sessions=[{**plain(one), "browser": browser(one.agent)} for one in accounts.sessions(account.id, current=mine.token)],
        identities=plain(accounts.identities.of(account.id)),
        given=given,
        held=held,
        colleagues=[(one.id, one.display_name) for one in accounts.colleagues(account)] if lend_options else [],
        done=done if done in _SAID else "",
        **delegation_choices(request, account, lend_options),
        **values,
    )


def delegation_choices(request: Request, lender: Account, lend_options: list[tuple[str, str, str]]) -> dict[str, Any]:
    """What the fields of a new delegation offer, for the template's ``delegation_fields``."""
    node, lang = node_of(request), render.language(request)
    matters = [(one.code, one.zh if lang == "zh" else one.en, "") for one in node.seals.book.matters.all()]
    departments = [(one.id, one.name) for one in node.accounts.departments() if one.id in lender.departments]
    return {
        "role_order": ROLES,
        "lend_options": lend_options,
        "below": departments,
        "below_default": lender.department,
        "matter_options": matters,
        "matter_names": {code: name for code, name, _ in matters},
        "today": datetime.now(BEIJING).date().isoformat(),
    }


def role_options(roles: Collection[str], lang: str) -> list[tuple[str, str, str]]:
    """Roles as the choices of a form: ``(value, what it is called, what it may do)``."""
    return [(key, text(lang, f"people_role_{key}"), text(lang, f"people_role_{key}_means")) for key in ROLES if key in roles]


def _passkeys_work(request: Request) -> bool:
    """Whether the page was opened under an address that passkeys belong to."""
    try:
        node_of(request).accounts.passkeys.check_origin(str(request.base_url).rstrip("/"))
    except XinyinError:
        return node_of(request).mode == "production"
    return True
