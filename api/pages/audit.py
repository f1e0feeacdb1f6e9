"""The auditor's pages: where a document comes from, whether the log is whole, and everything that is in it."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request, UploadFile
from fastapi.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

from api import history, render
from api.auth import CurrentSession, node_of
from api.routes.audit import checks_of, newest_note
from api.sessions import Session, demand
from api.texts import known, text
from ceremonies.plain import plain
from crypto.errors import BadInput, NotFound, Unauthenticated, XinyinError
from formats.checkpoint import parse_note, verify_note
from formats.dates import BEIJING
from formats.tables import cell
from formats.x509 import to_pem

if TYPE_CHECKING:
    from ceremonies.node import Node
    from store.audit import Entry

router = APIRouter(include_in_schema=False)

_PAGE = 50
_LEADS_TO_A_TRACE = ("impression", "application", "licence", "document")
_SEEN_FOR_S = 400 * 86_400

Text = Annotated[str, Query(max_length=255)]


def _asked(subject: Text = "", kind: Text = "", who: Text = "", since: Text = "", until: Text = "") -> dict[str, str]:
    """What was typed above the list of the log."""
    return {"subject": subject.strip(), "kind": kind, "who": who.strip(), "since": since, "until": until}


Asked = Annotated[dict[str, str], Depends(_asked)]


@router.get("/audit")
def overview(request: Request, session: CurrentSession) -> Response:
    """Trace a document; how the log stands, and that it only grew since this browser last looked."""
    return _overview(request, _known(session))


@router.get("/audit/trace")
def trace(request: Request, session: CurrentSession, id: Text = "") -> Response:
    """Where something comes from, by its identifier."""
    known_session = _known(session)
    if not id.strip():
        return RedirectResponse("/audit", 303)
    try:
        found = node_of(request).tracer.find(known_session.account, id)
    except NotFound as exc:
        return _overview(request, known_session, exc.status, problem=exc.to_dict(), asked=id)
    return _traced(request, found)


@router.post("/audit/trace")
def trace_file(
    request: Request,
    session: CurrentSession,
    file: UploadFile | None = None,
    csrf: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Where a file comes from. It is not kept."""
    known_session = _known(session)
    demand(known_session.csrf, csrf)
    if file is None or not file.filename:
        problem = BadInput("Choose a file first.", "请先选择一个文件。")
        return _overview(request, known_session, problem.status, problem=problem.to_dict())
    found = node_of(request).tracer.file(known_session.account, file.file.read())
    return _traced(request, found, name=file.filename)


