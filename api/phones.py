"""What the phone's pages share: their frame, large type, the sentences their scripts say, and the files a phone keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from api import render
from api.sessions import CitizenBrowser
from api.texts import sentences
from people.errors import CitizenUnknown
from policies.presenting import matters

STATIC = render.HERE / "static"
LARGE = "xinyin_large"
"""The cookie of large type 大字版."""

_SAID = "phone_say_"
_STYLES = ("xinyin.css", "console.css", "phone/phone.css")
_SCRIPTS = ("phone/phone.js", "phone/show.js", "phone/store.js", "phone/standing.js", "shown-code.js", "vendor/lean-qr.mjs")


def is_large(request: Request) -> bool:
    """Whether this phone shows large type."""
    return request.cookies.get(LARGE) == "1"


def page(request: Request, template: str, browser: CitizenBrowser | None = None, status: int = 200, **values: Any) -> Response:
    """A page of the phone in the reader's language and size of type; ``browser`` is that of whoever is signed in."""
    known = {"citizen": browser.citizen, "csrf": browser.csrf} if browser else {"citizen": None}
    return render.page(request, f"phone/{template}", status, large=is_large(request), drawable=can_draw(), **known, **values)


def signed_in(browser: CitizenBrowser | None) -> CitizenBrowser:
    """:raises CitizenUnknown: nobody is; a page that is opened then leads to signing in and back"""
    if browser is None:
        raise CitizenUnknown("Sign in first.", "请先登录。")
    return browser


def words(lang: str, home: Path) -> dict[str, Any]:
    """What the script of the shell says, by key; the names of matters stand under ``matters``."""
    said = {key.removeprefix(_SAID): line for key, line in sentences(lang, "phone").items() if key.startswith(_SAID)}
    return {**said, "matters": {code: {"zh": one.zh, "en": one.en} for code, one in matters(home).items()}}


def kept_files() -> list[str]:
    """The addresses that a phone keeps beside the shell; what was not fetched from npm yet is left out."""
    version = render.asset_version()
    return [f"/static/{name}?{version}" for name in (*_STYLES, *_SCRIPTS) if (STATIC / name).is_file()]


def can_draw() -> bool:
    """Whether the module that draws codes is there (``make setup-web``)."""
    return (STATIC / "vendor" / "lean-qr.mjs").is_file()
