"""Where officers say yes or no together: what will happen in words, over which digest, who approved; and their keys.

The certificate's way needs no JavaScript: the text to be signed is a file to take away, the signature a file to hand in. A
passkey is asked for by ``static/passkey.js``, over the digest itself.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Header, Path, Query, Request, UploadFile
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel

from api import render
from api.auth import CurrentSession, node_of
from api.sessions import Session, demand
from api.texts import known, text
from ceremonies.plain import plain
from crypto.errors import BadInput, Unauthenticated, XinyinError
from formats.approvals import enrolment_bytes
from formats.x509 import Certificate
from hsm.schemas import KeyPurpose
from hsm.steps import PURPOSE_WORDS

router = APIRouter(include_in_schema=False)

_PAGE = 20
_SIGNATURE_LIMIT = 100_000
_STATES = ("open", "granted", "used", "refused", "withdrawn", "expired")
_TONES = {"open": "wait", "granted": "good", "used": "good", "refused": "bad", "withdrawn": "none", "expired": "doubt"}
_KEY_TONES = {"proposed": "wait", "confirmed": "good", "removed": "none"}
_SAID = frozenset({"approved", "refused", "withdrawn", "proposed", "confirmed", "removed"})
HERE = "approvals"

Csrf = Annotated[str, Form(max_length=200)]


class Proof(BaseModel):
    """What the browser's passkey gave."""

    credential: dict[str, Any] = {}


