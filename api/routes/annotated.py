"""``/api/v1/licences/{id}/copies``, ``/api/v1/annotated-copies``: a licence printed for one purpose (加注件); its 查验码."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from fastapi.security.http import HTTPAuthorizationCredentials
from pydantic import BaseModel, Field

from api import checking
from api.auth import bearer_scheme, caller, citizen_browser, citizen_of, node_of, session_of
from api.routes.common import KNOWN, IdempotencyKey, errors
from api.schemas import AnnotatedCopyOut, Page, VerdictOut
from people.schemas import Actor

router = APIRouter(prefix="/api/v1", tags=["annotated copies"], responses=KNOWN)


class CopyWish(BaseModel):
    """What the copy is for, and until when."""

    purpose: str = Field(min_length=1, max_length=200, examples=["办理住房租赁登记"])
    until: date = Field(description="The last day on which it may be used; a year ahead at most")
    matter: str | None = Field(None, max_length=64, description="Code of the one matter that it is for")


def staff_or_citizen(
    request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)] = None
) -> Actor:
    """Staff by token or session, or a citizen; in a browser where both are signed in the form's token says which.

    :raises Unauthenticated: nobody; :raises CsrfRefused: a change without either session's token
    """
    citizen = citizen_browser(request)
    if bearer is not None or citizen is None:
        return caller(request, bearer)
    if session_of(request) is None or request.headers.get("x-csrf-token") == citizen.csrf:
        return citizen_of(request)
    return caller(request, bearer)


Somebody = Annotated[Actor, Depends(staff_or_citizen)]


@router.post(
    "/licences/{licence_id}/copies",
    operation_id="copy_licence",
    status_code=201,
    response_model=AnnotatedCopyOut,
    responses=errors(400, 404, 409, 422),
)
def copy(request: Request, actor: Somebody, licence_id: str, wish: CopyWish, idempotency_key: IdempotencyKey = None) -> Any:
    """Make a copy for one purpose: the authority of its licences, a citizen of the own ones or as far as authorised."""
    made, _ = node_of(request).annotated.make(
        actor, licence_id, purpose=wish.purpose, until=wish.until, matter=wish.matter, idempotency_key=idempotency_key
    )
    return JSONResponse(_with_document(made), 201)


@router.get(
    "/licences/{licence_id}/copies",
    operation_id="list_licence_copies",
    response_model=Page[AnnotatedCopyOut],
    responses=errors(404),
)
def of_licence(request: Request, actor: Somebody, licence_id: str) -> Any:
    """The copies of a licence that the caller may know of, newest first."""
    found = node_of(request).annotated.of_licence(actor, licence_id)
    return JSONResponse({"items": [_with_document(one) for one in found], "next": None})


@router.get(
    "/annotated-copies/{annotated_id}",
    operation_id="show_annotated_copy",
    response_model=AnnotatedCopyOut,
    responses=errors(404),
)
def show(request: Request, actor: Somebody, annotated_id: str) -> Any:
    """One copy and how it stands."""
    return JSONResponse(_with_document(node_of(request).annotated.show(actor, annotated_id)))


@router.get(
    "/annotated-copies/{annotated_id}/document",
    operation_id="annotated_copy_document",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}, **errors(404)},
)
def document(request: Request, actor: Somebody, annotated_id: str) -> Response:
    """The sealed PDF."""
    data = node_of(request).annotated.document(actor, annotated_id)
    headers = {"Content-Disposition": f'attachment; filename="{annotated_id}.pdf"'}
    return Response(data, media_type="application/pdf", headers=headers)


@router.post(
    "/annotated-copies/{annotated_id}/withdraw",
    operation_id="withdraw_annotated_copy",
    response_model=AnnotatedCopyOut,
    responses=errors(404),
)
def withdraw(request: Request, actor: Somebody, annotated_id: str) -> Any:
    """Withdraw it: verifiers see that at once. Again changes nothing."""
    return JSONResponse(_with_document(node_of(request).annotated.withdraw(actor, annotated_id)))


@router.get(
    "/check-codes/{code}",
    operation_id="check_code",
    response_model=VerdictOut,
    responses=errors(400, 404, 429),
    summary="Verify a typed 查验码",
)
def check(
    request: Request,
    code: str,
    matter: Annotated[str | None, Query(max_length=64, description="The matter for which the copy is shown")] = None,
) -> Any:
    """The verdict on the copy with this 查验码, as for its printed code. Open to everyone; codes that miss are counted."""
    return JSONResponse(checking.verdict_of(request, code, matter))


def _with_document(copy: dict[str, Any]) -> dict[str, Any]:
    return {**copy, "document_url": f"/api/v1/annotated-copies/{copy['id']}/document"}
