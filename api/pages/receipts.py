"""Receipts 核验回执 for the file, going on provisionally 容缺受理, and the applicant's slip 办理单."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import segno
from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from api import render
from api.auth import CurrentSession, node_of
from api.pages.applying import SignedIn
from api.pages.verify import matter_name
from api.routes.receipts import as_file
from api.sessions import demand
from ceremonies.plain import plain
from crypto.errors import TooManyRequests, XinyinError
from formats.dates import BEIJING

router = APIRouter(include_in_schema=False)

PAGE = 30
Csrf = Annotated[str, Form(max_length=200)]
Words = Annotated[str, Form(max_length=600)]


@router.get("/receipts")
def receipts(request: Request, session: SignedIn, cursor: str = "") -> Response:
    """What was verified with a receipt, newest first; on top what waits for the reader's decision."""
    node, actor = node_of(request), session.account
    found = node.receipts.list(actor, limit=PAGE, cursor=cursor[:64] or None)
    waiting = node.provisionals.list(actor, waiting=True).items if "signer_off" in actor.roles and not cursor else []
    return render.page(
        request,
        "receipts/list.html",
        here="receipts",
        items=[one | {"matter_name": matter_name(request, one["matter"])} for one in found.items],
        waiting=[one | {"matter_name": matter_name(request, one["matter"])} for one in waiting],
        next=f"/receipts?cursor={found.next}" if found.next else "",
        first="/receipts" if cursor else "",
    )


@router.get("/receipts/{receipt_id}")
def receipt(request: Request, session: SignedIn, receipt_id: str) -> Response:
    """One receipt, to print and to keep."""
    return _receipt(request, session.account, receipt_id)


@router.get("/receipts/{receipt_id}/file")
def receipt_file(request: Request, session: SignedIn, receipt_id: str) -> Response:
    """The signed receipt as a file."""
    return as_file(node_of(request).receipts.show(session.account, receipt_id))


@router.post("/receipts/{receipt_id}/slip")
def make_slip(request: Request, session: SignedIn, receipt_id: str, csrf: Csrf = "") -> Response:
    """The applicant's slip of a receipt."""
    demand(session.csrf, csrf)
    return RedirectResponse(f"/s/{node_of(request).receipts.slip(session.account, receipt_id)}", 303)


@router.get("/receipts/{receipt_id}/provisional")
def ask_provisional(request: Request, session: SignedIn, receipt_id: str) -> Response:
    """The form for going on although something is outstanding."""
    return _ask(request, session.account, receipt_id)


@router.post("/receipts/{receipt_id}/provisional")
def go_on(
    request: Request,
    session: SignedIn,
    receipt_id: str,
    supervisor: Annotated[str, Form(max_length=64)] = "",
    reason: Words = "",
    bring: Words = "",
    until: Annotated[str, Form(max_length=10)] = "",
    csrf: Csrf = "",
) -> Response:
    """Go on; leads to what was recorded."""
    demand(session.csrf, csrf)
    given = {"supervisor": supervisor, "reason": reason, "bring": bring, "until": until}
    try:
        day = date.fromisoformat(until)
    except ValueError:
        problem = {"message": "Choose the day by which it is brought.", "message_zh": "请选择补交材料的截止日期。"}
        return _ask(request, session.account, receipt_id, 400, problem=problem, **given)
    try:
        made = node_of(request).provisionals.record(
            session.account, receipt_id, supervisor=supervisor, reason=reason, bring=bring, until=day
        )
    except XinyinError as exc:
        problem = {"message": exc.message, "message_zh": exc.message_zh}
        return _ask(request, session.account, receipt_id, exc.status, problem=problem, **given)
    return RedirectResponse(f"/provisionals/{made['id']}", 303)


@router.get("/provisionals")
def provisionals(request: Request, session: SignedIn, cursor: str = "") -> Response:
    """What the department goes on with, newest first."""
    found = node_of(request).provisionals.list(session.account, limit=PAGE, cursor=cursor[:64] or None)
    return render.page(
        request,
        "receipts/provisionals.html",
        here="receipts",
        items=[one | {"matter_name": matter_name(request, one["matter"])} for one in found.items],
        next=f"/provisionals?cursor={found.next}" if found.next else "",
        first="/provisionals" if cursor else "",
    )


