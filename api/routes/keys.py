"""``/api/v1/keys``: key roles, their generations, the steps of a rotation, compromises, drills, and what runs out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from api.auth import Caller, node_of
from api.routes.common import KNOWN, Cursor, Limit, Moment, errors
from api.schemas import Open, Page
from ceremonies.drill import Drill
from ceremonies.keybook import shown
from ceremonies.plain import plain
from crypto.errors import BadInput
from formats.x509 import to_pem
from policies.limits import WARN_BEFORE

router = APIRouter(prefix="/api/v1/keys", tags=["keys"], responses=KNOWN)

Step = Literal["prove", "certify", "file", "distribute", "activate", "retire", "destroy"]
Approval = Annotated[str | None, Field(max_length=64, description="Approval by the officers, where the rules want one")]
_MAX_PEM = 100_000


class KeyRoleOut(Open):
    """A key role; ``rotation`` is steady, rotating, draining or stopped, ``active`` the generation in use."""

    id: str
    purpose: str
    suite: str
    status: str
    label: str
    label_zh: str
    active: str | None
    rotation: str
    generations: list[dict[str, Any]]


class GenerationOut(Open):
    """One key of a role."""

    id: str
    role_id: str
    number: int
    status: str


class DueOut(Open):
    """Something that runs out; ``urgency`` is overdue, urgent or soon."""

    kind: str
    what: str
    what_zh: str
    at: str
    days: int
    urgency: str
    do: str
    do_zh: str


class CeremonyOut(Open):
    """A compromise or a drill: running, done, incomplete or failed."""

    id: str
    kind: Literal["compromise", "drill"]
    status: str


class AskedOut(Open):
    """The request for approval: see ``/api/v1/approvals``."""

    id: str
    status: str
    digest: str


class Stage(BaseModel):
    """Make the role's next key."""

    approval: Approval = None


class StepWish(BaseModel):
    """What a step needs beyond the key: only ``certify`` takes certificates, only ``file`` a number."""

    approval: Approval = None
    number: str | None = Field(None, max_length=100, description="file: number given by the filing authority")
    certificate: str | None = Field(None, max_length=_MAX_PEM, description="certify: an outside CA's certificate (PEM)")
    chain: str | None = Field(None, max_length=_MAX_PEM, description="certify: its issuers up to the root (PEM)")
    hurry: Annotated[bool, Field(description="activate: before other regions have had the time to fetch the list")] = False
    now: Annotated[bool, Field(description="retire: without waiting for requests under way")] = False


class Ask(BaseModel):
    """A step that officers are to approve."""

    step: Literal["stage", "certify", "file", "distribute", "activate", "retire", "destroy"]
    target: str = Field(max_length=64, description="The role for stage, a generation for the others")
    number: str | None = Field(None, max_length=100)
    certificate: str | None = Field(None, max_length=_MAX_PEM)


class Declare(BaseModel):
    """Why a key is compromised, and since when it is in doubt (by default since it was put to use)."""

    reason: str = Field(min_length=1, max_length=2000)
    since: Moment | None = None
    approval: Approval = None


class Practise(BaseModel):
    """A drill with keys of this suite."""

    suite: Literal["sm2", "rsa", "p256"] = "sm2"


@router.get("", operation_id="list_keys", response_model=Page[KeyRoleOut], summary="Key roles")
def list_keys(request: Request, actor: Caller, limit: Limit = 100, cursor: Cursor = None) -> Any:
    """Those in the middle of a rotation first; `cursor` is the last role seen."""
    node = node_of(request)
    roles = node.rotation.book.roles(actor)
    generations = {one["id"]: one["generations"] for one in node.list_keys()}
    return _page([{**one, "generations": generations.get(one["id"], [])} for one in roles], limit, cursor)


@router.get("/due", operation_id="list_due", response_model=Page[DueOut], summary="What runs out")
def due(
    request: Request,
    actor: Caller,
    days: Annotated[int, Query(ge=1, le=3650)] = WARN_BEFORE.days,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Keys, certificates, revocation and trust lists, seals: the most urgent first; `cursor` counts."""
    start = int(cursor) if cursor and cursor.isdecimal() and len(cursor) < 10 else 0
    items = node_of(request).expiry.overview(actor, within=timedelta(days=days))
    rest = len(items) > start + limit
    return JSONResponse({"items": items[start : start + limit], "next": str(start + limit) if rest else None})


@router.post("/ask", operation_id="ask_for_step", response_model=AskedOut, status_code=201, responses=errors(400, 404, 409))
def ask(request: Request, actor: Caller, wish: Ask) -> Any:
    """Ask the officers to approve a step; asked again while it stands, the same request is given."""
    found = node_of(request).rotation.ask(actor, wish.step, wish.target, number=wish.number, certificate=_pem(wish.certificate))
    return JSONResponse(plain(found), 201)


@router.post("/drills", operation_id="drill", response_model=CeremonyOut, status_code=201, summary="Practise a rotation")
def drill(request: Request, actor: Caller, wish: Practise) -> Any:
    """Scratch keys go through a whole rotation and are destroyed; the record says how each step went."""
    return JSONResponse(Drill(node_of(request)).run(actor, wish.suite), 201)


@router.get("/ceremonies", operation_id="list_ceremonies", response_model=Page[CeremonyOut], summary="Compromises and drills")
def ceremonies(
    request: Request,
    actor: Caller,
    kind: Literal["compromise", "drill"] | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Newest first."""
    return _page(node_of(request).compromise.reports(actor, kind=kind), limit, cursor)


@router.get("/ceremonies/{ceremony_id}", operation_id="show_ceremony", response_model=CeremonyOut, responses=errors(404))
def ceremony(request: Request, actor: Caller, ceremony_id: str) -> Any:
    """Of a compromise with everything that is in doubt (`items`)."""
    return JSONResponse(node_of(request).compromise.report(actor, ceremony_id))


@router.get(
    "/ceremonies/{ceremony_id}/in-doubt.csv",
    operation_id="in_doubt",
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}, **errors(404)},
)
def in_doubt(request: Request, actor: Caller, ceremony_id: str) -> Response:
    """What a compromised key vouched for, for an office program."""
    table = node_of(request).compromise.table(actor, ceremony_id)
    name = f'attachment; filename="{ceremony_id}.csv"'
    return Response(table.encode(), media_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})