@router.post("/audit/check")
def start_check(request: Request, session: CurrentSession, csrf: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Check the whole log; leads to the page that shows how far it is."""
    known_session = _known(session)
    demand(known_session.csrf, csrf)
    node_of(request).authorise(known_session.account, "audit.verify")
    checks_of(request).start()
    return RedirectResponse("/audit/check", 303)


@router.get("/audit/check")
def check(request: Request, session: CurrentSession) -> Response:
    """The check that runs, or what the last one found."""
    node_of(request).authorise(_known(session).account, "audit.verify")
    latest = checks_of(request).latest
    if latest is None:
        return RedirectResponse("/audit", 303)
    return render.page(request, "audit/check.html", here="audit", check=latest.told())


@router.get("/audit/log")
def entries(
    request: Request,
    session: CurrentSession,
    asked: Asked,
    cursor: Text = "",
) -> Response:
    """Everything in the log, found by object, kind, person and day."""
    node, lang = node_of(request), render.language(request)
    node.authorise(_known(session).account, "audit.read")
    problem, found = None, []
    try:
        found = node.audit.entries(**_filters(node, asked), limit=_PAGE + 1, before=cursor or None)
    except XinyinError as exc:
        problem = exc.to_dict()
    shown = found[:_PAGE]
    query = {key: value for key, value in asked.items() if value}
    return render.page(
        request,
        "audit/log.html",
        400 if problem else 200,
        here="audit",
        problem=problem,
        events=history.told(node, shown, lang),
        asked=asked,
        kinds=_kinds(node, lang),
        next=f"/audit/log?{urlencode({**query, 'cursor': shown[-1].id})}" if len(found) > _PAGE else None,
        first=f"/audit/log?{urlencode(query)}" if cursor else None,
        export=f"/audit/log.csv?{urlencode(query)}",
    )


@router.get("/audit/log.csv")
def entries_csv(
    request: Request,
    session: CurrentSession,
    asked: Asked,
) -> Response:
    """The same as a table for a spreadsheet, all of it."""
    node, lang = node_of(request), render.language(request)
    node.authorise(_known(session).account, "audit.export")
    filters = _filters(node, asked)
    headers = {"Content-Disposition": 'attachment; filename="audit-log.csv"'}
    return StreamingResponse(_rows(node, filters, lang), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/audit/entry/{leaf_id}")
def entry(request: Request, session: CurrentSession, leaf_id: str) -> Response:
    """One entry with its objects, its data and its proof."""
    node, lang = node_of(request), render.language(request)
    node.authorise(_known(session).account, "audit.read")
    found = node.audit.entry(leaf_id)
    return render.page(
        request,
        "audit/entry.html",
        here="audit",
        entry=plain(found),
        event=history.told(node, [found], lang)[0],
        objects=[_object(name, value, lang) for name, value in found.subject.items()],
    )


@router.get("/audit/proof/{leaf_id}")
def proof(request: Request, session: CurrentSession, leaf_id: str) -> Response:
    """The proof of an entry, as a file to be checked offline."""
    node = node_of(request)
    node.authorise(_known(session).account, "audit.prove")
    return _json_file(node.audit.prove(leaf_id), f"{leaf_id}.proof.json")


@router.get("/audit/checkpoint")
def checkpoint(request: Request, session: CurrentSession) -> Response:
    """The newest signed checkpoint, to be kept elsewhere."""
    node = node_of(request)
    node.authorise(_known(session).account, "audit.prove")
    headers = {"Content-Disposition": f'attachment; filename="{node.region}.checkpoint"'}
    return PlainTextResponse(newest_note(node), headers=headers)


@router.get("/audit/keys")
def keys(request: Request, session: CurrentSession) -> Response:
    """The public keys of the log."""
    node = node_of(request)
    node.authorise(_known(session).account, "audit.read")
    pem = "".join(to_pem(key.spki, "PUBLIC KEY") for key in node.audit_keys())
    headers = {"Content-Disposition": f'attachment; filename="{node.region}-log-keys.pem"'}
    return PlainTextResponse(pem, media_type="application/x-pem-file", headers=headers)


@router.get("/audit/export")
def export(request: Request, session: CurrentSession) -> Response:
    """The whole log as a file to be checked offline."""
    node = node_of(request)
    node.authorise(_known(session).account, "audit.export")
    lines = node.audit.export()
    first = next(lines)  # a refusal must come before the answer has begun
    headers = {"Content-Disposition": f'attachment; filename="{node.region}-log.jsonl"'}

    def whole() -> Iterator[str]:
        yield first
        yield from lines

    return StreamingResponse(whole(), media_type="application/jsonl", headers=headers)


@router.post("/audit/consistency")
def consistency(
    request: Request,
    session: CurrentSession,
    file: UploadFile | None = None,
    csrf: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """The proof that the log extends a checkpoint that was kept elsewhere, as a file."""
    known_session = _known(session)
    demand(known_session.csrf, csrf)
    node = node_of(request)
    node.authorise(known_session.account, "audit.prove")
    try:
        note = file.file.read(1 << 16).decode("utf-8", "replace") if file else ""
        return _json_file(node.audit.consistency(note), f"{node.region}.consistency.json")
    except XinyinError as exc:
        return _overview(request, known_session, exc.status, problem=exc.to_dict())


# -- parts ----------------------------------------------------------------------------------------------------------------


def _known(session: Session | None) -> Session:
    """:raises Unauthenticated: nobody is signed in; a page then leads to the sign-in"""
    if session is None:
        raise Unauthenticated("Sign in first.", "请先登录。")
    return session


def _overview(request: Request, session: Session, status: int = 200, **values: Any) -> Response:
    node = node_of(request)
    node.authorise(session.account, "audit.read")
    state = node.audit.state()
    response = render.page(
        request,
        "audit/overview.html",
        status,
        here="audit",
        state=state,
        signed=_said(state.checkpoint) if state.checkpoint else None,
        seen=_since_last_seen(request, node),
        check=latest.told() if (latest := checks_of(request).latest) else None,
        **{"asked": "", **values},
    )
    if state.checkpoint:
        note = base64.urlsafe_b64encode(newest_note(node).encode()).decode()
        response.set_cookie(
            _cookie(node),
            note,
            max_age=_SEEN_FOR_S,
            path="/audit",
            httponly=True,
            samesite="strict",
            secure=request.app.state.secure_cookies,
        )
    return response


def _cookie(node: Node) -> str:
    return f"xinyin_seen_{node.region}"


def _since_last_seen(request: Request, node: Node) -> dict[str, Any] | None:
    """What became of the log since this browser saw it: the browser keeps the signed checkpoint, where nobody who rewrites the
    database reaches it. None at the first visit, or where what it kept is no checkpoint of this log.
    """
    try:
        note = base64.urlsafe_b64decode(request.cookies.get(_cookie(node), "")).decode()
        seen, key = verify_note(note, node.audit_keys())
    except (ValueError, binascii.Error, XinyinError):
        return None
    if key is None or seen.origin != node.audit.origin:
        return None
    try:
        grown = parse_note(node.audit.consistency(note)["checkpoint"])[0].size - seen.size
    except XinyinError as exc:
        return {"ok": False, **_said(seen), "problem": exc.to_dict()}
    return {"ok": True, **_said(seen), "grown": grown}


def _said(found: Any) -> dict[str, Any]:
    return {"size": found.size, "root": found.root.hex(), "at": plain(found.time)}


def _traced(request: Request, found: dict[str, Any], name: str = "") -> Response:
    lang = render.language(request)
    tones = {"sealed": "good", "doubtful": "bad", "original": "doubt"}
    return render.page(
        request,
        "audit/trace.html",
        here="audit",
        found=found,
        name=name,
        tone=tones.get(found["status"], "none"),
        uses=[_shown_use(use, lang) for use in reversed(found["uses"])],
    )


def _shown_use(use: dict[str, Any], lang: str) -> dict[str, Any]:
    """A use of a seal as the page tells it: who did what on the way to it, and the life of its key."""
    steps = [_step(one, lang) for one in (use["application"] or {"steps": []})["steps"]]
    return {
        **use,
        "actor": _person(use["who"], lang),
        "rule_words": use["rule"]["zh" if lang == "zh" else "en"] or use["rule"]["id"],
        "steps": steps,
        "life": [_step(one, lang) for one in use["key"]["life"]] if use["key"] else [],
        "ended_step": _step(use["ended"], lang) if use["ended"] else None,
        "whole": all(one["ok"] for one in use["checks"]),
    }


def _step(step: dict[str, Any], lang: str) -> dict[str, Any]:
    label = history.words_of(step["kind"], lang)
    refused = step["kind"].rpartition(".")[2] in ("refused", "returned", "withdrawn", "voided", "replaced")
    return {
        "label": label,
        "state": "refused" if refused else "done",
        "who": _person(step["who"], lang),
        "at": step["at"],
        "note": _approved(step["approval"], lang),
    }


def _approved(approval: Any, lang: str) -> str:
    """Who approved a step, where its leaf carries an approval."""
    given = approval.get("given") if isinstance(approval, dict) else None
    names = [str(one.get("name") or one.get("officer") or "") for one in given or [] if isinstance(one, dict)]
    return text(lang, "audit_approved_by", who="、".join(names) if lang == "zh" else ", ".join(names)) if any(names) else ""


def _person(who: dict[str, Any], lang: str) -> str:
    return text(lang, f"actor_{who['id']}") if known(f"actor_{who['id']}") else str(who["name"])


def _object(name: str, value: str, lang: str) -> dict[str, str]:
    """An object that an entry speaks of: its kind in words, and where to look further."""
    label = text(lang, f"audit_object_{name}") if known(f"audit_object_{name}") else name
    trace_it = name in _LEADS_TO_A_TRACE
    href = "/audit/trace?" + urlencode({"id": value}) if trace_it else "/audit/log?" + urlencode({"subject": value})
    return {"label": label, "value": value, "href": href}


def _kinds(node: Node, lang: str) -> list[tuple[str, str]]:
    return [("", text(lang, "audit_every_kind")), *((kind, history.words_of(kind, lang)) for kind in node.audit.kinds())]


def _filters(node: Node, asked: dict[str, str]) -> dict[str, Any]:
    """What was typed above the list, as the log takes it. :raises BadInput: no day; :raises NoSuchAccount: nobody"""
    who = asked["who"]
    until = _day(asked["until"])
    return {
        "subject": asked["subject"] or None,
        "kind": asked["kind"] or None,
        "actor": (who if known(f"actor_{who}") else node.accounts.get(who).id) if who else None,
        "since": _day(asked["since"]),
        "until": until + timedelta(days=1) if until else None,
    }


def _day(value: str) -> datetime | None:
    if not value:
        return None
    try:
        return datetime.combine(date.fromisoformat(value), time(), BEIJING)
    except ValueError as exc:
        raise BadInput("Write a day as 2026-11-22.", "日期请写成 2026-11-22。") from exc


def _rows(node: Node, filters: dict[str, Any], lang: str) -> Iterator[str]:
    """A UTF-8 table with its mark, so that spreadsheets read Chinese; a thousand entries at a time."""
    names = ("number", "at", "kind", "what", "who", "rule", "objects", "id")
    yield "\ufeff" + _csv_line([text(lang, f"audit_csv_{name}") for name in names])
    before = None
    while True:
        found: list[Entry] = node.audit.entries(**filters, limit=1000, before=before)
        for one, event in zip(found, history.told(node, found, lang), strict=True):
            objects = " ".join(f"{name}={value}" for name, value in one.subject.items())
            number = "" if one.seq is None else str(one.seq)
            yield _csv_line([number, event.at, one.kind, event.what, event.who, one.rule or "", objects, one.id])
        if len(found) < 1000:
            return
        before = found[-1].id


def _csv_line(cells: list[str]) -> str:
    """One line; a cell that a spreadsheet would take for a formula gets an apostrophe in front."""
    line = io.StringIO()
    csv.writer(line).writerow([cell(one) for one in cells])
    return line.getvalue()


def _json_file(document: dict[str, Any], name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(json.dumps(document, ensure_ascii=False, indent=2) + "\n", media_type="application/json", headers=headers)