@router.get("/officer/approvals")
def overview(
    request: Request,
    session: CurrentSession,
    status: Annotated[str, Query(max_length=20)] = "",
    cursor: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """What waits for officers, and what they decided before."""
    mine, approvals = _signed_in(session), node_of(request).approvals
    wanted = status if status in _STATES else None
    items, more = approvals.list(mine.account, status=wanted, limit=_PAGE, cursor=cursor or None)
    query = f"status={wanted}&" if wanted else ""
    return render.page(
        request,
        "approvals/list.html",
        here=HERE,
        items=[_shown(one, render.language(request)) for one in items],
        asked=wanted or "",
        states=[(one, text(render.language(request), f"approvals_state_{one}")) for one in _STATES],
        able=_able(request, mine),
        next=f"/officer/approvals?{query}cursor={more}" if more else None,
        first=f"/officer/approvals?{query}" if cursor else None,
        done=_done(request),
    )


# -- the keys that officers approve with ---------------------------------------------------------------------------------------


@router.get("/officer/approvals/keys")
def keys(request: Request, session: CurrentSession) -> Response:
    """One's own keys for approving; for administrators everybody's."""
    return _keys(request, _signed_in(session))


@router.post("/officer/approvals/keys/passkey")
def propose_passkey(
    request: Request, session: CurrentSession, credential: Annotated[str, Form(max_length=2000)], csrf: Csrf = ""
) -> Response:
    """Put one of the own passkeys forward."""
    mine = _signed_in(session, csrf)
    keys = node_of(request).approvals.keys
    return _on_keys(
        request, mine, "proposed", lambda: _confirm_in_practice(request, mine, keys.propose_passkey(mine.account, credential))
    )


@router.post("/officer/approvals/keys/certificate")
def propose_certificate(request: Request, session: CurrentSession, file: UploadFile | None = None, csrf: Csrf = "") -> Response:
    """A certificate was chosen: say what its key must sign."""
    mine = _signed_in(session, csrf)
    try:
        node_of(request).authorise(mine.account, "approval.enrol")
        certificate = Certificate.parse(_file(file))
    except XinyinError as exc:
        return _keys(request, mine, exc.status, problem=exc.to_dict())
    return render.page(
        request,
        "approvals/certificate.html",
        here=HERE,
        certificate=certificate.pem(),
        subject=certificate.subject,
        fingerprint=certificate.public_key.fingerprint,
    )


@router.get("/officer/approvals/keys/proof-{fingerprint}.json")
def proof_text(
    request: Request, session: CurrentSession, fingerprint: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
) -> Response:
    """The very bytes that the key of this fingerprint signs to be enrolled for whoever is signed in."""
    mine = _signed_in(session)
    data = enrolment_bytes(node_of(request).region, mine.account.id, fingerprint)
    headers = {"Content-Disposition": 'attachment; filename="proof.json"'}
    return Response(data, media_type="application/json", headers=headers)


@router.post("/officer/approvals/keys/proof")
def prove_certificate(
    request: Request,
    session: CurrentSession,
    certificate: Annotated[str, Form(max_length=50_000)],
    file: UploadFile | None = None,
    csrf: Csrf = "",
) -> Response:
    """The signature that proves whose certificate it is."""
    mine = _signed_in(session, csrf)
    keys = node_of(request).approvals.keys

    def propose() -> None:
        made = keys.propose_certificate(mine.account, certificate.encode(), _file(file))
        _confirm_in_practice(request, mine, made)

    return _on_keys(request, mine, "proposed", propose)


@router.post("/officer/approvals/keys/{key_id}/confirm")
def confirm(
    request: Request,
    session: CurrentSession,
    key_id: str,
    approval: Annotated[str, Form(max_length=64)] = "",
    csrf: Csrf = "",
) -> Response:
    """An administrator confirms whose key it is."""
    mine = _signed_in(session, csrf)
    keys = node_of(request).approvals.keys
    return _on_keys(request, mine, "confirmed", lambda: keys.confirm(mine.account, key_id, approval=approval or None))


@router.post("/officer/approvals/keys/{key_id}/remove")
def remove(request: Request, session: CurrentSession, key_id: str, csrf: Csrf = "") -> Response:
    """A key approves nothing more."""
    mine = _signed_in(session, csrf)
    return _on_keys(request, mine, "removed", lambda: node_of(request).approvals.keys.remove(mine.account, key_id))


# -- one request ---------------------------------------------------------------------------------------------------------------


@router.get("/officer/approvals/{approval_id}")
def one(request: Request, session: CurrentSession, approval_id: str) -> Response:
    """What will happen, exactly and in words, and the ways to approve or refuse."""
    return _one(request, _signed_in(session), approval_id)


@router.get("/officer/approvals/{approval_id}/statement.json")
def statement(request: Request, session: CurrentSession, approval_id: str) -> Response:
    """The very bytes that a certificate signs, to take away."""
    data = node_of(request).approvals.document(_signed_in(session).account, approval_id)
    headers = {"Content-Disposition": f'attachment; filename="{approval_id}.json"'}
    return Response(data, media_type="application/json", headers=headers)


@router.post("/officer/approvals/{approval_id}/options")
def options(
    request: Request,
    session: CurrentSession,
    approval_id: str,
    x_csrf_token: Annotated[str, Header(max_length=200)] = "",
) -> Response:
    """What the browser needs to ask the passkey: the digest is the challenge."""
    mine = _signed_in(session, x_csrf_token)
    return JSONResponse({"options": node_of(request).approvals.passkey_options(mine.account, approval_id), "ticket": ""})


@router.post("/officer/approvals/{approval_id}/passkey")
def approve_with_passkey(
    request: Request,
    session: CurrentSession,
    approval_id: str,
    proof: Proof,
    x_csrf_token: Annotated[str, Header(max_length=200)] = "",
) -> Response:
    """Approve with the passkey's proof over the digest."""
    mine = _signed_in(session, x_csrf_token)
    origin = request.headers.get("origin", "")
    node_of(request).approvals.sign_with_passkey(mine.account, approval_id, proof.credential, origin=origin)
    return JSONResponse({"next": f"/officer/approvals/{approval_id}?done=approved"})


@router.post("/officer/approvals/{approval_id}/certificate")
def approve_with_certificate(
    request: Request, session: CurrentSession, approval_id: str, file: UploadFile | None = None, csrf: Csrf = ""
) -> Response:
    """Approve with a signature that was made elsewhere."""
    mine, approvals = _signed_in(session, csrf), node_of(request).approvals
    return _on_one(
        request, mine, approval_id, "approved", lambda: approvals.sign_with_certificate(mine.account, approval_id, _file(file))
    )


@router.post("/officer/approvals/{approval_id}/refuse")
def refuse(
    request: Request,
    session: CurrentSession,
    approval_id: str,
    reason: Annotated[str, Form(max_length=1000)] = "",
    csrf: Csrf = "",
) -> Response:
    """Say no."""
    mine, approvals = _signed_in(session, csrf), node_of(request).approvals
    return _on_one(request, mine, approval_id, "refused", lambda: approvals.refuse(mine.account, approval_id, reason=reason))


@router.post("/officer/approvals/{approval_id}/withdraw")
def withdraw(request: Request, session: CurrentSession, approval_id: str, csrf: Csrf = "") -> Response:
    """Take the request back."""
    mine, approvals = _signed_in(session, csrf), node_of(request).approvals
    return _on_one(request, mine, approval_id, "withdrawn", lambda: approvals.withdraw(mine.account, approval_id))


# -- within --------------------------------------------------------------------------------------------------------------------


def _signed_in(session: Session | None, csrf: str | None = None) -> Session:
    if session is None:
        raise Unauthenticated("Sign in first.", "请先登录。")
    if csrf is not None:
        demand(session.csrf, csrf)
    return session


def _file(file: UploadFile | None) -> bytes:
    if file is None or not file.filename:
        raise BadInput("Choose a file first.", "请先选择一个文件。")
    data = file.file.read(_SIGNATURE_LIMIT + 1)
    if len(data) > _SIGNATURE_LIMIT:
        raise BadInput("This file is too large for that; choose another.", "该文件过大；请选择正确的文件。")
    return data


def _on_keys(request: Request, mine: Session, done: str, do: Any) -> Response:
    try:
        do()
    except XinyinError as exc:
        return _keys(request, mine, exc.status, problem=exc.to_dict())
    return RedirectResponse(f"/officer/approvals/keys?done={done}", 303)


def _on_one(request: Request, mine: Session, approval_id: str, done: str, do: Any) -> Response:
    try:
        do()
    except XinyinError as exc:
        if exc.status == 404:
            raise
        return _one(request, mine, approval_id, exc.status, problem=exc.to_dict())
    return RedirectResponse(f"/officer/approvals/{approval_id}?done={done}", 303)


def _confirm_in_practice(request: Request, mine: Session, proposed: dict[str, Any]) -> None:
    """Outside production the rules let an officer's own key count at once."""
    node = node_of(request)
    if node.authoriser.decide(mine.account, "approval.confirm", {"region": node.region}, {"own": True}).allowed:
        node.approvals.keys.confirm(mine.account, proposed["id"])


def _one(request: Request, mine: Session, approval_id: str, status: int = 200, **values: Any) -> Response:
    node, lang = node_of(request), render.language(request)
    found = _shown(node.approvals.show(mine.account, approval_id), lang)
    own = {key["kind"] for key in node.approvals.keys.list(mine.account, account=mine.account.id, status="confirmed")}
    return render.page(
        request,
        "approvals/one.html",
        status,
        here=HERE,
        approval=found,
        own=own,
        steps=_steps(found, lang),
        done=_done(request),
        **values,
    )


def _keys(request: Request, mine: Session, status: int = 200, **values: Any) -> Response:
    node = node_of(request)
    approvals, account = node.approvals, mine.account
    officer = "officer" in account.roles
    rows = plain(approvals.keys.list(account, account=account.id if officer else None))
    taken = {key["credential"] for key in rows if key["status"] != "removed"}
    passkeys = [one for one in node.accounts.passkeys.owned(account.id) if one.credential_id not in taken] if officer else []
    for row in rows:
        waiting = approvals.show(account, row["approval"]) if row["approval"] else None
        row["granted"] = waiting is None or waiting["status"] == "granted"
        row["tone"] = _KEY_TONES[row["status"]]
    return render.page(
        request,
        "approvals/keys.html",
        status,
        here=HERE,
        keys=rows,
        officer=officer,
        administrator="administrator" in account.roles,
        passkeys=plain(passkeys),
        done=_done(request),
        **values,
    )


def _able(request: Request, mine: Session) -> bool:
    """Whether whoever looks has a key to approve with, or is nobody who approves."""
    if "officer" not in mine.account.roles:
        return True
    return bool(node_of(request).approvals.keys.list(mine.account, account=mine.account.id, status="confirmed"))


def _shown(found: dict[str, Any], lang: str) -> dict[str, Any]:
    """An approval with its words, tone and facts for a page."""
    shown: dict[str, Any] = plain(found)
    action = f"approvals_action_{found['action']}"
    shown["title"] = text(lang, action if known(action) else "approvals_action_other")
    shown["words"] = found["words_zh"] if lang == "zh" else found["words_en"]
    shown["tone"] = _TONES[found["status"]]
    shown["count"] = sum(one["counts"] for one in found["given"])
    facts = {**found["statement"], **found["subject"]}
    shown["facts"] = [_fact(name, value, lang) for name, value in facts.items() if value is not None]
    shown["facts"].sort(key=lambda fact: fact[2])
    return shown


def _fact(name: str, value: Any, lang: str) -> tuple[str, str, bool]:
    """One item of what is signed: its label, its value in words where there are any, and whether it is an exact mark."""
    label, words = f"approvals_fact_{name}", f"approvals_value_{value}"
    if name == "purpose" and value in {str(purpose) for purpose in KeyPurpose}:
        zh, en = PURPOSE_WORDS[KeyPurpose(value)]
        return text(lang, label), zh if lang == "zh" else en, False
    shown = text(lang, words) if known(words) else str(value)
    return text(lang, label) if known(label) else name, shown, len(shown) > 24


def _steps(found: dict[str, Any], lang: str) -> list[dict[str, Any]]:
    """Asked, approved by so many, carried out: as a stepper."""
    closed = {"refused": "refused", "withdrawn": "skipped", "expired": "skipped"}.get(found["status"])
    asked = {
        "label": text(lang, "approvals_step_asked"),
        "state": "done",
        "who": found["requested_by_name"],
        "at": found["requested_at"],
    }
    given = [
        {
            "label": text(lang, f"approvals_step_given_{one['kind']}"),
            "state": "done" if one["counts"] else "skipped",
            "who": one["name"],
            "at": one["at"],
            "note": "" if one["counts"] else text(lang, "approvals_no_officer_now"),
        }
        for one in found["given"]
    ]
    missing = max(0, found["needed"] - found["count"])
    wanted = [
        {"label": text(lang, "approvals_step_missing"), "state": closed or ("current" if number == 0 else "waiting")}
        for number in range(missing)
    ]
    end = "done" if found["status"] == "used" else closed if closed and not missing else "waiting" if missing else "current"
    last: dict[str, Any] = {"label": text(lang, "approvals_step_used"), "state": end or "waiting"}
    if found["status"] == "used":
        last["at"] = found["closed_at"]
    silent = {"who": "", "at": "", "note": ""}
    return [{**silent, **step} for step in (asked, *given, *wanted, last)]


def _done(request: Request) -> str:
    done = request.query_params.get("done", "")
    return done if done in _SAID else ""
