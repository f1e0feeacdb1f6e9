"""``/api/v1/applications``: to make a seal, to use one, to issue a licence; step by step from hand-in to delivery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Form, Query, Request, UploadFile
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from api.auth import Caller, node_of
from api.routes.common import KNOWN, Cursor, IdempotencyKey, Limit, Moment, errors
from api.routes.handed_in import AMENDING, SUBMITTING, HandedIn, amended, submitted
from api.schemas import ApplicationOut, MatterOut, Page, RegisterOut
from ceremonies.plain import plain
from seals.workflow.register import Asked
from seals.workflow.service import METHODS, ApplicationService

router = APIRouter(prefix="/api/v1", tags=["applications"], responses=KNOWN)

Text = Annotated[str | None, Query(max_length=200)]


class Refusal(BaseModel):
    """Why an application is sent back or refused; kept on record."""

    reason: str = Field(min_length=1, max_length=2000)


class Remark(BaseModel):
    """What goes with an approval."""

    note: str = Field("", max_length=2000)
    content: str | None = Field(None, max_length=64, description="`content_sha256` that was looked at; another one now: 409")


class Withdrawal(BaseModel):
    """Why an application is withdrawn."""

    reason: str = Field("", max_length=2000)


def service_of(request: Request) -> ApplicationService:
    """The node's applications."""
    return node_of(request).seals.applications


def _shown(found: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(plain(found), status)


@router.post(
    "/applications",
    operation_id="submit_application",
    status_code=201,
    response_model=ApplicationOut,
    responses=errors(400, 404, 409, 413, 422),
    openapi_extra=SUBMITTING,
)
def submit(
    request: Request,
    actor: Caller,
    handed_in: Annotated[HandedIn, Depends(submitted)],
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Put an application (经办): as JSON, or as a form with the documents to be sealed."""
    made = service_of(request).submit(
        actor, **handed_in.members, documents=handed_in.documents(), idempotency_key=idempotency_key
    )
    return _shown(made, 201)


@router.get("/applications", operation_id="list_applications", response_model=Page[ApplicationOut], responses=errors(400))
def list_applications(
    request: Request,
    actor: Caller,
    status: Annotated[str | None, Query(max_length=16)] = None,
    todo: Annotated[bool, Query(description="Those that wait for the caller")] = False,
    mine: Annotated[bool, Query(description="Those that the caller handled")] = False,
    matter: Text = None,
    department: Text = None,
    seal: Text = None,
    q: Annotated[str | None, Query(max_length=200, description="Part of title or number; or an ID in full")] = None,
    since: Moment | None = None,
    until: Moment | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Those that the caller may see, newest first."""
    page = service_of(request).list(
        actor,
        status=status,
        todo=todo,
        mine=mine,
        matter=matter,
        department=department,
        seal_id=seal,
        q=q,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )
    return JSONResponse({"items": plain(page.items), "next": page.next})


@router.get(
    "/applications/{application_id}", operation_id="show_application", response_model=ApplicationOut, responses=errors(404)
)
def show(request: Request, actor: Caller, application_id: str) -> Any:
    """One application with its steps, who has it and since when, and what the caller `can` do."""
    return _shown(service_of(request).show(actor, application_id))


@router.post(
    "/applications/{application_id}/amend",
    operation_id="amend_application",
    response_model=ApplicationOut,
    responses=errors(400, 404, 409, 413, 422),
    openapi_extra=AMENDING,
)
def amend(request: Request, actor: Caller, application_id: str, handed_in: Annotated[HandedIn, Depends(amended)]) -> Any:
    """补正: change what was applied for; every step begins anew. Members that are not named stay as they are."""
    documents = handed_in.documents() or None
    return _shown(service_of(request).amend(actor, application_id, documents=documents, **handed_in.members))


@router.post(
    "/applications/{application_id}/review",
    operation_id="review_application",
    response_model=ApplicationOut,
    responses=errors(404, 409),
)
def review(request: Request, actor: Caller, application_id: str, remark: Annotated[Remark | None, Body()] = None) -> Any:
    """审核, by a reviewer of the department who did not handle it."""
    said = remark or Remark(note="", content=None)
    return _shown(service_of(request).review(actor, application_id, note=said.note, content=said.content))


@router.post(
    "/applications/{application_id}/countersign",
    operation_id="countersign_application",
    response_model=ApplicationOut,
    responses=errors(404, 409),
)
def countersign(request: Request, actor: Caller, application_id: str, remark: Annotated[Remark | None, Body()] = None) -> Any:
    """会签, by a reviewer or signer-off of a department that is to countersign."""
    said = remark or Remark(note="", content=None)
    return _shown(service_of(request).countersign(actor, application_id, note=said.note, content=said.content))


@router.post(
    "/applications/{application_id}/sign-off",
    operation_id="sign_off_application",
    response_model=ApplicationOut,
    responses=errors(404, 409),
)
def sign_off(request: Request, actor: Caller, application_id: str, remark: Annotated[Remark | None, Body()] = None) -> Any:
    """签发, by a signer-off of the department who did not handle it."""
    said = remark or Remark(note="", content=None)
    return _shown(service_of(request).sign_off(actor, application_id, note=said.note, content=said.content))


@router.post(
    "/applications/{application_id}/return",
    operation_id="return_application",
    response_model=ApplicationOut,
    responses=errors(404, 409),
)
def return_(request: Request, actor: Caller, application_id: str, why: Refusal) -> Any:
    """退回补正, to be amended."""
    return _shown(service_of(request).return_(actor, application_id, reason=why.reason))


@router.post(
    "/applications/{application_id}/refuse",
    operation_id="refuse_application",
    response_model=ApplicationOut,
    responses=errors(404, 409),
)
def refuse(request: Request, actor: Caller, application_id: str, why: Refusal) -> Any:
    """不予办理, for good."""
    return _shown(service_of(request).refuse(actor, application_id, reason=why.reason))


@router.post(
    "/applications/{application_id}/withdraw",
    operation_id="withdraw_application",
    response_model=ApplicationOut,
    responses=errors(404, 409),
)
def withdraw(request: Request, actor: Caller, application_id: str, why: Annotated[Withdrawal | None, Body()] = None) -> Any:
    """撤回, by those who handle it, before anything is sealed."""
    return _shown(service_of(request).withdraw(actor, application_id, reason=why.reason if why else ""))


@router.post(
    "/applications/{application_id}/seal",
    operation_id="seal_application",
    response_model=ApplicationOut,
    responses=errors(404, 409),
)
def seal(request: Request, actor: Caller, application_id: str) -> Any:
    """用印: seal every document that was signed off. Asked again it goes on where it was, and never seals one twice."""
    return _shown(service_of(request).seal(actor, application_id))


@router.post(
    "/applications/{application_id}/deliver",
    operation_id="deliver_application",
    response_model=ApplicationOut,
    responses=errors(400, 404, 409, 413),
)
def deliver(
    request: Request,
    actor: Caller,
    application_id: str,
    recipient: Annotated[str, Form(min_length=1, max_length=200)],
    method: Annotated[Literal["in-person", "post", "online", "email", "system", "other"], Form()] = "in-person",
    receipt: Annotated[str, Form(max_length=2000, description="The receipt in words")] = "",
    receipt_file: UploadFile | None = None,
) -> Any:
    """送达, with its receipt in words or as a file."""
    assert method in METHODS
    data = receipt_file.file.read() if receipt_file is not None else None
    done = service_of(request).deliver(
        actor, application_id, recipient=recipient, method=method, receipt=receipt, receipt_file=data
    )
    return _shown(done)


_PDF = {200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}, **errors(404)}


@router.get(
    "/applications/{application_id}/documents/{n}",
    operation_id="application_document",
    response_class=Response,
    responses=_PDF,
)
def document(
    request: Request,
    actor: Caller,
    application_id: str,
    n: int,
    sealed: Annotated[bool, Query(description="As sealed instead of as handed in")] = False,
) -> Response:
    """A document of the application."""
    _, data = service_of(request).document(actor, application_id, n, sealed=sealed)
    name = f"{application_id}-{n}{'-sealed' if sealed else ''}.pdf"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type="application/pdf", headers=headers)


