"""The OpenAPI document, put right where FastAPI's own differs from what is really answered."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problems import MEDIA_TYPE

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_WELL_KNOWN: dict[str, tuple[str | None, ...]] = {
    "ocsp_post": ("application/ocsp-request", "application/ocsp-response"),
    "ocsp_get": (None, "application/ocsp-response"),
    "crl": (None, "application/pkix-crl"),
    "ca_certificate": (None, "application/pkix-cert"),
    "timestamp": ("application/timestamp-query", "application/timestamp-reply"),
    "trust_list": (None, "application/jose"),
    "seal_status": (None, "application/jose"),
    "status_list": (None, "application/statuslist+jwt", "application/statuslist+cwt"),
    "metrics": (None, "text/plain"),
}
"""Operation: media type of its request, and those of its answer."""


def install(app: FastAPI) -> None:
    """Make ``app.openapi()`` give the corrected document."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            for methods in document["paths"].values():
                for operation in methods.values():
                    _correct(operation)
            for unused in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(unused, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _correct(operation: dict[str, Any]) -> None:
    """Errors are problem documents and nothing else; what is binary says so."""
    responses = operation["responses"]
    for status, response in responses.items():
        own = operation["operationId"] == "ready" or (operation["operationId"] == "oauth_token" and status in ("400", "401"))
        if status == "default" or (status.isdigit() and int(status) >= 400 and not own):
            response["content"] = _PROBLEM
    if operation["operationId"] in _WELL_KNOWN:
        asked, *answered = _WELL_KNOWN[operation["operationId"]]
        responses["200"]["content"] = dict.fromkeys(answered, _BINARY)
        if asked:
            operation["requestBody"] = {"required": True, "content": {asked: _BINARY}}
