"""The officers' pages: what runs out, every key with the steps of its rotation, compromises and drills."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import RedirectResponse, Response

from api import history, render
from api.auth import CurrentSession, node_of
from api.routes.keys import StepWish, take
from api.sessions import Session, demand
from ceremonies.drill import Drill
from ceremonies.steps import SUITES
from crypto.errors import BadInput, Unauthenticated, XinyinError
from formats.dates import BEIJING, shown_time

if TYPE_CHECKING:
    from ceremonies.node import Node

router = APIRouter(include_in_schema=False)

_TONES = {"steady": "good", "rotating": "doubt", "draining": "doubt", "stopped": "bad"}
_STATES = {"staged": "none", "active": "good", "draining": "doubt", "retired": "none", "destroyed": "none"}
_URGENT = {"overdue": "bad", "urgent": "doubt", "soon": "none"}
_OF_ORGANS = ("seal_holder", "licence_issuer")
_CERTIFICATE_BYTES = 100_000

Csrf = Annotated[str, Form(max_length=200)]


@router.get("/officer")
def overview(request: Request, session: CurrentSession) -> Response:
    """What runs out and what is half done, then every key."""
    return _overview(request, _known(session))


@router.post("/officer/drill")
def drill(
    request: Request, session: CurrentSession, csrf: Csrf = "", suite: Annotated[str, Form(max_length=8)] = "sm2"
) -> Response:
    """Practise; leads to the record."""
    known = _known(session)
    demand(known.csrf, csrf)
    if suite not in ("sm2", "rsa", "p256"):
        raise BadInput("Choose sm2, rsa or p256.", "请选择 sm2、rsa 或 p256。")
    found = Drill(node_of(request)).run(known.account, suite)
    return RedirectResponse(f"/officer/ceremonies/{found['id']}", 303)


@router.get("/officer/keys/{role_id}")
def key(request: Request, session: CurrentSession, role_id: str) -> Response:
    """One role: where its rotation stands and what the next step would do."""
    return _key(request, _known(session), role_id)


@router.post("/officer/keys/{role_id}/ask")
def ask(
    request: Request,
    session: CurrentSession,
    role_id: str,
    step: Annotated[str, Form(max_length=16)],
    csrf: Csrf = "",
    target: Annotated[str, Form(max_length=64)] = "",
    number: Annotated[str, Form(max_length=100)] = "",
    certificate: UploadFile | None = None,
) -> Response:
    """Ask the officers to approve the step; leads to the request, where the first may approve at once."""
    known = _known(session)
    demand(known.csrf, csrf)
    try:
        given = _read(certificate)
        found = node_of(request).rotation.ask(
            known.account, step, target or role_id, number=number.strip() or None, certificate=given
        )
    except XinyinError as exc:
        return _key(request, known, role_id, exc.status, problem=exc.to_dict())
    return RedirectResponse(f"/officer/approvals/{found['id']}", 303)


@router.post("/officer/keys/{role_id}/step")
def step(
    request: Request,
    session: CurrentSession,
    role_id: str,
    step: Annotated[str, Form(max_length=16)],
    csrf: Csrf = "",
    target: Annotated[str, Form(max_length=64)] = "",
    approval: Annotated[str, Form(max_length=64)] = "",
    number: Annotated[str, Form(max_length=100)] = "",
    certificate: UploadFile | None = None,
    chain: UploadFile | None = None,
) -> Response:
    """Carry the step out."""
    known = _known(session)
    demand(known.csrf, csrf)
    try:
        if step == "stage":
            node_of(request).rotation.stage(known.account, role_id, approval=approval or None)
        elif step in ("prove", "certify", "file", "distribute", "activate", "retire", "destroy"):
            wish = StepWish(
                approval=approval or None,
                number=number.strip() or None,
                certificate=(_read(certificate) or b"").decode("ascii", "replace") or None,
                chain=(_read(chain) or b"").decode("ascii", "replace") or None,
            )
            take(request, known.account, target, step, wish)
        else:
            raise BadInput("There is no such step.", "没有该步骤。")
    except XinyinError as exc:
        return _key(request, known, role_id, exc.status, problem=exc.to_dict())
    return RedirectResponse(f"/officer/keys/{role_id}?done={step}", 303)


@router.get("/officer/compromise/{generation_id}")
def before_compromise(request: Request, session: CurrentSession, generation_id: str) -> Response:
    """What would happen, asked before it does."""
    return _compromise(request, _known(session), generation_id)


@router.post("/officer/compromise/{generation_id}")
def compromise(
    request: Request,
    session: CurrentSession,
    generation_id: str,
    csrf: Csrf = "",
    reason: Annotated[str, Form(max_length=2000)] = "",
    since: Annotated[str, Form(max_length=32)] = "",
) -> Response:
    """Stop the key at once; leads to the report."""
    known = _known(session)
    demand(known.csrf, csrf)
    try:
        found = node_of(request).compromise.declare(known.account, generation_id, reason=reason, since=_moment(since))
    except XinyinError as exc:
        return _compromise(request, known, generation_id, exc.status, problem=exc.to_dict(), reason=reason, since=since)
    return RedirectResponse(f"/officer/ceremonies/{found['id']}", 303)


@router.get("/officer/ceremonies/{ceremony_id}.csv")
def in_doubt(request: Request, session: CurrentSession, ceremony_id: str) -> Response:
    """What a compromised key vouched for, for an office program."""
    table = node_of(request).compromise.table(_known(session).account, ceremony_id)
    name = f'attachment; filename="{ceremony_id}.csv"'
    return Response(table.encode(), media_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})


@router.get("/officer/ceremonies/{ceremony_id}")
def ceremony(request: Request, session: CurrentSession, ceremony_id: str) -> Response:
    """The report of a compromise, or the record of a drill."""
    known, node = _known(session), node_of(request)
    found = node.compromise.report(known.account, ceremony_id)
    lang = render.language(request)
    found["by"] = history.people(node, [found["actor"]], lang).get(found["actor"], found["actor"])
    role = None
    if found["generation"]:
        generation = node.keys.generation(found["generation"])
        label = node.rotation.book.label(node.keys.role(generation.role_id))
        role = {"id": generation.role_id, "label": label[1 if lang == "zh" else 0], "number": generation.number}
    items = found.pop("items", [])
    return render.page(
        request, "officer/ceremony.html", here="officer", found=found, role=role, shown=items[:200], total=len(items)
    )


# -- within -------------------------------------------------------------------------------------------------------------------


def _known(session: Session | None) -> Session:
    if session is None:
        raise Unauthenticated("Sign in first.", "请先登录。")
    return session


def _overview(request: Request, session: Session, status: int = 200, **values: Any) -> Response:
    node, lang = node_of(request), render.language(request)
    roles = node.rotation.book.roles(session.account)
    for one in roles:
        one["name"] = one["label_zh"] if lang == "zh" else one["label"]
        one["tone"], one["suite_name"] = _TONES[one["rotation"]], SUITES[one["suite"]]
    due = node.expiry.overview(session.account)
    for one in due:
        one["tone"] = _URGENT[one["urgency"]]
        one["name"] = one["what_zh"] if lang == "zh" else one["what"]
        one["remedy"] = one["do_zh"] if lang == "zh" else one["do"]
    return render.page(
        request,
        "officer/overview.html",
        status,
        here="officer",
        due=due,
        open=[one for one in roles if one["rotation"] != "steady"],
        seals=_grouped(one for one in roles if one["purpose"] in _OF_ORGANS),
        others=_grouped(one for one in roles if one["purpose"] not in _OF_ORGANS),
        ceremonies=node.compromise.reports(session.account)[:5],
        **values,
    )


def _grouped(roles: Iterable[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Roles that differ in their suite only, under the name that they share."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in roles:
        found.setdefault(re.sub(r" ?[（(][^（(]*[）)]$", "", one["name"]), []).append(one)
    return list(found.items())


def _key(request: Request, session: Session, role_id: str, status: int = 200, **values: Any) -> Response:
    node, lang = node_of(request), render.language(request)
    found = node.rotation.book.role(session.account, role_id)
    found["name"] = found["label_zh"] if lang == "zh" else found["label"]
    for one in found["generations"]:
        one["tone"] = "bad" if one["compromised_since"] else _STATES[one["status"]]
        one["word"] = one["status_zh"] if lang == "zh" else one["status_en"]
    current = next((s for s in found["steps"] if s["state"] == "current"), None)
    done = request.query_params.get("done", "")
    return render.page(
        request,
        "officer/key.html",
        status,
        here="officer",
        role=found,
        tone=_TONES[found["rotation"]],
        steps=[_stepped(node, one, lang, begun=found["target"] is not None) for one in found["steps"]],
        current=_next(node, session, found, current, lang) if current else None,
        done=next((_word(s, "name", lang) for s in found["steps"] if s["step"] == done), ""),
        events=_events(node, found, lang),
        **values,
    )


def _stepped(node: Node, one: dict[str, Any], lang: str, *, begun: bool) -> dict[str, Any]:
    who = history.people(node, [one["actor"]], lang).get(one["actor"], "") if one["actor"] else ""
    return {
        "label": _word(one, "name", lang),
        "state": one["state"] if begun else "waiting",
        "who": who,
        "at": one["at"],
        "note": "",
    }


def _next(node: Node, session: Session, role: dict[str, Any], one: dict[str, Any], lang: str) -> dict[str, Any]:
    """The step that is due: what it does, what it needs, the approval that stands for it."""
    needs = [n for n in one["needs"] if n["code"] not in ("approvals", "officer")]
    codes = {n["code"] for n in one["needs"]}
    target = role["id"] if one["step"] == "stage" else one["generation"]
    standing = node.rotation.asking.standing_for(session.account, one["step"], target) if "approvals" in codes else None
    return {
        "step": one["step"],
        "name": _word(one, "name", lang),
        "text": _word(one, "text", lang),
        "target": target,
        "details": [(_word(d, "name", lang), render.short_name(d["value"])) for d in one["details"]],
        "needs": [_word(n, "text", lang) for n in needs],
        "outside": "outside-ca" in codes,
        "forbidden": "officer" in codes,
        "approvals": "approvals" in codes,
        "standing": standing,
        "danger": one["step"] == "destroy",
    }


def _events(node: Node, role: dict[str, Any], lang: str) -> list[history.Event]:
    """What the log says of the role and of each of its keys, newest first, each leaf once."""
    found = {e.id: e for e in node.audit.history(role["id"], limit=50)}
    for one in role["generations"][:6]:
        found |= {e.id: e for e in node.audit.history(one["id"], limit=50)}
    newest = sorted(found.values(), key=lambda e: e.id, reverse=True)[:60]
    return history.told(node, newest, lang)


def _compromise(request: Request, session: Session, generation_id: str, status: int = 200, **values: Any) -> Response:
    node, lang = node_of(request), render.language(request)
    generation = node.keys.generation(generation_id)
    found = node.rotation.book.role(session.account, generation.role_id)
    start = generation.activated_at or generation.created_at
    return render.page(
        request,
        "officer/compromise.html",
        status,
        here="officer",
        role=found,
        name=found["label_zh"] if lang == "zh" else found["label"],
        generation=node.rotation.book.generation(generation),
        started=shown_time(start),
        **{"problem": None, "reason": "", "since": "", **values},
    )


def _word(said: dict[str, Any], key: str, lang: str) -> str:
    return str(said[f"{key}_zh"] if lang == "zh" else said[key])


def _read(file: UploadFile | None) -> bytes | None:
    if file is None or not file.filename:
        return None
    data = file.file.read(_CERTIFICATE_BYTES + 1)
    if len(data) > _CERTIFICATE_BYTES:
        raise BadInput("A certificate is smaller than that; choose the right file.", "证书文件过大；请选择正确的文件。")
    return data


def _moment(value: str) -> datetime | None:
    """``datetime-local`` of a form, in Beijing time."""
    if not value.strip():
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError as exc:
        raise BadInput("Give the time as year-month-day hour:minute.", "时间请写成 年-月-日 时:分。") from exc
    return found if found.tzinfo else found.replace(tzinfo=BEIJING)
