"""Pages for everyone: the first page, the language, the operations of the interface."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api import render
from api.auth import CurrentSession, node_of
from api.pages import verify
from api.pages.training import doors
from ceremonies.training import prepared

router = APIRouter(include_in_schema=False)


@router.get("/")
def first(request: Request, session: CurrentSession) -> Response:
    """The first page: verify a document; in the demo, the five doors."""
    return verify.page(request) if prepared(node_of(request)) is None else doors(request)


@router.get("/lang/{lang}")
def choose_language(lang: str, back: str = "/") -> Response:
    """Remember the language and go back to where the reader was."""
    response = RedirectResponse(render.local_path(back), 303)
    render.remember_language(response, lang)
    return response


@router.get("/api/docs")
def api_docs(request: Request, session: CurrentSession) -> Response:
    """The operations in one table; no script of another host is needed to read it."""
    described = request.app.openapi()
    operations = [
        {
            "method": method.upper(),
            "path": path,
            "means": (one.get("description") or one.get("summary", "")).split("\n")[0],
            "id": one.get("operationId", ""),
        }
        for path, methods in described["paths"].items()
        for method, one in methods.items()
    ]
    return render.page(request, "docs.html", operations=operations)
