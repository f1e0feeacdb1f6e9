"""Enquiries 协查: what this counter asked other regions, what they ask of this one, and the answers under seal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api import render
from api.auth import node_of
from api.pages.applying import Posted, SignedIn
from api.texts import text
from ceremonies.plain import plain
from crypto.errors import XinyinError
from formats.identifiers import BadIdentifier, LicenceIdentifier
from licences.catalogue import catalogue
from policies.presenting import matters
from records.enquiry_questions import PARTICULARS

router = APIRouter(include_in_schema=False)

PAGE = 50
_TONES = {"yes": "good", "no": "bad", "declined": "doubt"}


@router.get("/enquiries")
def enquiries(request: Request, session: SignedIn, direction: str = "", cursor: str = "") -> Response:
    """Ours and theirs, newest first."""
    node, account = node_of(request), session.account
    answers = "licensing_clerk" in account.every_role and "window_clerk" not in account.every_role
    view = direction if direction in ("out", "in") else "in" if answers else "out"
    found = node.enquiries.list(account, direction=view, limit=PAGE, cursor=cursor[:64] or None)
    address = f"/enquiries?direction={view}"
    return render.page(
        request,
        "enquiries.html",
        here="enquiries",
        view=view,
        items=[_worded(request, one) for one in found.items],
        may_ask=_may_ask(request, session),
        next=f"{address}&cursor={found.next}" if found.next else "",
        first=address if cursor else "",
    )


@router.get("/enquiries/new")
def new(
    request: Request,
    session: SignedIn,
    region: str = "",
    identifier: str = "",
    matter: str = "",
    document: str = "",
    slip: str = "",
) -> Response:
    """The form; a page that has just verified a document hands over what it is about, and the applicant's slip."""
    node = node_of(request)
    node.authorise(session.account, "enquiry.send", {"department": session.account.department or ""})
    typed = {"region": region[:6], "identifier": identifier[:200], "matter": matter[:64], "document": document[:64]}
    typed["slip"] = slip[:64]
    return _new(request, typed)


@router.post("/enquiries")
def send(request: Request, session: SignedIn, form: Posted) -> Response:
    """Ask."""
    typed = {
        key: str(form.get(key, "")).strip()[:300] for key in ("region", "identifier", "matter", "document", "remark", "slip")
    }
    asked = {name: str(form.get(f"p_{name}", "")).strip()[:300] for name in PARTICULARS}
    try:
        made = node_of(request).enquiries.send(
            session.account,
            region=typed["region"],
            identifier=typed["identifier"] or None,
            document_sha256=typed["document"] or None,
            matter=typed["matter"] or None,
            particulars={name: value for name, value in asked.items() if value},
            remark=typed["remark"],
            slip=typed["slip"][:64] or None,
        )
    except XinyinError as exc:
        if exc.status in (401, 403):
            raise
        return _new(request, typed | {f"p_{name}": value for name, value in asked.items()}, exc.status, problem=exc.to_dict())
    return RedirectResponse(f"/enquiries/{made['id']}", 303)


@router.get("/enquiries/{enquiry_id}")
def show(request: Request, session: SignedIn, enquiry_id: str) -> Response:
    """One enquiry: what was asked, what was answered, and for those who may the answer that the register gives."""
    return _shown(request, session, enquiry_id)


@router.post("/enquiries/{enquiry_id}/answer")
def answer(request: Request, session: SignedIn, form: Posted, enquiry_id: str) -> Response:
    """Answer under seal as the register has it, or decline."""
    declined = str(form.get("do", "")) == "decline"
    try:
        node_of(request).enquiries.answer(session.account, enquiry_id, remark=str(form.get("remark", "")), declined=declined)
    except XinyinError as exc:
        if exc.status in (401, 403, 404):
            raise
        return _shown(request, session, enquiry_id, exc.status, problem=exc.to_dict(), remark=str(form.get("remark", ""))[:300])
    return RedirectResponse(f"/enquiries/{enquiry_id}", 303)


@router.get("/enquiries/{enquiry_id}/letter.pdf")
def letter(request: Request, session: SignedIn, enquiry_id: str) -> Response:
    """The sealed letter."""
    data = node_of(request).enquiries.letter(session.account, enquiry_id)
    headers = {"Content-Disposition": f'inline; filename="{enquiry_id}.pdf"'}
    return Response(data, media_type="application/pdf", headers=headers)


