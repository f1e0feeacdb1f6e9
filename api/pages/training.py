"""The five doors and what is behind them; nothing of it exists on a production node, nor before the cases are prepared."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import FileResponse, RedirectResponse, Response

from api import render
from api.auth import CurrentSession, citizen_browser, node_of
from api.sessions import CITIZEN_COOKIE, COOKIE, FORM_COOKIE, demand, form_token, set_cookie
from api.training import COOKIE as TRAINING
from api.training import DOORS, Door, Progress, door, progress, remember
from ceremonies import training
from ceremonies.sample import EXAMPLES
from ceremonies.training import LICENCES, Cases
from crypto.errors import NotFound
from formats.dates import shown_time
from people.citizen_oidc import DEVELOPMENT_ASSURANCE
from people.citizens import Statement
from people.demo import demo_citizen

router = APIRouter(include_in_schema=False)

Judgement = Literal["accept", "check", "refuse"]


def _cases(request: Request) -> Cases:
    """:raises NotFound: a production node, or nothing is prepared"""
    found = training.prepared(node_of(request))
    if found is None:
        raise NotFound("There is no training here.", "这里没有培训模式。")
    return found


def _door(key: str) -> Door:
    found = door(key)
    if found is None:
        raise NotFound("There is no such door.", "没有这扇门。")
    return found


def doors(request: Request) -> Response:
    """The first page of the demo."""
    token = form_token(request)
    response = render.page(request, "doors.html", here="training", doors=DOORS, form_token=token)
    set_cookie(response, FORM_COOKIE, token, secure=request.app.state.secure_cookies)
    return response


@router.get("/training")
def training_page(request: Request, session: CurrentSession) -> Response:
    """The five doors, from anywhere."""
    _cases(request)
    return doors(request)


@router.post("/training/enter/{key}")
def enter(request: Request, session: CurrentSession, key: str, csrf: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Go through a door: signed in as its person, with nothing of it done yet."""
    cases, found = _cases(request), _door(key)
    demand(request.cookies.get(FORM_COOKIE, ""), csrf)
    secure = request.app.state.secure_cookies
    accounts = node_of(request).accounts
    if session is not None:
        accounts.sign_out(session.token)
    response = RedirectResponse(f"/training/{key}", 303)
    response.delete_cookie(COOKIE)
    _citizen_out(request, response)
    if found.citizen is not None:
        set_cookie(response, CITIZEN_COOKIE, _citizen_in(request, found.citizen), secure=secure)
    if found.account is not None:
        set_cookie(response, COOKIE, accounts.open_session(accounts.get(found.account)).token, secure=secure)
    remember(response, Progress(found, cases.set, frozenset()), secure=secure)
    return response


