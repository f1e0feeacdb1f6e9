"""What holds for every request: body limits counted while the body streams in, and the security headers."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}


class BodyTooLarge(HTTPException):
    """Raised while the application reads a body over its address's limit; FastAPI hands HTTP exceptions on as they are."""

    def __init__(self) -> None:
        super().__init__(413)


class TooBusy(HTTPException):
    """Too many bytes are being received and worked on at once."""

    def __init__(self) -> None:
        super().__init__(503, headers={"Retry-After": "5"})


class BodyLimit:
    """Refuses a body over ``limit(path)`` bytes: at once where Content-Length says so, else at the byte that is too many.

    :param budget: bytes of bodies that may be held at once, over all requests
    """

    def __init__(self, app: ASGIApp, limit: Callable[[str], int], budget: int = 2 << 30) -> None:
        self.app = app
        self.limit = limit
        self.budget = budget
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        allowed = self.limit(scope["path"])
        declared = Headers(scope=scope).get("content-length", "")
        over = declared.isdigit() and int(declared) > allowed
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            if over:
                raise BodyTooLarge
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                self._held += len(message.get("body", b""))
                if seen > allowed:
                    raise BodyTooLarge
                if self._held > self.budget:
                    raise TooBusy
            return message

        try:
            await self.app(scope, counted, send)
        finally:
            self._held -= seen


class SecurityHeaders:
    """Adds :data:`HEADERS` to every answer, and ``Strict-Transport-Security`` over TLS.

    Nothing is cached but static files, whose addresses change with their content (``?`` and a digest).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                named = scope["path"].startswith("/static/") and scope["query_string"]
                headers.setdefault("Cache-Control", "public, max-age=31536000, immutable" if named else "no-store")
                if scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        await self.app(scope, receive, dressed)