def _new(request: Request, typed: Mapping[str, str], status: int = 200, **more: Any) -> Response:
    node, lang = node_of(request), render.language(request)
    return render.page(
        request,
        "enquiry-new.html",
        status,
        here="enquiries",
        typed=typed,
        regions=[(one.region, f"{one.name}（{one.region}）") for one in node.peer_mail.peers()],
        matters=[(one.code, one.zh if lang == "zh" else one.en) for one in matters(node.home).values()],
        particulars=[(name, _label(name, lang)) for name in PARTICULARS],
        **more,
    )


def _shown(request: Request, session: SignedIn, enquiry_id: str, status: int = 200, **more: Any) -> Response:
    found = _worded(request, plain(node_of(request).enquiries.show(session.account, enquiry_id)))
    values = {"remark": "", **more}
    return render.page(request, "enquiry.html", status, here="enquiries", one=found, **values)


def _may_ask(request: Request, session: SignedIn) -> bool:
    facts = {"region": session.account.region, "department": session.account.department or ""}
    return node_of(request).authoriser.decide(session.account, "enquiry.send", facts).allowed


def _worded(request: Request, one: dict[str, Any]) -> dict[str, Any]:
    """An enquiry with what people read of it."""
    lang, node = render.language(request), node_of(request)
    known = matters(node.home).get(one["matter"] or "")
    answer = one["answer"]
    state = answer["outcome"] if answer else "overdue" if one["overdue"] and one["status"] == "open" else one["status"]
    tone = _TONES.get(state) or {"overdue": "doubt", "undeliverable": "bad"}.get(state, "none")
    if one["letter_verdict"] and not one["letter_verdict"]["counts"]:
        state, tone = "unconfirmed", "bad"
    register = one.get("register")
    return one | {
        "about": _about(one, lang),
        "matter_name": (known.zh if lang == "zh" else known.en) if known else one["matter"] or "",
        "state": text(lang, f"enquiry_state_{state}"),
        "tone": tone,
        "answers": _lines(answer, lang) if answer else [],
        "said": _said(answer, lang) if answer else "",
        "said_now": _said({**register, "outcome": _outcome(register)}, lang) if register else "",
        "tone_now": _TONES[_outcome(register)] if register else "none",
        "register_lines": _lines(register, lang) if register else [],
        "asked_lines": [_label(name, lang) for name in one["asks"]],
    }


def _outcome(register: Mapping[str, Any]) -> str:
    every = [register["in_force"], register["document"] is not False, *register["particulars"].values()]
    return "yes" if all(said is True for said in every) else "no"


def _about(one: Mapping[str, Any], lang: str) -> str:
    """The licence in a few words: its type and serial; else that it is about a file."""
    try:
        found = LicenceIdentifier.parse(one["identifier"] or "")
    except BadIdentifier:
        return text(lang, "enquiry_about_file")
    kind = next((k for k in catalogue().values() if k.type_code == found.type_code), None)
    name = (kind.name if lang == "zh" else kind.name_en) if kind else text(lang, "enquiry_about_licence")
    return f"{name} {found.serial}"


def _said(answer: Mapping[str, Any], lang: str) -> str:
    """The answer in a sentence."""
    if answer["outcome"] != "no":
        return text(lang, f"enquiry_said_{answer['outcome']}")
    if answer["in_force"] is None:
        return text(lang, "enquiry_said_unknown")
    if answer["in_force"] is False:
        known = ("suspended", "withdrawn", "expired", "superseded")
        state = answer["state"] if answer["state"] in known else "ended"
        return text(lang, f"enquiry_said_{state}")
    return text(lang, "enquiry_said_differs")


def _lines(answer: Mapping[str, Any], lang: str) -> list[tuple[str, str, str]]:
    """(question, answer, tone) of everything that was answered."""
    lines = [] if answer.get("outcome") == "declined" else [(text(lang, "enquiry_asks_in_force"), answer["in_force"])]
    if answer["document"] is not None:
        lines.append((text(lang, "enquiry_asks_document"), answer["document"]))
    lines += [
        (text(lang, "enquiry_asks_agrees", what=_label(name, lang)), said) for name, said in answer["particulars"].items()
    ]
    return [
        (asked, text(lang, f"enquiry_{'unheld' if said is None else 'yes' if said else 'no'}"), _mark(said))
        for asked, said in lines
    ]


def _mark(said: bool | None) -> str:
    return "none" if said is None else "good" if said else "bad"


def _label(name: str, lang: str) -> str:
    known = PARTICULARS.get(name)
    return (known.zh if lang == "zh" else known.en) if known else name
