"""``/api/v1/tracking``: how an application stands, open to whoever was given its code."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.auth import node_of
from api.routes.common import errors
from api.schemas import TrackOut
from ceremonies.plain import plain

router = APIRouter(prefix="/api/v1", tags=["applications"])


@router.get("/tracking/{code}", operation_id="track_application", response_model=TrackOut, responses=errors(404))
def track(request: Request, code: str) -> Any:
    """For the applicant outside: received, under review, returned, approved, sealed, delivered; nothing personal."""
    return JSONResponse(plain(node_of(request).seals.applications.track(code)))
