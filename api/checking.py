"""A typed 查验码 → the verdict on the printed code of the copy that has it. Tries that miss are counted by caller."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from crypto.errors import TooManyRequests
from formats.dates import shown_time
from licences.annotated import NoSuchCopy


def verdict_of(request: Request, typed: str, matter: str | None) -> dict[str, Any]:
    """The verdict, as for the printed code.

    :raises BadCheckCode: a slip of the finger, which the check character finds and which costs no try
    :raises NoSuchCopy: nothing has this 查验码; :raises TooManyRequests: too many of those from one place
    """
    try:
        found = request.app.state.node.annotated.by_check_code(typed)
    except NoSuchCopy as exc:
        if not request.app.state.check_limit.allow(request.client.host if request.client else "?"):
            raise TooManyRequests("Too many attempts from here; wait a little.", "尝试次数过多，请稍候再试。") from exc
        raise
    verdict: dict[str, Any] = request.app.state.verifier.verify_code(found["code"], matter=matter)
    return verdict


def to_result(request: Request, verdict: dict[str, Any]) -> Response:
    """Keep a verdict for its page and go there."""
    name = request.app.state.results.put(verdict, shown_time(datetime.now(UTC)))
    return RedirectResponse(f"/verify/{name}", 303)
