"""The seal desk: what waits for me, what I handle, what is done; and one application with all that can be done to it now."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from api import render, sheets
from api.auth import node_of
from api.pages.applying import Posted, SignedIn, uploads_of
from api.routes.seals import impression_document
from api.sessions import Session
from api.texts import text
from crypto.errors import BadInput, NotFound, XinyinError
from formats.tables import cell
from seals.placement import Placement
from seals.workflow.directory import called
from seals.workflow.drafts import place_from_json
from seals.workflow.service import METHODS

router = APIRouter(include_in_schema=False)

VIEWS = ("todo", "mine", "done", "all")
PAGE = 25
_TONES = {
    "submitted": "none", "returned": "doubt", "signed-off": "good", "sealed": "good", "delivered": "good", "used": "good",
    "refused": "bad", "withdrawn": "none",
}  # fmt: skip
_APPROVING = ("review", "countersign", "sign-off")
_WITH_REASON = ("refuse", "withdraw", "return")


# -- my work -----------------------------------------------------------------------------------------------------------


@router.get("/desk")
def desk(
    request: Request, session: SignedIn, view: str = "", q: str = "", status: str = "", matter: str = "", cursor: str = ""
) -> Response:
    """Applications: by default what waits for me."""
    applications = node_of(request).seals.applications
    view = view if view in VIEWS else ("all" if "auditor" in session.account.roles else "todo")
    wanted = _wanted(view, q, status, matter)
    found = applications.list(session.account, **wanted, limit=PAGE, cursor=cursor[:64] or None)
    waiting = found.items if view == "todo" else applications.list(session.account, todo=True, limit=100).items
    address = f"/desk?view={view}&q={quote(q)}&status={status[:20]}&matter={quote(matter)}"
    return render.page(
        request,
        "desk.html",
        here="desk",
        view=view,
        views=VIEWS,
        waiting=len(waiting),
        items=found.items,
        next=f"{address}&cursor={found.next}" if found.next else "",
        first=address if cursor else "",
        export=address.replace("/desk?", "/desk/list.csv?"),
        q=q[:100],
        state=status,
        statuses=[s for s in _TONES if s != "used"],
        matter=matter,
        matters=_matters(request),
        tones=_TONES,
        drafts=uploads_of(request).list(session.account.id),
        may_apply=_may_apply(request, session),
    )


def _wanted(view: str, q: str, status: str, matter: str) -> dict[str, Any]:
    wanted: dict[str, Any] = {"todo": view == "todo", "mine": view == "mine", "done": view == "done"}
    return wanted | {
        "q": q.strip()[:100] or None,
        "status": status if status in _TONES else None,
        "matter": matter[:64] or None,
    }


def _matters(request: Request) -> list[tuple[str, str]]:
    lang = render.language(request)
    return [(m.code, m.zh if lang == "zh" else m.en) for m in node_of(request).seals.applications.matters.all()]


def _may_apply(request: Request, session: Session) -> bool:
    own = {"region": session.account.region, "department": session.account.department}
    return node_of(request).authoriser.decide(session.account, "application.submit", own).allowed


@router.get("/desk/list.csv")
def export(request: Request, session: SignedIn, view: str = "all", q: str = "", status: str = "", matter: str = "") -> Response:
    """The same list for a spreadsheet: every page of it, in the reader's language."""
    applications, lang = node_of(request).seals.applications, render.language(request)
    wanted = _wanted(view if view in VIEWS else "all", q, status, matter)
    columns = ("created", "title", "number", "matter", "department", "seal", "copies", "handler", "state", "since")

    def rows() -> Iterator[list[str]]:
        yield [text(lang, f"column_{name}") for name in columns]
        cursor: str | None = None
        while True:
            page = applications.list(session.account, **wanted, limit=200, cursor=cursor)
            for one in page.items:
                yield _row(one, lang)
            cursor = page.next
            if cursor is None:
                return

    return csv_file(rows(), "applications.csv")


def _row(one: dict[str, Any], lang: str) -> list[str]:
    return [
        render.short_moment(one["created_at"]),
        one["title"],
        one["number"] or "",
        one["matter_name_zh"] if lang == "zh" else one["matter_name"],
        one["department_name"],
        one["seal"]["name"] if one["seal"] else "",
        str(one["copies"]),
        called(one["handler"]["id"], one["handler"]["name"], english=lang != "zh"),
        text(lang, f"application_{one['status']}"),
        render.short_moment(one["since"]),
    ]


