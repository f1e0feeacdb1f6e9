"""Authorising others on the phone: who may use my licences, for what and until when; giving and withdrawing it."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from api import phones
from api.auth import CurrentCitizen, node_of
from api.sessions import CitizenBrowser, demand
from crypto.errors import BadInput, XinyinError
from formats.dates import BEIJING
from licences.grants import LONGEST
from licences.service import NoSuchLicence
from policies.presenting import matters
from store.db import utc_now

router = APIRouter(include_in_schema=False)

_USUAL = timedelta(days=90)


@router.get("/phone/authorise")
def grants(request: Request, browser: CurrentCitizen) -> Response:
    """Everything that I gave or was given, what is in force first."""
    browser = phones.signed_in(browser)
    found = node_of(request).grants.mine(browser.citizen)
    lists = {
        "given": [one for one in found if one["status"] == "active" and one["direction"] != "received"],
        "received": [one for one in found if one["status"] == "active" and one["direction"] == "received"],
        "over": [one for one in found if one["status"] != "active"],
    }
    return _page(request, browser, "grants.html", lists=lists, may=_may_give(request, browser))


@router.get("/phone/authorise/new")
def new(request: Request, browser: CurrentCitizen, licence: str = "") -> Response:
    """For which licence, then whom, for what and until when."""
    return _form(request, phones.signed_in(browser), licence)


@router.post("/phone/authorise/new")
def give(
    request: Request,
    browser: CurrentCitizen,
    licence: Annotated[str, Form(max_length=200)],
    kind: Annotated[str, Form(max_length=20)] = "",
    name: Annotated[str, Form(max_length=200)] = "",
    id_number: Annotated[str, Form(max_length=40)] = "",
    until: Annotated[str, Form(max_length=20)] = "",
    matter: Annotated[list[str] | None, Form()] = None,
    csrf: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Give it, or show the form again with what is wrong; the identity number has to be typed again then."""
    browser = phones.signed_in(browser)
    demand(browser.csrf, csrf)
    said: dict[str, Any] = {"kind": kind, "name": name, "until": until, "chosen": matter or []}
    try:
        made = node_of(request).grants.authorise(
            browser.citizen,
            licence,
            kind=kind,
            name=name,
            id_number=id_number,
            matters=matter or [],
            until=_end_of(until),
        )
    except NoSuchLicence:
        raise
    except XinyinError as exc:
        return _form(request, browser, licence, exc.status, problem=exc.to_dict(), **said)
    return RedirectResponse(f"/phone/authorise/{made['id']}?done=given", 303)


@router.get("/phone/authorise/{grant_id}")
def grant(request: Request, browser: CurrentCitizen, grant_id: str, done: str = "") -> Response:
    """One authorisation, and what happens next."""
    browser = phones.signed_in(browser)
    return _page(request, browser, "grant.html", one=node_of(request).grants.show(browser.citizen, grant_id), done=done)


@router.get("/phone/authorise/{grant_id}/withdraw")
def ask_withdraw(request: Request, browser: CurrentCitizen, grant_id: str) -> Response:
    """Ask before it ends."""
    browser = phones.signed_in(browser)
    return _page(request, browser, "grant-ask.html", one=node_of(request).grants.show(browser.citizen, grant_id))


@router.post("/phone/authorise/{grant_id}/withdraw")
def withdraw(
    request: Request, browser: CurrentCitizen, grant_id: str, csrf: Annotated[str, Form(max_length=200)] = ""
) -> Response:
    """End it at once, with the copies that rest on it."""
    browser = phones.signed_in(browser)
    demand(browser.csrf, csrf)
    node_of(request).grants.withdraw(browser.citizen, grant_id)
    return RedirectResponse(f"/phone/authorise/{grant_id}?done=withdrawn", 303)


def _may_give(request: Request, browser: CitizenBrowser) -> list[dict[str, Any]]:
    """The licences for which this citizen may authorise somebody."""
    return [one for one in node_of(request).copies.of(browser.citizen) if one["may_authorise"]]


def _form(request: Request, browser: CitizenBrowser, licence: str, status: int = 200, **values: Any) -> Response:
    may = _may_give(request, browser)
    one = next((one for one in may if one["id"] == licence), may[0] if len(may) == 1 and not licence else None)
    if licence and one is None:
        raise NoSuchLicence("There is no licence of yours to authorise for.", "没有可由您授权的该证照。", licence=licence[:64])
    if one is None:
        return _page(request, browser, "grant-which.html", may=may)
    today = utc_now().astimezone(BEIJING).date()
    said = {
        "kind": one["may_authorise"][0] if len(one["may_authorise"]) == 1 else "",
        "name": "",
        "until": (today + _USUAL).isoformat(),
        "chosen": [],
        "problem": None,
        **values,
    }
    lasts = {kind: _months(LONGEST[kind]) for kind in one["may_authorise"]}
    until = {"min": today.isoformat(), "max": (today + max(LONGEST.values())).isoformat()}
    return _page(request, browser, "grant-new.html", status, one=one, bounds=until, lasts=lasts, **said)


def _months(longest: timedelta) -> int:
    """A longest time as people say it: whole months of about thirty days."""
    return longest.days // 30 if longest.days < 365 else longest.days // 365 * 12


def _end_of(day: str) -> datetime:
    """The last second of a day in Beijing. :raises BadInput: no date"""
    try:
        return datetime.combine(date.fromisoformat(day), time(23, 59, 59), BEIJING)
    except ValueError as exc:
        raise BadInput("Give the last day as year, month and day.", "请填写授权的截止日期。") from exc


def _page(request: Request, browser: CitizenBrowser, template: str, status: int = 200, **values: Any) -> Response:
    named = matters(node_of(request).home)
    return phones.page(request, template, browser, status, here="authorise", matters=named, **values)
