"""The administrator's pages about accounts: the list, a new one, one with all that belongs to it, a post that passes on."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from api import render
from api.auth import CurrentSession, node_of
from api.pages.account import browser, day, delegation_choices, role_options, shown_delegation, signed_in
from api.pages.organisation import PAGE, Csrf, Short, may, render_people, said
from api.sessions import Session
from ceremonies.plain import plain
from crypto.errors import BadInput, XinyinError
from people.schemas import DELEGABLE_ROLES, ROLES, Account

router = APIRouter(include_in_schema=False)

Ticked = Annotated[list[str], Form()]


# -- accounts ---------------------------------------------------------------------------------------------------------------


@router.get("/people")
def people_page(
    request: Request,
    session: CurrentSession,
    q: str = "",
    role: str = "",
    status: str = "",
    department: str = "",
    cursor: str | None = None,
) -> Response:
    """Accounts, searched and page by page."""
    may(request, session, "people.list")
    accounts = node_of(request).accounts
    wanted = {"q": q[:200], "role": role if role in ROLES else "", "status": status, "department": department}
    found = accounts.accounts(
        limit=PAGE + 1,
        after=cursor,
        q=wanted["q"],
        role=wanted["role"] or None,
        status=status or None,
        department=department or None,
    )
    shown = found[:PAGE]
    query = {key: value for key, value in wanted.items() if value}
    following = f"/people?{urlencode({**query, 'cursor': shown[-1].id})}" if len(found) > PAGE else None
    return render_people(
        request,
        "people.html",
        "accounts",
        rows=shown,
        departments=_departments(request),
        asked=wanted,
        role_choices=[(key, name) for key, name, _ in role_options(ROLES, render.language(request))],
        following=following,
        first=f"/people?{urlencode(query)}" if cursor else None,
        done=said(request),
    )


@router.get("/people/new")
def new_page(request: Request, session: CurrentSession) -> Response:
    """The form for an account."""
    may(request, session, "people.create")
    return _new_form(request)


@router.post("/people/new")
def create(
    request: Request,
    session: CurrentSession,
    name: Short = "",
    display_name: Short = "",
    department: Short = "",
    kind: Annotated[str, Form(max_length=10)] = "staff",
    role: Ticked = [],  # noqa: B006 - FastAPI copies it
    with_password: Annotated[str, Form(max_length=5)] = "",
    csrf: Csrf = "",
) -> Response:
    """An account; a password is made here and shown once."""
    mine = signed_in(session, csrf)
    node = node_of(request)
    password = _new_password() if kind == "staff" and with_password else None
    try:
        node.authorise(mine.account, "people.create")
        made = node.accounts.create(
            name.strip(),
            password,
            roles=role,
            department=department or None,
            display_name=display_name.strip() or None,
            kind="system" if kind == "system" else "staff",
            actor=mine.account.id,
        )
    except XinyinError as exc:
        typed = {"name": name, "display_name": display_name, "department": department, "kind": kind, "role": role}
        return _new_form(request, exc.status, problem=exc.to_dict(), typed=typed)
    if password is None:
        return RedirectResponse(f"/people/{made.id}?done=created", 303)
    return _person(request, made, secret=password, secret_kind="password", done="created")  # noqa: S106 - a kind


@router.get("/people/{account_id}")
def person_page(request: Request, session: CurrentSession, account_id: str) -> Response:
    """One account with all that belongs to it."""
    may(request, session, "people.list")
    return _person(request, node_of(request).accounts.get(account_id), done=said(request))


@router.post("/people/{account_id}/change")
def change(
    request: Request,
    session: CurrentSession,
    account_id: str,
    display_name: Short = "",
    department: Short = "",
    role: Ticked = [],  # noqa: B006
    csrf: Csrf = "",
) -> Response:
    """Name, department and roles."""

    def do(account: Account, actor: str, rule: str) -> None:
        accounts = node_of(request).accounts
        if set(role) != account.roles:
            accounts.set_roles(account.id, role, actor=actor)
        accounts.change(account.id, display_name=display_name, department=department or None, actor=actor, rule=rule)

    return _change(request, session, csrf, account_id, "saved", do)


@router.get("/people/{account_id}/close")
def close_page(request: Request, session: CurrentSession, account_id: str) -> Response:
    """Ask before an account is closed."""
    may(request, session, "people.change")
    return render_people(request, "person_close.html", "accounts", person=node_of(request).accounts.get(account_id))


@router.post("/people/{account_id}/status")
def set_status(
    request: Request,
    session: CurrentSession,
    account_id: str,
    status: Annotated[str, Form(max_length=10)] = "",
    csrf: Csrf = "",
) -> Response:
    """Close an account, or open it again."""

    def do(account: Account, actor: str, rule: str) -> None:
        if account.id == actor:
            raise BadInput(
                "Nobody closes their own account; another administrator does.", "不能停用本人账户；请由其他管理员办理。"
            )
        node_of(request).accounts.set_status(account.id, status, actor=actor)

    return _change(request, session, csrf, account_id, "saved", do)


@router.post("/people/{account_id}/password")
def new_password(request: Request, session: CurrentSession, account_id: str, csrf: Csrf = "") -> Response:
    """A new password, made here and shown once; every session ends."""
    password = _new_password()

    def do(account: Account, actor: str, rule: str) -> None:
        node_of(request).accounts.set_password(account.id, password, actor=actor)

    return _change(request, session, csrf, account_id, "password", do, secret=password, secret_kind="password")  # noqa: S106


@router.post("/people/{account_id}/sessions/end")
def end_sessions(request: Request, session: CurrentSession, account_id: str, csrf: Csrf = "") -> Response:
    """Sign somebody out everywhere."""

    def do(account: Account, actor: str, rule: str) -> None:
        node_of(request).accounts.end_sessions(account.id)

    return _change(request, session, csrf, account_id, "signed-out", do)


@router.post("/people/{account_id}/passkeys/{passkey_id}/remove")
def remove_passkey(request: Request, session: CurrentSession, account_id: str, passkey_id: str, csrf: Csrf = "") -> Response:
    """A passkey that was lost proves nothing from now on."""

    def do(account: Account, actor: str, rule: str) -> None:
        node_of(request).accounts.passkeys.remove(account.id, passkey_id, actor=actor)

    return _change(request, session, csrf, account_id, "saved", do)


@router.post("/people/{account_id}/identities/{identity_id}/unbind")
def unbind(request: Request, session: CurrentSession, account_id: str, identity_id: str, csrf: Csrf = "") -> Response:
    """Somebody at the provider signs in to this account no more."""

    def do(account: Account, actor: str, rule: str) -> None:
        node_of(request).accounts.identities.unbind(identity_id, actor=actor, account=account.id, rule=rule)

    return _change(request, session, csrf, account_id, "saved", do)


@router.post("/people/{account_id}/tokens")
def issue_token(
    request: Request,
    session: CurrentSession,
    account_id: str,
    label: Short = "",
    days: Annotated[int, Form(ge=1, le=3650)] = 365,
    csrf: Csrf = "",
) -> Response:
    """A bearer token, shown once."""
    made: list[str] = []

    def do(account: Account, actor: str, rule: str) -> None:
        made.append(node_of(request).accounts.issue_token(account.id, label.strip() or "-", days=days, actor=actor)[1])

    return _change(request, session, csrf, account_id, "token", do, secret=made, secret_kind="token")  # noqa: S106


@router.post("/people/{account_id}/tokens/{token_id}/revoke")
def revoke_token(request: Request, session: CurrentSession, account_id: str, token_id: str, csrf: Csrf = "") -> Response:
    """A token counts no more."""

    def do(account: Account, actor: str, rule: str) -> None:
        accounts = node_of(request).accounts
        if token_id in {one.id for one in accounts.tokens(account.id)}:
            accounts.revoke_token(token_id, actor=actor)

    return _change(request, session, csrf, account_id, "saved", do)


@router.post("/people/{account_id}/keys")
def add_key(
    request: Request,
    session: CurrentSession,
    account_id: str,
    key: Annotated[str, Form(max_length=10_000)] = "",
    label: Short = "",
    csrf: Csrf = "",
) -> Response:
    """A public key with which a system proves itself."""

    def do(account: Account, actor: str, rule: str) -> None:
        node_of(request).accounts.clients.add(account.id, key, name=label, actor=actor, rule=rule)

    return _change(request, session, csrf, account_id, "saved", do)


@router.post("/people/{account_id}/keys/{key_id}/revoke")
def revoke_key(request: Request, session: CurrentSession, account_id: str, key_id: str, csrf: Csrf = "") -> Response:
    """A system's key, and its tokens, count no more."""

    def do(account: Account, actor: str, rule: str) -> None:
        node_of(request).accounts.clients.revoke(key_id, actor=actor, account=account.id, rule=rule)

    return _change(request, session, csrf, account_id, "saved", do)


