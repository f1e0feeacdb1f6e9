"""The pages: what a person sees. Every page works without JavaScript; small modules add dropping, progress and printing."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from api import history, navigation, training
from api.auth import session_of
from api.texts import LANGUAGES, text
from formats.dates import BEIJING
from formats.regions import region_name
from seals.workflow.directory import called

HERE = Path(__file__).parent


@lru_cache(maxsize=1)
def version() -> str:
    """The installed version, for the foot of each page and for ``/healthz``."""
    try:
        return installed_version("xinyin")
    except PackageNotFoundError:
        return "0"


@lru_cache(maxsize=1)
def asset_version() -> str:
    """Changes when any static file changes, so that browsers may keep them."""
    digest = sha256()
    for path in sorted(path for path in (HERE / "static").rglob("*") if path.is_file()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Where templates come from and how they are read: values are text, what is not there is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False, indent=2)
    environment.filters["mm"] = lambda value: f"{value:.2f}".rstrip("0").rstrip(".")
    environment.globals["short_name"] = short_name
    return environment


def language(request: Request) -> str:
    """``?lang=``, else the cookie, else Chinese."""
    asked = request.query_params.get("lang") or request.cookies.get("xinyin_lang")
    return asked if asked in LANGUAGES else "zh"


def remember_language(response: Response, lang: str) -> None:
    """Keep the reader's choice for a year."""
    response.set_cookie("xinyin_lang", lang if lang in LANGUAGES else "zh", max_age=31_536_000, samesite="lax", httponly=True)


def moment(value: str, lang: str) -> str:
    """An RFC 3339 time as a person in China reads it: Beijing time, named as such."""
    try:
        at = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return value
    at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(BEIJING)
    if lang == "zh":
        return f"{at.year} 年 {at.month} 月 {at.day} 日 {at:%H:%M:%S}（北京时间）"
    return f"{at.day} {at:%B %Y, %H:%M:%S} (Beijing time)"


def day(value: str, lang: str) -> str:
    """The same for what lasts to the end of a day: the day in Beijing."""
    try:
        at = datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(BEIJING)
    except ValueError:
        return value
    return f"{at.year} 年 {at.month} 月 {at.day} 日" if lang == "zh" else f"{at.day} {at:%B %Y}"


def short_moment(value: str) -> str:
    """The same for tables: Beijing time to the minute."""
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(BEIJING).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return value


def sentence(said: dict[str, Any], lang: str) -> str:
    """A room's sentence in the reader's language, with its times as people read them."""
    words: str = said["message_zh"] if lang == "zh" else said["message"]
    words = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lambda found: moment(found.group(), lang), words)
    return words.replace("（北京时间））", "，北京时间）").replace(" (Beijing time))", ", Beijing time)")


def short_name(subject: str) -> str:
    """The common name of a readable distinguished name, else the whole."""
    found = re.search(r"(?:^|[,;/+]\s*)(?:CN|Common Name)\s*[=:]\s*((?:\\.|[^,;+])+)", subject)
    return found.group(1).strip().replace("\\", "") if found else subject


def local_path(value: str | None) -> str:
    """``value`` if it is a path of this service, else ``/``: a link never leads elsewhere."""
    if value and re.fullmatch(r"/(?![/\\])[\w\-./?=&%]*", value) and not value.startswith(("/lang", "/signout")):
        return value
    return "/"


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """The page ``template`` in the request's language; ``values`` join what every page has."""
    lang = language(request)
    node = request.app.state.node
    session = session_of(request)
    account = session.account if session else None
    served = request.app.state.pages
    context = {
        "lang": lang,
        "t": lambda key, **kw: text(lang, key, **kw),
        "m": lambda said: sentence(said, lang),
        "when": lambda value: moment(value, lang),
        "on_day": lambda value: day(value, lang),
        "short_when": short_moment,
        "region_called": lambda code: region_name(code)[lang == "zh"],
        "version": version(),
        "asset_version": asset_version(),
        "region_name": node.name,
        "demo": node.mode != "production",
        "account": account,
        "account_href": "/account" if "/account" in served else "/desk",
        "places": navigation.places(served, node.authoriser, account),
        "strip": training.strip(request, node),
        "called": lambda person: called(person["id"], person["name"], english=lang != "zh"),
        "history": lambda subject: history.of(node, subject, lang),
        "csrf": session.csrf if session else "",
        "back": quote(request.url.path if request.method == "GET" else "/"),
        "here": "",
        "problem": None,
    }
    context.update(values)
    html = environment().get_template(template).render(context)
    response = HTMLResponse(html, status, {"Vary": "Cookie", "Content-Language": "zh-CN" if lang == "zh" else "en"})
    if request.query_params.get("lang") == lang:  # a link in a language: what follows it stays in that language
        remember_language(response, lang)
    return response


def size_text(count: int) -> str:
    """A limit in MiB."""
    return f"{count // (1 << 20)} MB"
