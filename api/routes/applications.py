"""``/api/v1/applications``: to make a seal, to use one, to issue a licence; handled by one person, signed off by another."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.auth import Caller, node_of
from api.routes.common import KNOWN, Cursor, Limit, errors
from api.schemas import ApplicationOut, Page
from ceremonies.plain import plain

router = APIRouter(prefix="/api/v1", tags=["applications"], responses=KNOWN)


class ApplicationSubmit(BaseModel):
    """An application to put to a department."""

    purpose: Literal["make-seal", "use-seal", "issue-licence"]
    department: str = Field(max_length=64, description="Unified social credit code of the department that decides")
    matter: str = Field("default", max_length=64)
    seal: str | None = Field(None, max_length=100, description="ID of the seal to be used")
    document_sha256: str | None = Field(None, description="Of the document to be sealed; without it any of the matter")
    facts: dict[str, Any] = Field(default_factory=dict, description="For a seal: owner_uscc, name, kind")


class Refusal(BaseModel):
    """Why an application is sent back; kept on record."""

    reason: str = Field(min_length=1, max_length=2000)


@router.post(
    "/applications", operation_id="submit_application", status_code=201, response_model=ApplicationOut, responses=errors(400)
)
def submit(request: Request, actor: Caller, wish: ApplicationSubmit) -> Any:
    """Put an application (经办)."""
    made = node_of(request).seals.applications.submit(
        actor,
        purpose=wish.purpose,
        department=wish.department,
        matter=wish.matter,
        seal_id=wish.seal,
        document_sha256=wish.document_sha256,
        facts=wish.facts,
    )
    return JSONResponse(plain(made), 201)


@router.get("/applications", operation_id="list_applications", response_model=Page[ApplicationOut])
def list_applications(request: Request, actor: Caller, limit: Limit = 100, cursor: Cursor = None) -> Any:
    """Those that the caller may see, newest first."""
    page = node_of(request).seals.applications.list(actor, limit=limit, cursor=cursor)
    return JSONResponse({"items": plain(page.items), "next": page.next})


@router.get(
    "/applications/{application_id}", operation_id="show_application", response_model=ApplicationOut, responses=errors(404)
)
def show(request: Request, actor: Caller, application_id: str) -> Any:
    """One application."""
    return JSONResponse(plain(node_of(request).seals.applications.show(actor, application_id)))


@router.post(
    "/applications/{application_id}/sign-off",
    operation_id="sign_off_application",
    response_model=ApplicationOut,
    responses=errors(404, 409),
)
def sign_off(request: Request, actor: Caller, application_id: str) -> Any:
    """签发, by a signer-off of the department who did not handle it."""
    return JSONResponse(plain(node_of(request).seals.applications.sign_off(actor, application_id)))


@router.post(
    "/applications/{application_id}/refuse",
    operation_id="refuse_application",
    response_model=ApplicationOut,
    responses=errors(404, 409),
)
def refuse(request: Request, actor: Caller, application_id: str, why: Refusal) -> Any:
    """退回."""
    return JSONResponse(plain(node_of(request).seals.applications.refuse(actor, application_id, reason=why.reason)))
