"""The phone of somebody who is signed in: their licences, putting one on this phone, the phones that carry them, settings."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from api import phones
from api.auth import CurrentCitizen, node_of
from api.sessions import demand
from licences.copies import NoSuchCopy
from licences.copy_views import by_phone
from licences.service import NoSuchLicence
from policies.presenting import matters

router = APIRouter(include_in_schema=False)


@router.get("/phone")
def home(request: Request, browser: CurrentCitizen) -> Response:
    """My licences; before signing in, what this is and what already lies on the phone."""
    if browser is None:
        return phones.page(request, "welcome.html", here="licences")
    held = node_of(request).copies.of(browser.citizen)
    return phones.page(request, "home.html", browser, here="licences", held=held, matters=matters(node_of(request).home))


@router.get("/phone/download/{licence_id}")
def download(request: Request, browser: CurrentCitizen, licence_id: str, grant: str = "") -> Response:
    """Put a licence on this phone; the page's script makes the key that it is bound to."""
    citizen = phones.signed_in(browser).citizen
    held = [one for one in node_of(request).copies.of(citizen) if one["id"] == licence_id]
    found = next((one for one in held if (one["grant"] or "") == grant), held[0] if held else None)
    if found is None:
        raise NoSuchLicence("There is no such licence among yours.", "您名下没有该证照。", licence=licence_id[:64])
    return phones.page(request, "download.html", browser, here="licences", one=found, request_path=request.url.path)


# -- phones -----------------------------------------------------------------------------------------------------------------


@router.get("/phone/lost")
def my_phones(request: Request, browser: CurrentCitizen, done: str = "") -> Response:
    """The phones that carry my licences, each to be reported lost: from any browser in which I sign in."""
    copies = node_of(request).copies.mine(phones.signed_in(browser).citizen)
    return phones.page(request, "lost.html", browser, here="more", phones=by_phone(copies), done=done)


@router.get("/phone/lost/{copy_id}")
def ask_lost(request: Request, browser: CurrentCitizen, copy_id: str) -> Response:
    """Ask before a phone is reported lost."""
    copies = node_of(request).copies.mine(phones.signed_in(browser).citizen)
    found = next((phone for phone in by_phone(copies) if phone["first"] == copy_id), None)
    if found is None:
        raise NoSuchCopy("There is no phone of yours with this copy.", "您名下没有带该副本的手机。")
    return phones.page(request, "lost-ask.html", browser, here="more", phone=found)


@router.post("/phone/lost/{copy_id}")
def lost(request: Request, browser: CurrentCitizen, copy_id: str, csrf: Annotated[str, Form(max_length=200)] = "") -> Response:
    """The phone is lost: everything of mine on it ends at once, and every other browser is signed out."""
    browser = phones.signed_in(browser)
    demand(browser.csrf, csrf)
    node = node_of(request)
    node.copies.lost(browser.citizen, copy_id)
    node.citizens.sign_out_elsewhere(browser.citizen, keep=browser.token)
    return RedirectResponse("/phone/lost?done=lost", 303)


@router.post("/phone/copies/{copy_id}/remove")
def remove(
    request: Request, browser: CurrentCitizen, copy_id: str, csrf: Annotated[str, Form(max_length=200)] = ""
) -> Response:
    """Take one licence off one phone."""
    browser = phones.signed_in(browser)
    demand(browser.csrf, csrf)
    node_of(request).copies.remove(browser.citizen, copy_id)
    return RedirectResponse("/phone/lost?done=removed", 303)


# -- settings ---------------------------------------------------------------------------------------------------------------


@router.get("/phone/settings")
def settings(request: Request, browser: CurrentCitizen) -> Response:
    """What else there is: size of type, language, phones, signing out."""
    return phones.page(request, "settings.html", browser, here="more")
