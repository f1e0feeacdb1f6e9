"""``/api/v1/audit``: entries of the log, proofs, checkpoints, the check of the whole, and where a document comes from."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from api.auth import Caller, node_of
from api.logcheck import LogChecks
from api.routes.common import KNOWN, Cursor, Limit, Moment, errors
from api.schemas import LeafOut, LogCheckOut, LogStateOut, Page, TraceOut
from ceremonies.plain import plain
from crypto.errors import NotFound
from formats.x509 import to_pem
from store.audit import NoSuchLeaf

router = APIRouter(prefix="/api/v1", tags=["audit"], responses=KNOWN)

Reference = Annotated[str, Query(min_length=1, max_length=200, description="ID of a sealed document, application, licence …")]


@router.get("/audit", operation_id="list_audit", response_model=Page[LeafOut], summary="Entries of the audit log")
def audit(
    request: Request,
    actor: Caller,
    subject: Annotated[str | None, Query(max_length=255, description="An object, by ID or digest")] = None,
    kind: Annotated[str | None, Query(max_length=64, description="`seal.applied`, or a room: `seal`")] = None,
    who: Annotated[str | None, Query(max_length=255, description="ID of the account that acted")] = None,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Newest first; every filter narrows."""
    node = node_of(request)
    node.authorise(actor, "audit.read")
    found = node.audit.entries(subject=subject, kind=kind, actor=who, since=since, until=until, limit=limit, before=cursor)
    return JSONResponse({"items": plain(found), "next": found[-1].id if len(found) == limit else None})


@router.get("/audit/state", operation_id="audit_state", response_model=LogStateOut, summary="How the log stands")
def state(request: Request, actor: Caller) -> Any:
    """Size, newest checkpoint, what waits for the sequencer, and whether it waits too long."""
    node = node_of(request)
    node.authorise(actor, "audit.read")
    found = node.audit.state()
    signed = found.checkpoint
    return JSONResponse(
        {
            "size": found.size,
            "pending": found.pending,
            "alarm": found.alarm,
            "checkpoint": {"size": signed.size, "root": signed.root.hex(), "at": plain(signed.time)} if signed else None,
        }
    )


@router.get(
    "/audit/checkpoint",
    operation_id="audit_checkpoint",
    response_class=PlainTextResponse,
    responses=errors(404),
    summary="The newest signed checkpoint",
)
def checkpoint(request: Request, actor: Caller) -> Response:
    """A signed note (C2SP). Keep it elsewhere: a rewritten past cannot be proved to extend it."""
    node = node_of(request)
    node.authorise(actor, "audit.prove")
    return PlainTextResponse(newest_note(node))


@router.get("/audit/keys", operation_id="audit_keys", response_class=PlainTextResponse, summary="The log's public keys")
def keys(request: Request, actor: Caller) -> Response:
    """PEM, for `xinyin audit verify FILE --trust KEYS`. Compare them with a copy from somewhere else."""
    node = node_of(request)
    node.authorise(actor, "audit.read")
    return PlainTextResponse("".join(to_pem(key.spki, "PUBLIC KEY") for key in node.audit_keys()))


@router.get(
    "/audit/consistency",
    operation_id="audit_consistency",
    responses=errors(400, 404, 409),
    summary="Prove that the log extends an earlier checkpoint",
)
def consistency(
    request: Request,
    actor: Caller,
    since: Annotated[str, Query(max_length=4096, description="The signed note that was kept, as it is")],
) -> dict[str, Any]:
    """For `xinyin audit verify FILE --trust KEYS`, offline."""
    node = node_of(request)
    node.authorise(actor, "audit.prove")
    return node.audit.consistency(since)


@router.post(
    "/audit/checks", operation_id="check_audit", status_code=202, response_model=LogCheckOut, summary="Check the whole log"
)
def check(request: Request, actor: Caller) -> Any:
    """Starts a check or joins the one that runs; `GET /audit/checks` tells how far it is and what it found."""
    node_of(request).authorise(actor, "audit.verify")
    return JSONResponse(checks_of(request).start().told(), 202)


@router.get(
    "/audit/checks",
    operation_id="audit_check",
    response_model=LogCheckOut,
    responses=errors(404),
    summary="The running or last check",
)
def checked(request: Request, actor: Caller) -> Any:
    """404 before the first check since this service started."""
    node_of(request).authorise(actor, "audit.verify")
    latest = checks_of(request).latest
    if latest is None:
        raise NotFound("The log was not checked yet since this service started.", "本服务启动以来尚未核验日志。")
    return JSONResponse(latest.told())


@router.get("/audit/traces", operation_id="trace", response_model=TraceOut, responses=errors(404))
def trace(request: Request, actor: Caller, id: Reference) -> Any:
    """Who sealed what goes by this ID: when, with which key, under which rule, on whose approval; with proof."""
    return JSONResponse(node_of(request).tracer.find(actor, id))


@router.post("/audit/traces", operation_id="trace_file", response_model=TraceOut, responses=errors(413))
def trace_file(request: Request, actor: Caller, file: UploadFile) -> Any:
    """The same for a file: the sealed document, or the original that was sealed. It is not kept."""
    return JSONResponse(node_of(request).tracer.file(actor, file.file.read()))


@router.get("/audit/{leaf_id}", operation_id="show_audit", response_model=LeafOut, responses=errors(404))
def show(request: Request, actor: Caller, leaf_id: str) -> Any:
    """One entry."""
    node = node_of(request)
    node.authorise(actor, "audit.read")
    return JSONResponse(plain(node.audit.entry(leaf_id)))


@router.get("/audit/{leaf_id}/proof", operation_id="prove_audit", responses=errors(404, 409), summary="Prove an entry")
def prove(request: Request, actor: Caller, leaf_id: str) -> dict[str, Any]:
    """For `xinyin audit verify FILE --trust KEYS`, offline; 409 until a checkpoint covers the entry."""
    node = node_of(request)
    node.authorise(actor, "audit.prove")
    return node.audit.prove(leaf_id)


@router.get(
    "/audit-export",
    operation_id="export_audit",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/jsonl": {"schema": {"type": "string"}}}}, **errors(409)},
    summary="The whole log",
)
def export(request: Request, actor: Caller) -> StreamingResponse:
    """One JSON object a line, for `xinyin audit verify FILE`."""
    node = node_of(request)
    node.authorise(actor, "audit.export")
    lines = node.audit.export()
    first = next(lines)  # a refusal must come before the answer has begun

    def text() -> Any:
        yield first
        yield from lines

    return StreamingResponse(text(), media_type="application/jsonl")


def checks_of(request: Request) -> LogChecks:
    """The checks of this process."""
    found: LogChecks = request.app.state.log_checks
    return found


def newest_note(node: Any) -> str:
    """The newest signed checkpoint. :raises NoSuchLeaf: nothing is signed yet"""
    note = next(iter(node.audit.notes(limit=1)), None)
    if note is None:
        raise NoSuchLeaf("The log has no signed checkpoint yet; ask again in a minute.", "日志尚无签名检查点；请一分钟后再试。")
    return str(note)