@router.post("/people/{account_id}/delegations")
def delegate(
    request: Request,
    session: CurrentSession,
    account_id: str,
    to: Short = "",
    role: Ticked = [],  # noqa: B006
    department: Short = "",
    matter: Ticked = [],  # noqa: B006
    since: Annotated[str, Form(max_length=10)] = "",
    until: Annotated[str, Form(max_length=10)] = "",
    reason: Annotated[str, Form(max_length=500)] = "",
    csrf: Csrf = "",
) -> Response:
    """Arrange in somebody's place that a colleague stands in: they are ill, or away without having done so."""

    def do(account: Account, actor: str, rule: str) -> None:
        node_of(request).accounts.delegations.grant(
            account.id,
            to,
            roles=role,
            department=department or None,
            matters=matter,
            since=day(since, end=False) if since else None,
            until=day(until, end=True),
            reason=reason,
            actor=actor,
            rule=rule,
        )

    return _change(request, session, csrf, account_id, "delegated", do, action="people.delegate")


@router.get("/people/{account_id}/hand-over")
def hand_over_page(request: Request, session: CurrentSession, account_id: str) -> Response:
    """The form to pass a post on, with what will happen."""
    may(request, session, "people.hand-over")
    return _hand_over_form(request, node_of(request).accounts.get(account_id))


