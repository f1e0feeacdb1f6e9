"""Errors over HTTP: ``application/problem+json`` (RFC 9457) from the one error tree, for every way to fail."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from crypto.errors import XinyinError

log = logging.getLogger("xinyin.api")

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """One part of the request that does not fit: where it is and what is wrong with it."""

    where: str
    message: str


class Problem(BaseModel):
    """Every error of the API (RFC 9457). ``code`` is stable, for programs; ``message`` and ``message_zh`` say what to do."""

    type: str = Field(examples=["urn:xinyin:error:not-found"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["not-found"])
    message: str
    message_zh: str
    values: dict[str, Any] = {}
    errors: list[FieldError] = []


_SENTENCES: dict[int, tuple[str, str, str]] = {
    400: ("bad-input", "The request cannot be read; check its form.", "无法读取请求，请检查格式。"),
    404: ("not-found", "There is nothing at this address.", "此地址没有内容。"),
    405: ("method-not-allowed", "This address does not take that method; see Allow.", "此地址不接受该方法，见 Allow。"),
    406: ("not-acceptable", "No such representation.", "没有所要求的表示形式。"),
    411: ("length-required", "Say how long the body is.", "请给出请求体的长度。"),
    413: ("too-large", "The request is larger than this address takes.", "请求超过了此地址允许的大小。"),
    503: ("busy", "The service is busy; nothing was done, try again shortly.", "服务繁忙，未作任何处理，请稍后再试。"),
    415: ("unsupported-media-type", "This address takes another media type.", "此地址不接受该媒体类型。"),
}


def problem(
    status: int,
    code: str,
    message: str,
    message_zh: str,
    values: dict[str, Any] | None = None,
    errors: list[FieldError] | None = None,
) -> Problem:
    """A problem document; ``title`` is the status in words."""
    return Problem(
        type=f"urn:xinyin:error:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=message,
        code=code,
        message=message,
        message_zh=message_zh,
        values=values or {},
        errors=errors or [],
    )


def from_error(exc: XinyinError) -> Problem:
    """The problem document of a member of the error tree."""
    return problem(exc.status, exc.code, exc.message, exc.message_zh, exc.detail)


def from_status(status: int) -> Problem:
    """The problem document of a bare HTTP status."""
    code, message, message_zh = _SENTENCES.get(
        status, (f"http-{status}", f"{HTTPStatus(status).phrase}.", f"请求未能完成（{status}）。")
    )
    return problem(status, code, message, message_zh)


def respond(found: Problem, headers: dict[str, str] | None = None) -> Response:
    """The JSON answer."""
    return JSONResponse(found.model_dump(mode="json"), found.status, headers, MEDIA_TYPE)


def wants_page(request: Request) -> bool:
    """Whether a person's browser asks, rather than a program."""
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


def install(app: FastAPI, page: Callable[[Request, Problem], Response]) -> None:
    """Answer every failure of ``app`` with a problem document, or with ``page`` where a browser asked for a page."""

    def answer(request: Request, found: Problem, headers: dict[str, str] | None = None) -> Response:
        if wants_page(request):
            return page(request, found)
        return respond(found, headers)

    def known(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, XinyinError)
        headers = {401: {"WWW-Authenticate": 'Bearer realm="xinyin"'}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "2"}}
        if exc.status >= 500:
            log.error("%s %s: %s %s", request.method, request.url.path, exc.code, exc.message, exc_info=exc)
        return answer(request, from_error(exc), headers.get(exc.status))

    def http(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        headers = dict(exc.headers or {})
        if exc.status_code in (413, 503):
            headers["Connection"] = "close"  # what is still being sent is not listened to
        return answer(request, from_status(exc.status_code), headers)

    def invalid(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestValidationError)
        errors = [
            FieldError(where=".".join(str(part) for part in e.get("loc", ())), message=str(e.get("msg", "")))
            for e in exc.errors()
        ]
        what = "; ".join(f"{e.where}: {e.message}" for e in errors[:3])
        where = "、".join(e.where for e in errors[:3])
        return answer(
            request,
            problem(
                422,
                "invalid-request",
                f"The request does not fit: {what}",
                f"请求中以下内容不符合要求，请对照接口文档修改：{where}",
                errors=errors,
            ),
        )

    def unfit(request: Request, exc: Exception) -> Response:
        found = problem(
            400,
            "bad-input",
            "Something in the request cannot be kept: too long, or with characters that no text has. Check it.",
            "请求中有内容无法保存：过长，或含有文本中不应出现的字符；请检查后再试。",
        )
        return answer(request, found)

    def unknown(request: Request, exc: Exception) -> Response:
        number = secrets.token_hex(4)
        log.error("%s %s: internal error %s", request.method, request.url.path, number, exc_info=exc)
        return answer(
            request,
            problem(
                500,
                "internal",
                f"Something went wrong inside the service; nothing more was done. Report number {number}.",
                f"服务内部出错，未继续执行；请报告编号 {number}。",
                {"report": number},
            ),
        )

    app.add_exception_handler(XinyinError, known)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(DataError, unfit)  # PostgreSQL is stricter than SQLite about lengths and NUL
    app.add_exception_handler(Exception, unknown)
