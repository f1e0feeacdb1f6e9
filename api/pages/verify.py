"""Verifying, for everyone: a file, a picture, a camera, a code; the answer, and what those who work here do with it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import RedirectResponse, Response

from api import render
from api.auth import CurrentSession, node_of
from api.pages.applying import SignedIn
from api.pages.training import Judgement
from api.sessions import demand
from crypto.errors import NotFound
from formats.dates import shown_time
from people.schemas import Actor
from policies.limits import DOCUMENT_BYTES
from policies.presenting import matters
from records.receipts import licence_region

router = APIRouter(include_in_schema=False)

CAMERA = {"Permissions-Policy": "camera=(self), geolocation=(), microphone=(), payment=()"}
"""The camera is for this page alone."""

_IDENTIFIER = re.compile(r"(证照)\s?1\.2\.156\.3005\.2\.\S+\s?|(The licence )1\.2\.156\.3005\.2\.\S+ ")

Matter = Annotated[str, Form(max_length=64)]
Challenge = Annotated[str, Form(max_length=16)]


@router.get("/verify")
def verify_page(request: Request, session: CurrentSession, matter: str = "") -> Response:
    """Verify by camera, picture, file or typed code."""
    return page(request, matter=matter)


@router.post("/verify")
def verify(
    request: Request,
    session: CurrentSession,
    file: UploadFile | None = None,
    matter: Matter = "",
    challenge: Challenge = "",
) -> Response:
    """Verify the posted document or picture; leads to the result's own address."""
    if file is None or not file.filename:
        message = {"message": "Choose a file first.", "message_zh": "请先选择一个文件。"}
        return page(request, 400, matter=matter, problem=message)
    verifier, asked = request.app.state.verifier, _asked(request, matter, challenge)
    verdict = verifier.verify(file.file.read(), name=file.filename, **asked)
    verifier.note(session.account if session else None, verdict)
    return to_result(request, verdict)


@router.post("/verify/scan")
def scan(
    request: Request, session: CurrentSession, frame: UploadFile, matter: Matter = "", challenge: Challenge = ""
) -> Response:
    """One frame of the page's camera: 204 where it shows no licence code, else on to the result."""
    asked = _asked(request, matter, challenge)
    verifier = request.app.state.verifier
    verdict = verifier.verify(frame.file.read(), name="camera", glance=True, **asked)
    if "read_from" not in verdict:
        return Response(status_code=204)
    verifier.note(session.account if session else None, verdict)
    return to_result(request, verdict)


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
    return to_result(request, request.app.state.verifier.verify(path.read_bytes(), name=path.name))


@router.get("/verify/{name}")
def result(request: Request, session: CurrentSession, name: str, said: Judgement | None = None) -> Response:
    """A kept result; ``said`` is what somebody in training judged beforehand."""
    at, verdict = _kept(request, name)
    lang = render.language(request)
    account = session.account if session else None
    matter = (verdict.get("presented") or {}).get("matter") or ""
    return render.page(
        request,
        "result.html",
        verdict=verdict,
        now=at,
        said=said,
        here="verify",
        name=name,
        matter=matter,
        matter_name=matter_name(request, matter),
        compare=to_compare(verdict, lang),
        plainly=plainly,
        licence_facts=licence_facts(verdict, lang),
        receipt=request.app.state.results.receipt(name, account.id) if account else None,
        can=_can(request, account, verdict),
    )


@router.post("/verify/{name}/receipt")
def receipt(
    request: Request,
    session: SignedIn,
    name: str,
    csrf: Annotated[str, Form(max_length=200)] = "",
    then: Annotated[str, Form(max_length=16)] = "",
) -> Response:
    """Sign a receipt for a kept result; a second click leads to the same one. ``then``: on to the form for
    going on (``provisional``), or to that for asking the issuing region (``enquiry``).
    """
    demand(session.csrf, csrf)
    _, verdict = _kept(request, name)
    results = request.app.state.results
    found = results.receipt(name, session.account.id)
    if found is None:
        found = results.receipt(name, session.account.id, request.app.state.verifier.receipt(session.account, verdict)["id"])
    if then == "enquiry":  # what is asked for the applicant shows on the applicant's slip
        said = {
            "region": licence_region(verdict) or "",
            "identifier": str((verdict.get("licence") or {}).get("identifier") or ""),
            "matter": str(verdict["presented"]["matter"] or ""),
            "document": verdict["presented"]["sha256"] if verdict["presented"]["channel"] == "file" else "",
            "slip": node_of(request).receipts.slip(session.account, found),
        }
        return RedirectResponse(f"/enquiries/new?{urlencode(said)}", 303)
    return RedirectResponse(f"/receipts/{found}" + ("/provisional" if then == "provisional" else ""), 303)