@router.get("/provisionals/{provisional_id}")
def provisional(request: Request, session: SignedIn, provisional_id: str) -> Response:
    """One: how it stands, and what the reader may do now."""
    found = node_of(request).provisionals.show(session.account, provisional_id)
    return render.page(
        request, "receipts/provisional.html", here="receipts", p=found, matter_name=matter_name(request, found["matter"])
    )


@router.post("/provisionals/{provisional_id}")
def decide(
    request: Request,
    session: SignedIn,
    provisional_id: str,
    do: Annotated[str, Form(max_length=16)] = "",
    note: Words = "",
    csrf: Csrf = "",
) -> Response:
    """The supervisor's decision (``confirm``, ``refuse``), or that it was brought (``fulfil``)."""
    demand(session.csrf, csrf)
    service = node_of(request).provisionals
    if do == "fulfil":
        service.fulfil(session.account, provisional_id)
    else:
        service.decide(session.account, provisional_id, confirm=do == "confirm", note=note)
    return RedirectResponse(f"/provisionals/{provisional_id}", 303)


@router.get("/s")
def ask_slip(request: Request, session: CurrentSession, code: str = "") -> Response:
    """The form for a slip's code that was read out or printed."""
    typed = "".join(c for c in code[:100].upper() if c.isalnum() and c.isascii())[:40]
    return RedirectResponse(f"/s/{typed}", 303) if typed else _ask_slip(request)


@router.get("/s/{slip}")
def slip(request: Request, session: CurrentSession, slip: str) -> Response:
    """What happens next, for the applicant; prints on one page. :raises TooManyRequests: guessed at from one place"""
    node = node_of(request)
    try:
        found = node.provisionals.slip(slip)
    except XinyinError as exc:
        if not request.app.state.track_limit.allow(request.client.host if request.client else "?"):
            raise TooManyRequests("Too many attempts from here; wait a little.", "尝试次数过多，请稍候再试。") from exc
        return _ask_slip(request, 404, code=slip[:40], unknown=True)
    address = f"{request.base_url}s/{found['code']}"
    return render.page(
        request,
        "receipts/slip.html",
        here="track",
        s=found,
        enquiries=[plain(one) for one in node.enquiries.of_slip(found["code"])],
        matter_name=matter_name(request, found["matter"]),
        code=" ".join(found["code"][i : i + 4] for i in range(0, len(found["code"]), 4)),
        qr=Markup(segno.make(address, error="m").svg_inline(omitsize=True, border=2)),  # noqa: S704 - made here
    )


def _receipt(request: Request, actor: Any, receipt_id: str) -> Response:
    node = node_of(request)
    found = node.receipts.show(actor, receipt_id)
    going = node.provisionals.of_receipt(actor, receipt_id)
    facts = {"region": node.region, "department": found["department"], "status": found["decision"]}
    decide = node.authoriser.decide
    can = set()
    if decide(actor, "receipt.slip", facts).allowed:
        can.add("slip")
    if going is None and decide(actor, "provisional.record", facts, {"supervises": True, "own": False}).allowed:
        can.add("provisional")
    return render.page(
        request,
        "receipts/receipt.html",
        here="receipts",
        r=found,
        c=found["claims"],
        going=going,
        matter_name=matter_name(request, found["matter"]),
        can=can,
    )


def _ask(request: Request, actor: Any, receipt_id: str, status: int = 200, **given: Any) -> Response:
    node = node_of(request)
    found = node.receipts.show(actor, receipt_id)
    going = node.provisionals.of_receipt(actor, receipt_id)
    if going is not None:
        return RedirectResponse(f"/provisionals/{going['id']}", 303)
    today = datetime.now(UTC).astimezone(BEIJING).date()
    values = {
        "supervisor": "",
        "reason": "",
        "bring": "",
        "until": (today + timedelta(days=10)).isoformat(),
        "problem": None,
        **given,
    }
    return render.page(
        request,
        "receipts/go-on.html",
        status,
        here="receipts",
        r=found,
        matter_name=matter_name(request, found["matter"]),
        supervisors=[(one["id"], one["name"]) for one in node.provisionals.supervisors(actor)],
        today=today.isoformat(),
        **values,
    )


def _ask_slip(request: Request, status: int = 200, *, code: str = "", unknown: bool = False) -> Response:
    return render.page(request, "receipts/slip-ask.html", status, here="track", code=code, unknown=unknown)
