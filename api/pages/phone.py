"""The phone: what it keeps to show licences without network (shell, worker, manifest), and its size of type."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from api import phones, render
from api.auth import node_of
from api.texts import text

router = APIRouter(include_in_schema=False)


@router.get("/phone/show")
def show(request: Request) -> Response:
    """Show a licence. The page is the same for everybody: what it shows lies on the phone, and so it works without network."""
    words = phones.words(render.language(request), node_of(request).home)
    return phones.page(request, "show.html", here="licences", words=words)


@router.get("/phone/worker.js")
def worker() -> Response:
    """The script that keeps the shell for when there is no network; asked anew at each visit, so that phones follow updates."""
    kept = {"VERSION": render.asset_version(), "FILES": phones.kept_files()}
    line = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in kept.items())
    source = (phones.STATIC / "phone" / "worker.js").read_text("utf-8")
    headers = {"Service-Worker-Allowed": "/phone", "Cache-Control": "no-cache"}
    return Response(line + source, media_type="text/javascript", headers=headers)


@router.get("/phone/manifest.webmanifest")
def manifest(request: Request) -> Response:
    """What a phone needs to put the page on its first screen."""
    lang = render.language(request)
    icon = f"/static/phone/icon-{{}}.png?{render.asset_version()}"
    said: dict[str, Any] = {
        "id": "/phone",
        "name": text(lang, "phone_app_name", region=node_of(request).name),
        "short_name": text(lang, "phone_name"),
        "lang": "zh-CN" if lang == "zh" else "en",
        "start_url": "/phone",
        "scope": "/phone",
        "display": "standalone",
        "background_color": "#f6f4ef",
        "theme_color": "#9e2a22",
        "icons": [{"src": icon.format(size), "sizes": f"{size}x{size}", "type": "image/png"} for size in (180, 512)],
    }
    return JSONResponse(said, media_type="application/manifest+json")


@router.get("/phone/large/{how}")
def large(how: Annotated[Literal["on", "off"], Path()], request: Request, back: str = "/phone") -> Response:
    """Large type on this phone, or the usual size again; back to where the reader was."""
    response = RedirectResponse(render.local_path(back), 303)
    if how == "on":
        secure = request.app.state.secure_cookies
        response.set_cookie(phones.LARGE, "1", max_age=31_536_000, samesite="lax", httponly=True, secure=secure)
    else:
        response.delete_cookie(phones.LARGE)
    return response
