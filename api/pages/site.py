"""Pages for everyone: verify a document or a code, sign in and out, choose the language."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import RedirectResponse, Response

from api import render
from api.auth import CurrentSession, node_of
from api.pages.training import Judgement, doors
from ceremonies.training import prepared
from crypto.errors import NotFound
from formats.dates import shown_time
from policies.limits import DOCUMENT_BYTES

router = APIRouter(include_in_schema=False)


@router.get("/")
def first(request: Request, session: CurrentSession) -> Response:
    """The first page: verify a document; in the demo, the five doors."""
    return _verify_page(request) if prepared(node_of(request)) is None else doors(request)


@router.get("/verify")
def verify_page(request: Request, session: CurrentSession) -> Response:
    """Verify a document."""
    return _verify_page(request)


@router.post("/verify")
def verify(request: Request, session: CurrentSession, file: UploadFile | None = None) -> Response:
    """Verify the posted document; leads to the result's own address."""
    if file is None or not file.filename:
        message = {"message": "Choose a file first.", "message_zh": "请先选择一个文件。"}
        return _verify_page(request, 400, problem=message)
    verdict = request.app.state.verifier.verify(file.file.read(), name=file.filename)
    return _to_result(request, verdict)


_TRY = {
    "sealed": "approval-rsa.pdf",
    "sealed-sm2": "approval-sm2.pdf",
    "tampered": "approval-rsa-tampered.pdf",
    "withdrawn": "business-licence.pdf",
    "unsealed": "approval.pdf",
}
"""What ``xinyin demo`` left behind, to be tried by whoever has no document at hand; not in production."""


def _samples(request: Request) -> list[str]:
    node = node_of(request)
    if node.mode == "production":
        return []
    return [name for name, file in _TRY.items() if (node.home / "demo" / file).is_file()]


@router.get("/try/{name}")
def try_sample(request: Request, name: str) -> Response:
    """Verify one of the demo's documents."""
    if name not in _samples(request):
        raise NotFound("There is no such sample; run the demo first.", "没有这个样例；请先运行演示。")
    path = node_of(request).home / "demo" / _TRY[name]
    return _to_result(request, request.app.state.verifier.verify(path.read_bytes(), name=path.name))


@router.get("/verify/{name}")
def result(request: Request, session: CurrentSession, name: str, said: Judgement | None = None) -> Response:
    """A kept result; ``said`` is what somebody in training judged beforehand."""
    found = request.app.state.results.get(name)
    if found is None:
        raise NotFound("This result is not kept any more; verify the document again.", "该核验结果已不再保留，请重新核验文件。")
    at, verdict = found
    return render.page(
        request,
        "result.html",
        verdict=verdict,
        now=at,
        said=said,
        here="verify",
        licence_facts=licence_facts(verdict, render.language(request)),
    )


@router.get("/v")
def code(request: Request, session: CurrentSession) -> Response:
    """Where printed and shown codes lead; what they say stands behind ``#`` and is read by the page's script or pasted."""
    return render.page(request, "code.html", here="verify")


@router.post("/v")
def verify_code(request: Request, session: CurrentSession, code: Annotated[str, Form(max_length=8192)]) -> Response:
    """Verify a code's content."""
    verdict = request.app.state.verifier.verify_code(code.strip())
    return _to_result(request, verdict)


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


def licence_facts(verdict: dict[str, Any], lang: str) -> list[tuple[str, str]]:
    """What the verdict says of a licence, labelled for a person."""
    labels = {
        "type": ("证照类型", "Type"),
        "number": ("证照编号", "Number"),
        "holder": ("持证主体", "Holder"),
        "issuer": ("颁发机构", "Issued by"),
        "identifier": ("证照标识", "Identifier"),
        "valid_from": ("有效期起", "Valid from"),
        "valid_to": ("有效期止", "Valid to"),
    }
    licence = verdict.get("licence") or {}
    facts = []
    for key, (zh, en) in labels.items():
        value = licence.get(key)
        if key == "valid_to" and str(value).startswith("9999"):
            value = "长期" if lang == "zh" else "no end"
        if value:
            facts.append((zh if lang == "zh" else en, str(value)))
    return facts


def _verify_page(request: Request, status: int = 200, **values: Any) -> Response:
    offered = {"limit": DOCUMENT_BYTES, "limit_text": render.size_text(DOCUMENT_BYTES), "samples": _samples(request)}
    return render.page(request, "verify.html", status, here="verify", **offered, **values)


def _to_result(request: Request, verdict: dict[str, Any]) -> Response:
    name = request.app.state.results.put(verdict, shown_time(datetime.now(UTC)))
    return RedirectResponse(f"/verify/{name}", 303)