@router.post("/people/{account_id}/hand-over")
def hand_over(
    request: Request,
    session: CurrentSession,
    account_id: str,
    to: Short = "",
    role: Ticked = [],  # noqa: B006
    leaves: Annotated[str, Form(max_length=5)] = "",
    reason: Annotated[str, Form(max_length=500)] = "",
    csrf: Csrf = "",
) -> Response:
    """Pass a post on to a successor."""
    mine = signed_in(session, csrf)
    node = node_of(request)
    found = node.accounts.get(account_id)
    try:
        rule = node.authorise(mine.account, "people.hand-over", {"id": found.id})
        done = node.accounts.hand_overs.hand_over(
            found.id, to, roles=role, leaves=bool(leaves), reason=reason, actor=mine.account.id, rule=rule
        )
    except XinyinError as exc:
        return _hand_over_form(request, found, exc.status, problem=exc.to_dict())
    return RedirectResponse(f"/people/{done.to_account}?done=handed-over", 303)


# -- shared -----------------------------------------------------------------------------------------------------------------


def _change(
    request: Request,
    session: Session | None,
    csrf: str,
    account_id: str,
    what: str,
    do: Callable[[Account, str, str], object],
    *,
    action: str = "people.change",
    secret: str | list[str] | None = None,
    secret_kind: str = "",
) -> Response:
    """Change an account, if the rules let this person: back to its page, which says so, or the page with what is wrong.

    :param secret: what is shown this once
    """
    mine = signed_in(session, csrf)
    node = node_of(request)
    account = node.accounts.get(account_id)
    rule = node.authorise(mine.account, action, {"id": account.id})
    try:
        do(account, mine.account.id, rule)
    except XinyinError as exc:
        return _person(request, account, exc.status, problem=exc.to_dict())
    if secret:
        shown = secret if isinstance(secret, str) else secret[0]
        return _person(request, node.accounts.get(account.id), secret=shown, secret_kind=secret_kind, done=what)
    return RedirectResponse(f"/people/{account.id}?done={what}", 303)


def _departments(request: Request) -> dict[str, str]:
    return {one.id: one.name for one in node_of(request).accounts.departments()}


def _new_form(request: Request, status: int = 200, **values: Any) -> Response:
    typed = values.pop("typed", {"name": "", "display_name": "", "department": "", "kind": "staff", "role": []})
    return render_people(
        request,
        "person_new.html",
        "accounts",
        status,
        typed=typed,
        departments=list(_departments(request).items()),
        role_options=role_options(ROLES, render.language(request)),
        **values,
    )


def _hand_over_form(request: Request, person: Account, status: int = 200, **values: Any) -> Response:
    accounts = node_of(request).accounts
    staff = [
        (one.id, f"{one.display_name}（{one.name}）")
        for one in accounts.accounts(kind="staff", status="active", limit=1000)
        if one.id != person.id and (one.department or person.department) == person.department
    ]
    options = role_options(person.roles, render.language(request))
    return render_people(
        request, "person_hand_over.html", "accounts", status, person=person, staff=staff, options=options, **values
    )


def _person(request: Request, person: Account, status: int = 200, **values: Any) -> Response:
    accounts = node_of(request).accounts
    departments = _departments(request)
    delegations = accounts.delegations.list(person.id, limit=20)
    names = accounts.display_names({x for one in delegations for x in (one.from_account, one.to_account)})
    lang = render.language(request)
    staff = accounts.accounts(kind="staff", status="active", limit=1000)
    system = person.kind == "system"
    shown = {"secret": "", "secret_kind": "", "done": "", **values}
    return render_people(
        request,
        "person.html",
        "accounts",
        status,
        person=person,
        department=departments.get(person.department or "", ""),
        departments=list(departments.items()),
        role_options=role_options(ROLES, lang),
        passkeys=plain(accounts.passkeys.owned(person.id)),
        sessions=[{**plain(one), "browser": browser(one.agent)} for one in accounts.sessions(person.id)],
        identities=accounts.identities.of(person.id),
        has_password=accounts.has_password(person.id),
        tokens=plain(accounts.tokens(person.id)),
        keys=plain(accounts.clients.list(person.id)) if system else [],
        token_endpoint=accounts.clients.token_endpoint,
        delegations=[shown_delegation(one, names, departments) for one in delegations],
        delegates=[(one.id, one.display_name) for one in staff if one.id != person.id],
        **delegation_choices(request, person, role_options(DELEGABLE_ROLES & person.roles, lang)) | {"role_order": ROLES},
        **shown,
    )


def _new_password() -> str:
    return "-".join(secrets.token_hex(3) for _ in range(4))