@router.get("/matters", operation_id="list_matters", response_model=Page[MatterOut])
def matters(request: Request, actor: Caller) -> Any:
    """Which steps each matter needs."""
    service = service_of(request)
    service.authoriser.require(actor, "application.list")
    items = [
        {
            "id": one.code,
            "name": one.en,
            "name_zh": one.zh,
            "steps": ["handle", *one.steps],
            "countersigners": list(one.countersigners) if one.countersigners is not None else "named",
            "copies": one.copies,
            "documents": one.documents,
            "instant": one.instant,
        }
        for one in service.matters.all()
    ]
    return JSONResponse({"items": items, "next": None})


@router.get("/register", operation_id="register_of_use", response_model=Page[RegisterOut], responses=errors(404))
def register(
    request: Request,
    actor: Caller,
    seal: Text = None,
    q: Annotated[str | None, Query(max_length=200, description="Part of title, number, file name or applicant")] = None,
    matter: Text = None,
    since: Moment | None = None,
    until: Moment | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """用印登记: every use of the seals that the caller may look at, newest first."""
    page = service_of(request).register(
        actor, seal_id=seal, q=q, matter=matter, since=since, until=until, limit=limit, cursor=cursor
    )
    return JSONResponse({"items": plain(page.items), "next": page.next})


@router.get(
    "/register.csv",
    operation_id="register_of_use_csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **errors(404)},
)
def register_csv(
    request: Request,
    actor: Caller,
    seal: Text = None,
    q: Text = None,
    matter: Text = None,
    since: Moment | None = None,
    until: Moment | None = None,
    lang: Literal["zh", "en"] = "zh",
) -> StreamingResponse:
    """The same for a spreadsheet, in UTF-8 with a byte order mark."""
    lines = service_of(request).register_csv(actor, Asked(seal, q, since, until, matter), lang=lang)
    first = next(lines)  # so that a refusal is answered as one
    headers = {"Content-Disposition": 'attachment; filename="register-of-use.csv"'}
    return StreamingResponse(_again(first, lines), media_type="text/csv; charset=utf-8", headers=headers)


def _again(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines
