"""The counter 窗口: an identity card, one question with yes or no, and what follows from it. For window clerks."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api import render
from api.auth import node_of
from api.pages.applying import Posted, SignedIn
from api.sessions import Session
from crypto.errors import BadInput, XinyinError
from formats.dates import BEIJING
from people.cardreader import NoCardReader
from people.schemas import Actor
from policies.presenting import matters

router = APIRouter(include_in_schema=False)

_USUAL = timedelta(days=30)
_DONE = ("used", "copied", "authorised", "withdrawn", "lost", "ended")


@router.get("/counter")
def start(request: Request, session: SignedIn) -> Response:
    """Read a card; the visits that are open."""
    return _start(request, session)


@router.post("/counter")
def identify(request: Request, session: SignedIn, form: Posted) -> Response:
    """Read the card on the reader and begin a visit."""
    try:
        visit = node_of(request).counter.identify(session.account, str(form.get("card", ""))[:100] or None)
    except XinyinError as exc:
        return _start(request, session, exc.status, problem=_said(exc))
    return RedirectResponse(f"/counter/{visit['id']}", 303)


@router.get("/counter/{visit_id}")
def visit(request: Request, session: SignedIn, visit_id: str, done: str = "", matter: str = "") -> Response:
    """One visit: the question, and what stands and can be withdrawn."""
    return _visit(request, session, visit_id, done=done if done in _DONE else "", matter=matter[:64])


@router.post("/counter/{visit_id}/ask")
def ask(request: Request, session: SignedIn, form: Posted, visit_id: str) -> Response:
    """Does the person hold a licence of this type that is in force? Yes or no."""
    matter, type_id = str(form.get("matter", ""))[:64], str(form.get("type", ""))[:64]
    try:
        answer = node_of(request).counter.ask(session.account, visit_id, type_id, matter)
    except XinyinError as exc:
        return _visit(request, session, visit_id, exc.status, problem=_said(exc), matter=matter, type=type_id)
    return _visit(request, session, visit_id, answer=answer, matter=matter, type=type_id)


@router.post("/counter/{visit_id}/see")
def see(request: Request, session: SignedIn, form: Posted, visit_id: str) -> Response:
    """What the licence says, for a matter that needs it."""
    counter, matter = node_of(request).counter, str(form.get("matter", ""))[:64]
    try:
        content = counter.see(session.account, visit_id, str(form.get("licence", ""))[:64], matter)
    except XinyinError as exc:
        return _visit(request, session, visit_id, exc.status, problem=_said(exc), matter=matter)
    return render.page(
        request,
        "counter/content.html",
        here="counter",
        visit=counter.visit(session.account, visit_id),
        content=content,
        matter=_matter(request, matter),
    )


@router.post("/counter/{visit_id}/use")
def use(request: Request, session: SignedIn, form: Posted, visit_id: str) -> Response:
    """Use the licence for the matter, in place of a paper copy."""
    matter = str(form.get("matter", ""))[:64]
    try:
        node_of(request).counter.use(session.account, visit_id, str(form.get("licence", ""))[:64], matter)
    except XinyinError as exc:
        return _visit(request, session, visit_id, exc.status, problem=_said(exc), matter=matter)
    return RedirectResponse(f"/counter/{visit_id}?done=used&matter={matter}", 303)


@router.get("/counter/{visit_id}/copy")
def copy_form(request: Request, session: SignedIn, visit_id: str, licence: str = "", matter: str = "") -> Response:
    """The form for an annotated copy, filled in for the matter."""
    return _copy(request, session, visit_id, licence=licence[:64], matter=matter[:64])


@router.post("/counter/{visit_id}/copy")
def copy(request: Request, session: SignedIn, form: Posted, visit_id: str) -> Response:
    """Make an annotated copy 加注件."""
    filled = {key: str(form.get(key, ""))[:200] for key in ("licence", "matter", "purpose", "until", "key")}
    try:
        node_of(request).counter.copy(
            session.account,
            visit_id,
            filled["licence"],
            purpose=filled["purpose"],
            until=_day(filled["until"]),
            matter=filled["matter"],
            idempotency_key=filled["key"] or None,
        )
    except XinyinError as exc:
        return _copy(request, session, visit_id, exc.status, problem=_said(exc), **filled)
    return RedirectResponse(f"/counter/{visit_id}?done=copied&matter={filled['matter']}", 303)


@router.get("/counter/{visit_id}/copies/{annotated_id}")
def document(request: Request, session: SignedIn, visit_id: str, annotated_id: str) -> Response:
    """The PDF of a copy that was made in this visit, to be printed here."""
    data = node_of(request).counter.document(session.account, visit_id, annotated_id)
    headers = {"Content-Disposition": f'inline; filename="{annotated_id}.pdf"', "Cache-Control": "no-store"}
    return Response(data, media_type="application/pdf", headers=headers)


@router.get("/counter/{visit_id}/agent")
def agent_form(request: Request, session: SignedIn, visit_id: str, licence: str = "", matter: str = "") -> Response:
    """The form for an agent 代办人 who is here too."""
    return _agent(request, session, visit_id, licence=licence[:64], matter=matter[:64])


@router.post("/counter/{visit_id}/agent")
def agent(request: Request, session: SignedIn, form: Posted, visit_id: str) -> Response:
    """Record an agent: holder and agent are both here."""
    filled = {key: str(form.get(key, ""))[:200] for key in ("licence", "matter", "card", "until")}
    try:
        node_of(request).counter.authorise(
            session.account,
            visit_id,
            filled["licence"],
            card=filled["card"] or None,
            matter=filled["matter"],
            until=_day(filled["until"]),
        )
    except XinyinError as exc:
        return _agent(request, session, visit_id, exc.status, problem=_said(exc), **filled)
    return RedirectResponse(f"/counter/{visit_id}?done=authorised&matter={filled['matter']}", 303)


@router.get("/counter/{visit_id}/withdraw")
def ask_withdraw(request: Request, session: SignedIn, visit_id: str, what: str = "") -> Response:
    """Ask before something is withdrawn; ``phones``: which phone was lost."""
    counter = node_of(request).counter
    stands = counter.standing(session.account, visit_id)
    if what == "phones" and stands["phones"]:
        found = counter.visit(session.account, visit_id)
        return render.page(request, "counter/phones.html", here="counter", visit=found, phones=stands["phones"])
    one = next((x for x in [*stands["grants"], *stands["copies"], *stands["phones"]] if x["id"] == what), None)
    if one is None:
        return _visit(request, session, visit_id, 404)
    shown = {"visit": counter.visit(session.account, visit_id), "one": one, "names": _names(request)}
    return render.page(request, "counter/withdraw.html", here="counter", **shown)


@router.post("/counter/{visit_id}/withdraw")
def withdraw(request: Request, session: SignedIn, form: Posted, visit_id: str) -> Response:
    """Withdraw an authorisation or a printed copy, or report a phone lost, in the name of whoever is here."""
    counter, what = node_of(request).counter, str(form.get("what", ""))[:64]
    ways: dict[str, tuple[Callable[[Actor, str, str], object], str]] = {
        "grant": (counter.withdraw_grant, "withdrawn"),
        "copy": (counter.report_lost, "lost"),
    }
    do, done = ways.get(what.partition("_")[0], (counter.withdraw_copy, "withdrawn"))
    try:
        do(session.account, visit_id, what)
    except XinyinError as exc:
        return _visit(request, session, visit_id, exc.status, problem=_said(exc))
    return RedirectResponse(f"/counter/{visit_id}?done={done}", 303)


@router.get("/counter/{visit_id}/slip")
def slip(request: Request, session: SignedIn, visit_id: str) -> Response:
    """What was done, to take along; prints on one page."""
    found = node_of(request).counter.slip(session.account, visit_id)
    return render.page(request, "counter/slip.html", here="counter", slip=found, names=_names(request))


@router.post("/counter/{visit_id}/end")
def end(request: Request, session: SignedIn, form: Posted, visit_id: str) -> Response:
    """The person leaves."""
    node_of(request).counter.end(session.account, visit_id)
    return RedirectResponse(f"/counter/{visit_id}?done=ended", 303)


# -- inside ------------------------------------------------------------------------------------------------------------


def _start(request: Request, session: Session, status: int = 200, problem: dict[str, str] | None = None) -> Response:
    counter = node_of(request).counter
    visits = counter.list(session.account)
    return render.page(
        request, "counter/start.html", status, here="counter", visits=visits, problem=problem, **_reader(request)
    )


def _reader(request: Request) -> dict[str, Any]:
    """``cards`` to choose from, whether they are ``simulated``, and what is wrong where there is no reader."""
    try:
        reader = node_of(request).counter.reader()
    except NoCardReader as exc:
        return {"cards": [], "simulated": False, "no_reader": _said(exc)}
    return {"cards": reader.cards(), "simulated": reader.simulated, "no_reader": None}


def _visit(request: Request, session: Session, visit_id: str, status: int = 200, **values: Any) -> Response:
    counter = node_of(request).counter
    found = counter.visit(session.account, visit_id)
    is_open, slip = found["status"] == "open", counter.slip(session.account, visit_id)
    nothing: dict[str, Any] = {"grants": [], "copies": [], "uses": [], "phones": []}
    shown = {"problem": None, "answer": None, "done": "", "matter": "", "type": "", **values}
    return render.page(
        request,
        "counter/visit.html",
        status,
        here="counter",
        visit=found,
        stands=counter.standing(session.account, visit_id) if is_open else nothing,
        slip=slip,
        printed=next((one["ref"] for one in reversed(slip["acts"]) if one["kind"] == "copied"), ""),
        types=counter.types(),
        matters=list(matters(node_of(request).home).values()),
        names=_names(request),
        **shown,
    )


def _copy(request: Request, session: Session, visit_id: str, status: int = 200, **filled: Any) -> Response:
    known = _names(request)
    usual = {"purpose": known.get(filled.get("matter", ""), ""), "until": _in(_USUAL), "key": secrets.token_hex(12)}
    shown = {"problem": None, **usual, **filled}
    return _form(request, session, visit_id, "counter/copy.html", status, shown)


def _agent(request: Request, session: Session, visit_id: str, status: int = 200, **filled: Any) -> Response:
    shown = {"problem": None, "card": "", "until": _in(_USUAL), **filled, **_reader(request)}
    return _form(request, session, visit_id, "counter/agent.html", status, shown)


def _form(request: Request, session: Session, visit_id: str, template: str, status: int, shown: dict[str, Any]) -> Response:
    found = node_of(request).counter.visit(session.account, visit_id)
    offered = list(matters(node_of(request).home).values())
    return render.page(request, template, status, here="counter", visit=found, matters=offered, names=_names(request), **shown)


def _names(request: Request) -> dict[str, str]:
    """Matters by code, in the reader's language."""
    zh = render.language(request) == "zh"
    return {code: one.zh if zh else one.en for code, one in matters(node_of(request).home).items()}


def _matter(request: Request, code: str) -> dict[str, str]:
    return {"code": code, "name": _names(request).get(code, code)}


def _in(span: timedelta) -> str:
    return (datetime.now(BEIJING).date() + span).isoformat()


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise BadInput("Choose the last day.", "请选择截止日期。") from exc


def _said(exc: XinyinError) -> dict[str, str]:
    return {"message": exc.message, "message_zh": exc.message_zh}
