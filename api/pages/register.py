"""The register of use 用印登记: every impression of the seals that the reader may see, with search and export."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from api import render
from api.auth import node_of
from api.pages.applying import SignedIn, seal_label
from api.texts import text
from ceremonies.plain import plain
from formats.dates import BEIJING
from seals.workflow.register import Asked, people_of

router = APIRouter(include_in_schema=False)

PAGE = 50


@router.get("/register")
def register(
    request: Request,
    session: SignedIn,
    seal: str = "",
    q: str = "",
    since: str = "",
    until: str = "",
    matter: str = "",
    cursor: str = "",
) -> Response:
    """Per seal or over all, newest first."""
    node, lang = node_of(request), render.language(request)
    wanted = _wanted(seal, q, since, until, matter)
    found = node.seals.applications.register(session.account, **wanted, limit=PAGE, cursor=cursor[:64] or None)
    kept: dict[str, Any] = {"seal": seal[:64], "q": q[:100], "since": since[:10], "until": until[:10], "matter": matter[:64]}
    query = urlencode({key: value for key, value in kept.items() if value})
    address = f"/register?{query}"
    return render.page(
        request,
        "register.html",
        here="register",
        items=[_row(one, lang) for one in found.items],
        next=f"{address}&cursor={found.next}" if found.next else "",
        first=address if cursor else "",
        export=f"/register.csv?{query}",
        seals=[(one["id"], seal_label(one)) for one in plain(node.seals.list(session.account, limit=1000).items)],
        matters=[(m.code, m.zh if lang == "zh" else m.en) for m in node.seals.applications.matters.all()],
        **kept,
    )


@router.get("/register.csv")
def export(
    request: Request, session: SignedIn, seal: str = "", q: str = "", since: str = "", until: str = "", matter: str = ""
) -> Response:
    """The same for a spreadsheet, every page of it."""
    asked = Asked(**_wanted(seal, q, since, until, matter))
    lines = node_of(request).seals.applications.register_csv(session.account, asked, lang=render.language(request))
    headers = {"Content-Disposition": 'attachment; filename="register-of-use.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def _wanted(seal: str, q: str, since: str, until: str, matter: str) -> dict[str, Any]:
    return {
        "seal_id": seal[:64] or None,
        "q": q.strip()[:100] or None,
        "since": _day(since),
        "until": _day(until, 1),
        "matter": matter[:64] or None,
    }


def _day(given: str, later: int = 0) -> datetime | None:
    """The beginning of a day in Beijing, ``later`` days on; None for what is no day."""
    try:
        day = datetime.strptime(given.strip(), "%Y-%m-%d").replace(tzinfo=BEIJING)
    except ValueError:
        return None
    return (day + timedelta(days=later)).astimezone(UTC)


def _row(one: dict[str, Any], lang: str) -> dict[str, Any]:
    """One use of a seal in words."""
    return (
        one
        | people_of(one, english=lang != "zh")
        | {
            "sealed_at": render.short_moment(one["created_at"]),
            "seal": one["seal_name"],
            "matter": one["matter_name_zh"] if lang == "zh" else one["matter_name"],
            "state": text(lang, f"impression_{one['status']}"),
        }
    )
