"""Prometheus metrics: requests by route, verdicts, and how node and log stand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from ceremonies.node import Node

registry = CollectorRegistry()
requests = Counter("xinyin_http_requests_total", "Requests answered", ["method", "route", "status"], registry=registry)
seconds = Histogram("xinyin_http_request_seconds", "Time to answer", ["route"], registry=registry)
verdicts = Counter("xinyin_verdicts_total", "Verdicts given", ["verdict", "decision"], registry=registry)
ready = Gauge("xinyin_ready", "1 when a readiness check is green", ["check"], registry=registry)
audit_size = Gauge("xinyin_audit_leaves", "Numbered leaves of the audit log", registry=registry)
audit_pending = Gauge("xinyin_audit_pending", "Leaves that wait for the sequencer", registry=registry)


def exposition(node: Node) -> bytes:
    """All metrics as text; what is gauged is looked up now."""
    for check in node.readiness():
        ready.labels(check["name"]).set(1 if check["ok"] else 0)
    state = node.audit.state()
    audit_size.set(state.size)
    audit_pending.set(state.pending)
    return generate_latest(registry)


class Measured:
    """Counts and times every request under its route's pattern, never under its path: identifiers are no labels."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = (
                scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH") else "OTHER"
            )
            requests.labels(method, route, str(status)).inc()
            seconds.labels(route).observe(time.perf_counter() - began)