@router.post("/training/leave")
def leave(request: Request, session: CurrentSession, csrf: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Back to the doors; whoever was signed in behind one is signed out."""
    demand(request.cookies.get(FORM_COOKIE, ""), csrf)
    if session is not None:
        node_of(request).accounts.sign_out(session.token)
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    response.delete_cookie(TRAINING)
    _citizen_out(request, response)
    return response


@router.post("/training/again")
def again(request: Request, session: CurrentSession, csrf: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Prepare a fresh set of cases; takes a few seconds."""
    _cases(request)
    demand(request.cookies.get(FORM_COOKIE, ""), csrf)
    training.prepare(node_of(request), fresh=True)
    response = RedirectResponse("/training", 303)
    response.delete_cookie(TRAINING)
    return response


@router.get("/training/licences")
def licences(request: Request, session: CurrentSession) -> Response:
    """Five licences to judge before Xinyin does."""
    cases = _cases(request)
    found = progress(request, cases)
    seen = found.seen if found else frozenset()
    shown = [{"case": case, "number": number, "seen": case in seen} for number, case in enumerate(LICENCES, 1)]
    token = form_token(request)
    response = render.page(request, "licences.html", here="training", shown=shown, form_token=token)
    set_cookie(response, FORM_COOKIE, token, secure=request.app.state.secure_cookies)
    return response


@router.get("/training/file/{case}.pdf")
def file(request: Request, case: str) -> Response:
    """One of the prepared licences, under a name that gives nothing away."""
    name = _cases(request).licences.get(case)
    if name is None:
        raise NotFound("There is no such case.", "没有这个案例。")
    path = training.folder(node_of(request)) / name
    return FileResponse(path, media_type="application/pdf", filename=name, content_disposition_type="inline")


@router.get("/training/paper.pdf")
def paper(request: Request) -> Response:
    """What a handler in training hands in."""
    _cases(request)
    return FileResponse(EXAMPLES / "approval.pdf", media_type="application/pdf", filename="批复（样本）.pdf")


@router.get("/training/case/{case}")
def case(request: Request, session: CurrentSession, case: str, said: Judgement | None = None) -> Response:
    """Verify a prepared licence; leads to the result. ``said`` is what somebody judged beforehand."""
    cases = _cases(request)
    name = cases.licences.get(case)
    if name is None:
        raise NotFound("There is no such case.", "没有这个案例。")
    data = (training.folder(node_of(request)) / name).read_bytes()
    verdict = request.app.state.verifier.verify(data, name=name)
    kept = request.app.state.results.put(verdict, shown_time(datetime.now(UTC)))
    response = RedirectResponse(f"/verify/{kept}" + (f"?said={said}" if said else ""), 303)
    if (lang := request.query_params.get("lang")) is not None:
        render.remember_language(response, lang)
    _saw(request, response, cases, case)
    return response


@router.get("/training/step/{key}/{step}")
def step(request: Request, key: str, step: str) -> Response:
    """Go where a step is done, remembering that somebody looked."""
    cases, found = _cases(request), _door(key)
    wanted = next((one for one in found.steps if one.key == step), None)
    if wanted is None:
        raise NotFound("There is no such step.", "没有这个步骤。")
    response = RedirectResponse(_address(wanted.href, cases), 303)
    _saw(request, response, cases, step)
    return response


@router.get("/training/{key}")
def task(request: Request, session: CurrentSession, key: str) -> Response:
    """Behind a door: the three steps."""
    cases, found = _cases(request), _door(key)
    now = progress(request, cases)
    if now is None or now.door.key != key:
        return RedirectResponse("/training", 303)
    states = now.states(node_of(request), cases)
    token = form_token(request)
    response = render.page(
        request, "task.html", here="training", door=found, states=states, done=all(done for _, done in states), form_token=token
    )
    set_cookie(response, FORM_COOKIE, token, secure=request.app.state.secure_cookies)
    return response


def _citizen_in(request: Request, key: str) -> str:
    """The token of a session of a demo citizen, as if they came from the development identity provider."""
    one, citizens = demo_citizen(key), node_of(request).citizens
    statement = Statement("training", one.key, one.name, one.id_number, DEVELOPMENT_ASSURANCE)
    return citizens.open_session(citizens.signed_in(statement), agent=request.headers.get("user-agent", "")).token


def _citizen_out(request: Request, response: Response) -> None:
    """A door is entered and left as nobody from outside."""
    browser = citizen_browser(request)
    if browser is not None:
        node_of(request).citizens.sign_out(browser.token)
        response.delete_cookie(CITIZEN_COOKIE)


def _saw(request: Request, response: Response, cases: Cases, what: str) -> None:
    found = progress(request, cases)
    if found is not None:
        remember(response, found.with_seen(what), secure=request.app.state.secure_cookies)


def _address(href: str, cases: Cases) -> str:
    names: dict[str, Any] = {
        "code": cases.code,
        "licence": cases.licence,
        "role": cases.role,
        "approval": cases.approval,
        **{f"app_{k}": v for k, v in cases.applications.items()},
    }
    names |= {f"track_{k}": v for k, v in cases.track.items()}
    return href.format(**names)
