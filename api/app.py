"""The HTTP application: pages, ``/api/v1``, well-known addresses, and what holds for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles

from api import devprovider, identity, openapi, pages, phones, problems, render, routes, wellknown
from api.limits import RateLimit, body_limit
from api.logcheck import LogChecks
from api.metrics import Measured
from api.middleware import BodyLimit, SecurityHeaders
from api.results import Results
from api.verifying import VerifierPool
from people.errors import CitizenUnknown
from seals.inspection import Inspector
from seals.uploads import Uploads

if TYPE_CHECKING:
    from ceremonies.node import Node

DESCRIPTION = """Issue electronic licences, apply electronic seals and verify both.

Errors are `application/problem+json` with a stable `code` and a sentence in English and in Chinese. What seals or issues
takes an `Idempotency-Key`: the same key with the same request gives the same result, with another request 422, while the
first is still at work 409. Lists take `limit` and `cursor` and answer `{"items": [...], "next": "..."}`. Verifying needs no
account; everything else takes `Authorization: Bearer TOKEN` (made by `xinyin account token`)."""


def create_app(node: Node, *, secure_cookies: bool = False) -> FastAPI:
    """The application of one node. ``secure_cookies`` when it is reached over TLS."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        app.state.verifier.close()
        app.state.inspector.close()

    app = FastAPI(
        title="信印 Xinyin",
        version=render.version(),
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses={"default": {"model": problems.Problem, "description": "Problem"}},
    )
    app.state.node = node
    app.state.pages = pages.addresses()
    _ = node.citizen_provider  # a configuration that does not do, or is not for production, is said now and not to a citizen
    app.state.identity = devprovider.DevelopmentProvider(node) if node.mode == "development" else None
    app.state.secure_cookies = secure_cookies
    app.state.results = Results()
    app.state.log_checks = LogChecks(node)
    app.state.verifier = VerifierPool(node)
    app.state.inspector = Inspector()
    app.state.uploads = Uploads(node.home / "drafts")
    app.state.tsa_limit = RateLimit(per_second=20, burst=40)
    app.state.check_limit = RateLimit(per_second=0.2, burst=20)
    app.state.track_limit = RateLimit(per_second=0.2, burst=20)
    app.state.signin_limit = RateLimit(per_second=1, burst=10)
    app.state.token_limit = RateLimit(per_second=2, burst=60)
    app.state.wallet_limit = RateLimit(per_second=0.2, burst=30)
    app.add_middleware(BodyLimit, limit=body_limit)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Measured)
    problems.install(app, _problem_page)
    app.mount("/static", StaticFiles(directory=render.HERE / "static"), name="static")
    for router in (*pages.routers(), *routes.routers(), wellknown.router):
        app.include_router(router)
    if app.state.identity is not None:
        app.include_router(identity.router)
    openapi.install(app)
    return app


def _problem_page(request: Request, found: problems.Problem) -> Response:
    if found.status == 401 and request.method == "GET":
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        signin = "/phone/signin" if found.code == CitizenUnknown.code else "/signin"
        return Response(status_code=303, headers={"Location": f"{signin}?to={quote(wanted)}"})
    if found.status >= 500:  # who is signed in may be the very thing that cannot be found out
        request.state.session = None
    if request.url.path.startswith("/phone"):
        return phones.page(request, "problem.html", status=found.status, problem=found.model_dump())
    return render.page(request, "problem.html", found.status, problem=found.model_dump())
