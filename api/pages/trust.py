"""The regions that this node trusts: which, how fresh what it knows of them is, and how an officer adds or drops one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import RedirectResponse, Response

from api import render
from api.auth import CurrentSession, node_of
from api.sessions import Session, demand
from ceremonies.regions import subject_of
from crypto.errors import BadInput, NotFound, Unauthenticated, XinyinError
from formats.dates import shown_time
from people.schemas import ANONYMOUS

router = APIRouter(include_in_schema=False)

Csrf = Annotated[str, Form(max_length=200)]
_TONES = {"current": "good", "stale": "doubt", "closed": "none", "refused": "bad"}
_LIST_BYTES = 16 << 20


@router.get("/trust")
def regions(request: Request, session: CurrentSession) -> Response:
    """Ours and the others', with what is held of them; open to everybody, as the lists are."""
    return _regions(request, session)


@router.post("/trust")
def import_region(
    request: Request,
    session: CurrentSession,
    csrf: Csrf = "",
    url: Annotated[str, Form(max_length=2048)] = "",
    pin: Annotated[str, Form(max_length=200)] = "",
    file: UploadFile | None = None,
) -> Response:
    """Import a region by address or file; without the fingerprint, show the one that was found, to be compared."""
    known = _known(session)
    demand(known.csrf, csrf)
    desk = node_of(request).region_desk
    data = file.file.read(_LIST_BYTES) if file is not None and file.filename else b""
    try:
        if not data and not url.strip():
            raise BadInput("Give the address of the list, or choose its file.", "请填写列表地址，或选择列表文件。")
        found = desk.import_text(known.account, data, pin=pin) if data else desk.import_from(known.account, url, pin=pin)
    except XinyinError as exc:
        fingerprint = exc.detail.get("fingerprint") if not pin.strip() else None
        asked = {"url": url, "from_file": bool(data), "fingerprint": fingerprint}
        return _regions(request, session, exc.status, problem=None if fingerprint else exc.to_dict(), asked=asked)
    return RedirectResponse(f"/trust?imported={found.region}", 303)


@router.post("/trust/refresh")
def refresh(request: Request, session: CurrentSession, csrf: Csrf = "") -> Response:
    """Ask every region now."""
    known = _known(session)
    demand(known.csrf, csrf)
    node_of(request).region_desk.refresh(known.account)
    return RedirectResponse("/trust?refreshed=1", 303)


@router.get("/trust/regions/{region}")
def region(request: Request, session: CurrentSession, region: str) -> Response:
    """One other region: its list, what is held of its states, who imported it."""
    node = node_of(request)
    listed = _listed(request, session, region)
    held = [_aged(one) for one in node.region_desk.holdings(_actor(session)) if one["region"] == region]
    return render.page(
        request,
        "trust/region.html",
        here="trust",
        one=listed,
        held=held,
        subject=subject_of(region),
        may=_may(request, session),
    )


@router.get("/trust/regions/{region}/forget")
def before_forgetting(request: Request, session: CurrentSession, region: str) -> Response:
    """What it would mean, asked before it is done."""
    _known(session)
    return render.page(request, "trust/forget.html", here="trust", one=_listed(request, session, region))


@router.post("/trust/regions/{region}/forget")
def forget(request: Request, session: CurrentSession, region: str, csrf: Csrf = "") -> Response:
    """Stop trusting the region."""
    known = _known(session)
    demand(known.csrf, csrf)
    node_of(request).region_desk.forget(known.account, region)
    return RedirectResponse(f"/trust?forgotten={region}", 303)


# -- within -------------------------------------------------------------------------------------------------------------------


def _known(session: Session | None) -> Session:
    if session is None:
        raise Unauthenticated("Sign in first.", "请先登录。")
    return session


def _actor(session: Session | None) -> Any:
    return session.account if session is not None else ANONYMOUS


def _may(request: Request, session: Session | None) -> bool:
    """Whether to offer what officers do; the operations ask the rules themselves."""
    node = node_of(request)
    return node.authoriser.decide(_actor(session), "trust.import", {"region": node.region}).allowed


def _regions(request: Request, session: Session | None, status: int = 200, **values: Any) -> Response:
    node = node_of(request)
    lists = [_toned(request, one) for one in node.region_desk.lists(_actor(session))]
    done = {key: request.query_params.get(key, "")[:6] for key in ("imported", "refreshed", "forgotten")}
    return render.page(
        request,
        "trust/regions.html",
        status,
        here="trust",
        own=next((one for one in lists if one.get("own")), None),
        others=[one for one in lists if not one.get("own") and one["id"]],
        refused=[one for one in lists if not one["id"]],
        may=_may(request, session),
        done=done if status == 200 else dict.fromkeys(done, ""),
        **{"asked": {"url": "", "from_file": False, "fingerprint": None}, "problem": None, **values},
    )


def _listed(request: Request, session: Session | None, region: str) -> dict[str, Any]:
    """:raises NotFound: no such region is trusted here"""
    for one in node_of(request).region_desk.lists(_actor(session)):
        if one.get("region") == region and not one.get("own"):
            return _toned(request, one)
    raise NotFound(f"No list of region {region} is imported.", f"未导入地区 {region} 的列表。")


def _toned(request: Request, one: dict[str, Any]) -> dict[str, Any]:
    found = {**one, "tone": _TONES[one["status"]]}
    if one["id"]:
        found["failing"] = one.get("problem_zh" if render.language(request) == "zh" else "problem", "")
    return found


def _aged(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, **{key: shown_time(one[key]) if one[key] else None for key in ("fetched", "issued")}}