def csv_file(rows: Iterator[list[str]], name: str) -> Response:
    """Rows as CSV (RFC 4180) that spreadsheets open with the right characters: UTF-8 with a byte order mark, streamed.

    A cell that a spreadsheet would take for a formula is written as text.
    """

    def lines() -> Iterator[bytes]:
        yield "\ufeff".encode()
        for row in rows:
            line = io.StringIO()
            csv.writer(line).writerow([cell(one) for one in row])
            yield line.getvalue().encode()

    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def attachment(name: str) -> str:
    """A Content-Disposition for a file of any name (RFC 6266)."""
    return f"attachment; filename=\"document.pdf\"; filename*=UTF-8''{quote(name)}"


# -- one application -----------------------------------------------------------------------------------------------------


@router.get("/desk/{impression_id}.pdf")
def impression(request: Request, session: SignedIn, impression_id: str) -> Response:
    """A sealed document by its impression."""
    return impression_document(request, session.account, impression_id)


@router.get("/desk/{application_id}")
def show(request: Request, session: SignedIn, application_id: str, doc: int = 1, page: int = 0) -> Response:
    """The application: pages with the seal on them, who has it, what can be done."""
    return _page(request, session, application_id, doc, page)


@router.post("/desk/{application_id}")
def act(request: Request, session: SignedIn, form: Posted, application_id: str) -> Response:
    """Do what the button says."""
    applications, account = node_of(request).seals.applications, session.account
    do, note = str(form.get("do", "")), str(form.get("note", "")).strip()[:2000]
    try:
        if do in _APPROVING:
            verb = {"review": applications.review, "countersign": applications.countersign, "sign-off": applications.sign_off}
            verb[do](account, application_id, note=note, content=str(form.get("content", "")) or None)
        elif do in _WITH_REASON:
            change = {"refuse": applications.refuse, "withdraw": applications.withdraw, "return": applications.return_}
            change[do](account, application_id, reason=note)
        elif do == "seal":
            applications.seal(account, application_id)
        elif do == "deliver":
            _deliver(request, session, application_id, form)
        else:
            raise BadInput("Use one of the buttons of the page.", "请使用页面上的按钮。")
    except NotFound:
        raise
    except XinyinError as exc:
        return _page(request, session, application_id, 1, 0, exc.status, problem=exc.to_dict(), note=note)
    return RedirectResponse(f"/desk/{application_id}?done={do}", 303)


def _deliver(request: Request, session: Session, application_id: str, form: Any) -> None:
    file = form.get("receipt_file")
    node_of(request).seals.applications.deliver(
        session.account,
        application_id,
        recipient=str(form.get("recipient", "")),
        method=str(form.get("method", "")),
        receipt=str(form.get("receipt", "")),
        receipt_file=file.file.read() if getattr(file, "filename", "") else None,
    )


@router.get("/desk/{application_id}/confirm")
def confirm(request: Request, session: SignedIn, application_id: str, do: str = "") -> Response:
    """Ask for the reason before what cannot be taken back: ``refuse`` or ``withdraw``."""
    shown = node_of(request).seals.applications.show(session.account, application_id)
    if do not in ("refuse", "withdraw") or do not in shown["can"]:
        return RedirectResponse(f"/desk/{application_id}", 303)
    return render.page(request, "application-confirm.html", here="desk", a=shown, do=do)


@router.post("/desk/{application_id}/amend")
def amend(request: Request, session: SignedIn, form: Posted, application_id: str) -> Response:
    """补正: a draft of the application as it is, to be changed and handed in again."""
    node = node_of(request)
    shown = node.seals.applications.show(session.account, application_id)
    if "amend" not in shown["can"]:
        problem = {"message": "You cannot amend this application now.", "message_zh": "您现在不能补正该申请。"}
        return _page(request, session, application_id, 1, 0, 403, problem=problem)
    files = [node.seals.applications.document(session.account, application_id, one["n"]) for one in shown["documents"]]
    upload = uploads_of(request).create(session.account.id, files, values=_as_fields(shown), amends=application_id)
    return RedirectResponse(f"/desk/new/{upload.id}", 303)