@router.post(
    "/generations/{generation_id}/compromise",
    operation_id="declare_compromised",
    response_model=CeremonyOut,
    responses=errors(400, 404, 409),
    summary="Stop a key at once",
)
def compromise(request: Request, actor: Caller, generation_id: str, wish: Declare) -> Any:
    """One officer suffices: the key stops, its certificates are revoked, its seal goes on with a prepared key or is suspended,
    and what is in doubt is listed."""
    found = node_of(request).compromise.declare(
        actor, generation_id, reason=wish.reason, since=wish.since, approval=wish.approval
    )
    return JSONResponse(found)


@router.get(
    "/generations/{generation_id}/request",
    operation_id="certificate_request",
    response_class=Response,
    responses={200: {"content": {"application/x-pem-file": {}}}, **errors(404, 409)},
)
def certificate_request(request: Request, actor: Caller, generation_id: str) -> Response:
    """PKCS#10 for an outside CA, with the names of the role's certificate."""
    der = node_of(request).rotation.request(actor, generation_id)
    name = f'attachment; filename="{generation_id}.csr.pem"'
    text = to_pem(der, "CERTIFICATE REQUEST").encode()
    return Response(text, media_type="application/x-pem-file", headers={"Content-Disposition": name})


@router.post(
    "/generations/{generation_id}/{step}",
    operation_id="take_key_step",
    response_model=GenerationOut,
    responses=errors(400, 404, 409, 422),
    summary="Take a step of a rotation",
)
def take_step(request: Request, actor: Caller, generation_id: str, step: Step, wish: StepWish) -> Any:
    """Steps out of their order are refused with the one that comes first; one that was taken already changes nothing."""
    return JSONResponse(shown(take(request, actor, generation_id, step, wish)))


def take(request: Request, actor: Caller, generation_id: str, step: str, wish: StepWish) -> Any:
    """The step, with what of the wish belongs to it; pages use it too."""
    node_of(request).authorise(actor, "approval.request")  # how a key stands is told only to who could ask for the step
    rotation = node_of(request).rotation
    more: dict[str, Any] = {} if step == "prove" else {"approval": wish.approval}
    if step == "certify" and wish.certificate:
        more |= {"certificate": _pem(wish.certificate), "chain": _pem(wish.chain) or b""}
    elif step == "file":
        more["number"] = wish.number
    elif step == "activate":
        more["hurry"] = wish.hurry
    elif step == "retire":
        more["now"] = wish.now
    return getattr(rotation, step)(actor, generation_id, **more)


@router.get("/{role_id}", operation_id="show_key", response_model=KeyRoleOut, responses=errors(404), summary="One key role")
def show(request: Request, actor: Caller, role_id: str) -> Any:
    """Its generations, newest first, and the steps of its rotation."""
    return JSONResponse(plain(node_of(request).rotation.book.role(actor, role_id)))


@router.get("/{role_id}/plan", operation_id="plan_rotation", response_model=KeyRoleOut, responses=errors(404))
def plan(request: Request, actor: Caller, role_id: str) -> Any:
    """What the rotation will do from here on, and what each step needs."""
    return JSONResponse(plain(node_of(request).rotation.plan(actor, role_id)))


@router.post(
    "/{role_id}/stage",
    operation_id="stage_key",
    response_model=GenerationOut,
    status_code=201,
    responses=errors(404, 409),
    summary="Make the role's next key",
)
def stage(request: Request, actor: Caller, role_id: str, wish: Stage) -> Any:
    """In its token; the one that is staged already is given back."""
    return JSONResponse(shown(node_of(request).rotation.stage(actor, role_id, approval=wish.approval)), 201)


def _pem(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return text.encode("ascii")
    except UnicodeEncodeError as exc:
        raise BadInput("A certificate in PEM is plain ASCII.", "PEM 格式的证书只含 ASCII 字符。") from exc


def _page(items: Sequence[dict[str, Any]], limit: int, cursor: str | None) -> JSONResponse:
    """One page of a short list that is made as a whole; ``cursor`` names the last item seen."""
    start = next((n for n, one in enumerate(items, 1) if one["id"] == cursor), 0)
    shown = items[start : start + limit]
    more = len(items) > start + limit
    return JSONResponse({"items": plain(shown), "next": shown[-1]["id"] if more and shown else None})