@router.get("/v")
def code(request: Request, session: CurrentSession) -> Response:
    """Where printed and shown codes lead; what they say stands behind ``#`` and is read by the page's script or pasted."""
    return render.page(request, "code.html", here="verify")


@router.post("/v")
def verify_code(
    request: Request,
    session: CurrentSession,
    code: Annotated[str, Form(max_length=8192)],
    matter: Matter = "",
    challenge: Challenge = "",
) -> Response:
    """Verify a code's content."""
    verifier = request.app.state.verifier
    verdict = verifier.verify_code(code.strip(), **_asked(request, matter, challenge))
    verifier.note(session.account if session else None, verdict)
    return to_result(request, verdict)


def page(request: Request, status: int = 200, *, matter: str = "", **values: Any) -> Response:
    """The page on which everything is verified."""
    lang = render.language(request)
    offered = {
        "limit": DOCUMENT_BYTES,
        "limit_text": render.size_text(DOCUMENT_BYTES),
        "samples": _samples(request),
        "matters": [(one.code, one.zh if lang == "zh" else one.en) for one in matters(node_of(request).home).values()],
        "matter": matter,
        "typed": "/check" in request.app.state.pages,
    }
    response = render.page(request, "verify.html", status, here="verify", **offered, **values)
    response.headers.update(CAMERA)
    return response


def to_result(request: Request, verdict: dict[str, Any]) -> Response:
    """Keep a verdict for a while, and go to it."""
    name = request.app.state.results.put(verdict, shown_time(datetime.now(UTC)))
    return RedirectResponse(f"/verify/{name}", 303)


def matter_name(request: Request, code: str | None) -> str:
    """What a matter is called; its code where nobody named it."""
    found = matters(node_of(request).home).get(code or "")
    return (found.zh if render.language(request) == "zh" else found.en) if found else (code or "")


def to_compare(verdict: dict[str, Any], lang: str) -> list[tuple[str, str]]:
    """The few facts of a licence that a clerk holds against the person and the paper, in large type."""
    licence, shown = verdict.get("licence") or {}, verdict.get("presentation") or {}
    zh = lang == "zh"
    roles = {
        "representative": ("法定代表人", "legal representative"),
        "holder": ("持证人", "holder"),
        "manager": ("证照管理员", "licence manager"),
        "staff": ("办事人", "staff"),
        "agent": ("代办人", "agent"),
    }
    found = [
        ("持证主体" if zh else "Holder", licence.get("holder")),
        ("证照编号" if zh else "Number", licence.get("number")),
    ]
    bearer, role = shown.get("bearer"), roles.get(str(shown.get("bearer_role")))
    if bearer:
        said = f"{bearer}（{role[0]}）" if zh and role else f"{bearer} ({role[1]})" if role else str(bearer)
        found.append(("出示人" if zh else "Shown by", said))
    if shown.get("purpose"):
        found.append(("仅限用于" if zh else "Only for", shown["purpose"]))
    return [(label, str(value)) for label, value in found if value]


def plainly(sentence: str) -> str:
    """A sentence without the licence's identifier: forty characters that nobody reads; they stand further down."""
    return _IDENTIFIER.sub(r"\1\2", sentence)


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


def _kept(request: Request, name: str) -> tuple[str, dict[str, Any]]:
    found: tuple[str, dict[str, Any]] | None = request.app.state.results.get(name)
    if found is None:
        raise NotFound("This result is not kept any more; verify the document again.", "该核验结果已不再保留，请重新核验文件。")
    return found


def _asked(request: Request, matter: str, challenge: str) -> dict[str, Any]:
    """The matter if it is a known one, and the digits that were agreed on, if any."""
    digits = "".join(c for c in challenge if c.isascii() and c.isdigit())[:8]
    return {"matter": matter if matter in matters(node_of(request).home) else None, "challenge": digits or None}


def _can(request: Request, account: Actor | None, verdict: dict[str, Any]) -> frozenset[str]:
    """What may follow from a result: a receipt, going on provisionally."""
    if account is None or "presented" not in verdict:
        return frozenset()
    decide, own = node_of(request).authoriser.decide, {"region": account.region, "department": account.department or ""}
    can = {"receipt"} if decide(account, "receipt.issue", own).allowed else set()
    doubtful = verdict["answer"]["decision"] == "check"
    if doubtful and "receipt" in can and "window_clerk" in account.roles:
        can.add("provisional")
        region = licence_region(verdict)
        if region in {one.region for one in node_of(request).peer_mail.peers()}:
            can.add("enquiry")
    return frozenset(can)
