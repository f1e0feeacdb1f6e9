"""Printing one's licence for one purpose (加注件) on the phone: making it, its 查验码 and its PDF, withdrawing it."""

from __future__ import annotations

import secrets
from datetime import date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from api import phones
from api.auth import CurrentCitizen, node_of
from api.sessions import CitizenBrowser, demand
from crypto.errors import BadInput, XinyinError
from formats.dates import BEIJING
from licences.annotated import LONGEST, MAX_PURPOSE
from licences.service import NoSuchLicence
from policies.presenting import matters
from store.db import utc_now

router = APIRouter(include_in_schema=False)

_USUAL = timedelta(days=30)


@router.get("/phone/print/{licence_id}")
def copies(request: Request, browser: CurrentCitizen, licence_id: str, done: str = "", withdraw: str = "") -> Response:
    """What was printed of a licence, and a form for the next; ``withdraw`` names one to be asked about."""
    return _page(request, phones.signed_in(browser), licence_id, done=done, withdraw=withdraw)


@router.post("/phone/print/{licence_id}")
def make(
    request: Request,
    browser: CurrentCitizen,
    licence_id: str,
    purpose: Annotated[str, Form(max_length=200)] = "",
    until: Annotated[str, Form(max_length=20)] = "",
    matter: Annotated[str, Form(max_length=64)] = "",
    once: Annotated[str, Form(max_length=64)] = "",
    csrf: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Make it, once however often the button is pressed; or show the form again with what is wrong."""
    browser = phones.signed_in(browser)
    demand(browser.csrf, csrf)
    try:
        made, _ = node_of(request).annotated.make(
            browser.citizen,
            licence_id,
            purpose=purpose,
            until=_day(until),
            matter=matter or None,
            idempotency_key=once or None,
        )
    except NoSuchLicence:
        raise
    except XinyinError as exc:
        said = {"purpose": purpose, "until": until, "matter": matter}
        return _page(request, browser, licence_id, exc.status, problem=exc.to_dict(), **said)
    return RedirectResponse(f"/phone/print/{licence_id}?done={made['id']}", 303)


@router.post("/phone/print/{licence_id}/{annotated_id}/withdraw")
def withdraw(
    request: Request,
    browser: CurrentCitizen,
    licence_id: str,
    annotated_id: str,
    csrf: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Whoever verifies the paper learns at once that it does not count any more."""
    browser = phones.signed_in(browser)
    demand(browser.csrf, csrf)
    node_of(request).annotated.withdraw(browser.citizen, annotated_id)
    return RedirectResponse(f"/phone/print/{licence_id}?done=withdrawn", 303)


def _day(text: str) -> date:
    """:raises BadInput: no date"""
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise BadInput("Give the last day as year, month and day.", "请填写有效期截止日。") from exc


def _page(request: Request, browser: CitizenBrowser, licence_id: str, status: int = 200, **values: Any) -> Response:
    node = node_of(request)
    one = next((one for one in node.copies.of(browser.citizen) if one["id"] == licence_id), None)
    if one is None:
        raise NoSuchLicence("There is no such licence among yours.", "您名下没有该证照。", licence=licence_id[:64])
    today = utc_now().astimezone(BEIJING).date()
    last = today + LONGEST
    if one["until"]:  # no paper lasts longer than the authorisation it rests on
        last = min(last, datetime.fromisoformat(one["until"]).astimezone(BEIJING).date())
    shown: dict[str, Any] = {
        "purpose": "",
        "matter": "",
        "until": min(today + _USUAL, last).isoformat(),
        "done": "",
        "withdraw": "",
        "problem": None,
        "bounds": {"min": today.isoformat(), "max": last.isoformat()},
        "most": MAX_PURPOSE,
        "made": node.annotated.of_licence(browser.citizen, licence_id),
        "once": secrets.token_urlsafe(16),
        **values,
    }
    named = matters(node.home)
    return phones.page(request, "print.html", browser, status, here="licences", one=one, matters=named, **shown)