def _as_fields(shown: dict[str, Any]) -> dict[str, str]:
    """The application as the form's fields."""
    applicant = shown["applicant"] or {}
    values = {
        "title": shown["title"],
        "matter": shown["matter"],
        "seal": shown["seal_id"] or "",
        "number": shown["number"] or "",
        "copies": str(shown["copies"]),
        "applicant": applicant.get("name", ""),
        "contact": applicant.get("contact", ""),
        "replaces": shown["replaces"] or "",
        "countersigners": " ".join(one["department"] for one in shown["steps"] if one["step"] == "countersign"),
    }
    for one in shown["documents"]:
        n, place = one["n"], one["placement"] or {}
        values["algorithm"] = one["suite"] or ""
        if "straddle" in place:
            values |= {f"how-{n}": "straddle", f"edge-{n}": place["straddle"]}
        elif "keyword" in place:
            values |= {f"how-{n}": "keyword", f"keyword-{n}": place["keyword"]}
        elif "x_mm" in place:
            values |= {f"how-{n}": "point", f"page-{n}": str(place["page"])}
            values |= {f"x-{n}": f"{place['x_mm']:g}", f"y-{n}": f"{place['y_mm']:g}"}
    return values


# -- documents of an application -------------------------------------------------------------------------------------------


@router.get("/desk/{application_id}/{n}.pdf")
def document(request: Request, session: SignedIn, application_id: str, n: int, sealed: bool = False) -> Response:
    """A document as handed in, or as sealed."""
    name, data = node_of(request).seals.applications.document(session.account, application_id, n, sealed=sealed)
    return Response(data, media_type="application/pdf", headers={"Content-Disposition": attachment(name)})


@router.get("/desk/{application_id}/{n}/{page}.png")
def picture(
    request: Request, session: SignedIn, application_id: str, n: int, page: int, size: str = "page", sealed: bool = False
) -> Response:
    """A page of a document, as handed in or as sealed."""
    applications = node_of(request).seals.applications
    shown = _document(applications.show(session.account, application_id), n)
    digest = shown["sealed_sha256"] if sealed else shown["sha256"]
    if not digest or shown["size"] is None:
        raise NotFound("There is no such page.", "没有该页面。")
    load = lambda: applications.document(session.account, application_id, n, sealed=sealed)[1]  # noqa: E731
    return sheets.picture(sheets.inspector_of(request).draw(digest, load, page, size))


def _document(shown: dict[str, Any], n: int) -> dict[str, Any]:
    for one in shown["documents"]:
        if one["n"] == n:
            return dict(one)
    raise NotFound("There is no such document.", "没有该文件。")


def _page(
    request: Request, session: Session, application_id: str, doc: int, page: int, status: int = 200, **values: Any
) -> Response:
    node = node_of(request)
    shown = node.seals.applications.show(session.account, application_id)
    done = request.query_params.get("done", "")
    values = {"problem": None, "note": "", **values}
    return render.page(
        request,
        "application.html",
        status,
        here="desk",
        a=shown,
        tone=_TONES.get(shown["status"], "none"),
        steps=_steps(request, shown),
        looked=_looked_at(request, session, shown, doc, page),
        done=done if done in (*_APPROVING, *_WITH_REASON, "seal", "deliver", "submit", "amend") else "",
        methods=[(key, words[1] if render.language(request) == "zh" else words[0]) for key, words in METHODS.items()],
        track_url=f"{request.base_url}t/{shown['track_code']}",
        may_void=[one["impression_id"] for one in shown["documents"] if _may_void(request, session, shown, one)],
        **values,
    )


def _may_void(request: Request, session: Session, shown: dict[str, Any], document: dict[str, Any]) -> bool:
    if not document["impression_id"] or document["impression_status"] != "valid":
        return False
    node = node_of(request)
    facts = {"id": document["impression_id"], "region": node.region, "department": shown["department"]}
    return node.authoriser.decide(session.account, "impression.void", facts, {"matter": shown["matter"]}).allowed


def _steps(request: Request, shown: dict[str, Any]) -> list[dict[str, Any]]:
    """The way of the application for the stepper: who has it, since when, who did what."""
    lang = render.language(request)
    waiting = shown["waiting"] or {}
    found = []
    for one in shown["steps"]:
        label = text(lang, f"act_{one['step']}")
        if one["step"] == "countersign":
            label = text(lang, "act_of", act=label, department=one["department_name"])
        who, note = called(one["who"], one["who_name"], english=lang != "zh"), one["note"]
        if one["on_behalf_of_name"]:
            who = text(lang, "act_behalf", who=who, behalf=one["on_behalf_of_name"])
        if one["who"] and str(one["who"]).startswith("rule:"):
            who, note = text(lang, "act_by_rule"), _rule_words(request, str(one["who"])[5:], lang)
        at = one["at"]
        if one["state"] == "current":
            names = text(lang, "list_joiner").join(waiting.get("whom") or [])
            who = text(lang, "act_waits", whom=names) if names else text(lang, "act_waits_nobody")
            at = one["since"]
        found.append({"label": label, "state": one["state"], "who": who, "at": at, "note": note})
    return found


def _rule_words(request: Request, rule: str, lang: str) -> str:
    found = node_of(request).authoriser.rules.get(rule)
    return (found.zh if lang == "zh" else found.en) if found else rule


def _looked_at(request: Request, session: Session, shown: dict[str, Any], doc: int, page: int) -> dict[str, Any] | None:
    """The document and page that are shown large, with the seal where it will stand; of a sealed one the page as sealed."""
    documents = [one for one in shown["documents"] if one["size"] is not None]
    if not documents:
        return None
    one = next((d for d in documents if d["n"] == doc), documents[0])
    node, inspector, n = node_of(request), sheets.inspector_of(request), one["n"]
    applications, application_id, sealed = node.seals.applications, shown["id"], bool(one["impression_id"])

    def load(sealed: bool = False) -> bytes:
        return applications.document(session.account, application_id, n, sealed=sealed)[1]

    digest = one["sealed_sha256"] if sealed else one["sha256"]
    found: dict[str, Any] = {"document": one, "sealed": sealed, "digest": digest, "stamps": [], "where": None, "problem": None}
    try:
        inspection = inspector.inspect(one["sha256"], load)
        where = inspector.locate(one["sha256"], load, place_from_json(one["placement"] or {"keyword": ""}))
    except XinyinError as exc:
        return found | {"problem": exc.to_dict(), "paper": None}
    if not 1 <= page <= len(inspection.pages):
        page = where.page if isinstance(where, Placement) else 1
    paper = inspection.page(page)
    seal = node.seals.show(session.account, shown["seal_id"])
    stamps = [] if sealed else sheets.stamps(inspection, paper, where, seal)
    findings = list(inspection.findings)
    findings += inspection.about_seal(seal["owner_name"], where if isinstance(where, Placement) else None)
    return found | {
        "inspection": inspection, "paper": paper, "where": where, "stamps": stamps, "thumbs": sheets.thumbs(inspection, page),
        "findings": findings, "marks": sheets.marks(findings, page), "seal": seal,
    }  # fmt: skip


# -- void and replace ------------------------------------------------------------------------------------------------------


@router.get("/desk/{application_id}/void/{n}")
def void_page(request: Request, session: SignedIn, application_id: str, n: int) -> Response:
    """Ask why a sealed document no longer stands, or lead to its replacement."""
    shown = node_of(request).seals.applications.show(session.account, application_id)
    one = _document(shown, n)
    if not _may_void(request, session, shown, one):
        return RedirectResponse(f"/desk/{application_id}", 303)
    return render.page(request, "void.html", here="desk", a=shown, document=one)


@router.post("/desk/{application_id}/void/{n}")
def void(request: Request, session: SignedIn, form: Posted, application_id: str, n: int) -> Response:
    """Void the document's impression, with the reason."""
    seals = node_of(request).seals
    shown = seals.applications.show(session.account, application_id)
    one = _document(shown, n)
    reason = str(form.get("reason", "")).strip()
    try:
        if not 1 <= len(reason) <= 2000:
            raise BadInput("Give the reason, in up to 2000 characters.", "请填写作废原因（2000 字以内）。")
        seals.void(session.account, str(one["impression_id"]), reason=reason)
    except NotFound:
        raise
    except XinyinError as exc:
        return render.page(request, "void.html", exc.status, here="desk", a=shown, document=one, problem=exc.to_dict())
    return RedirectResponse(f"/desk/{application_id}?done=void", 303)
