"""What a person's browser does in the story: a host of its own, cookies, forms."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import httpcore

from crypto.errors import Unavailable

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Page:
    """An answer of the service: status, address it came from, headers in lower case, body."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. :raises Unavailable: an error, in the service's own words"""
        if self.status >= 400:
            raise Unavailable(*self._problem())
        return json.loads(self.body)

    def fields(self, action: str) -> dict[str, str]:
        """Names and values of the hidden and pre-filled fields of the form that leads to ``action``."""
        for form in re.findall(r"<form\b.*?</form>", self.text, re.S):
            if re.search(rf'action="{re.escape(action)}[?"]', form):
                return {
                    unescape(name[1]): unescape(value[1] if (value := re.search(r'value="([^"]*)"', tag)) else "")
                    for tag in re.findall(r"<input\b[^>]*>", form)
                    if (name := re.search(r'name="([^"]*)"', tag))
                }
        raise Unavailable(f"The page {self.url} has no form for {action}.", f"页面 {self.url} 没有通往 {action} 的表单。")

    def _problem(self) -> tuple[str, str]:
        try:
            found = json.loads(self.body)
            return str(found["detail"]), str(found.get("detail_zh", found["detail"]))
        except (ValueError, KeyError, TypeError):
            return f"{self.url} answers {self.status}.", f"{self.url} 返回 {self.status}。"


class Browser:
    """One person's browser at one node. Names under ``localhost`` are this machine (RFC 6761 §6.3)."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self.base_url = base_url
        self.host = parts.netloc
        self._port = parts.port or 80
        self.cookies: dict[str, str] = {}
        self._pool = httpcore.ConnectionPool(keepalive_expiry=2, retries=1)

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()

    def get(self, path: str, **headers: str) -> Page:
        """GET, following redirects as a browser does."""
        return self.send("GET", path, b"", headers)

    def form(self, path: str, values: Mapping[str, str]) -> Page:
        """POST a form, following redirects."""
        return self.send("POST", path, urlencode(values).encode(), {"Content-Type": "application/x-www-form-urlencoded"})

    def json(self, path: str, body: Any, **headers: str) -> Any:
        """POST JSON; the JSON answer. :raises Unavailable: an error, in the service's own words"""
        kinds = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.send("POST", path, json.dumps(body).encode(), kinds).json()

    def upload(self, path: str, fields: Mapping[str, str], file: tuple[str, bytes] | None = None) -> Page:
        """POST ``multipart/form-data`` with an optional field ``file``."""
        edge = secrets.token_hex(16)
        parts = [
            f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        if file is not None:
            head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{file[0]}"\r\n\r\n'
            parts.append(head.encode() + file[1] + b"\r\n")
        body = b"".join(parts) + f"--{edge}--\r\n".encode()
        return self.send("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={edge}"})

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Page:
        """One request and the redirects after it; cookies are kept.

        :raises Unavailable: the service does not answer
        """
        for _ in range(10):
            page = self._once(method, path, body, headers)
            if page.status not in _REDIRECTS:
                return page
            path = urljoin(self.base_url + path, page.headers["location"])
            if urlsplit(path).netloc not in ("", self.host):
                raise Unavailable(f"{self.host} leads away to {path}.", f"{self.host} 跳转到了其他地址 {path}。")
            parts = urlsplit(path)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            if page.status in (301, 302, 303):
                method, body, headers = "GET", b"", {}
        raise Unavailable(f"{self.host} redirects without end.", f"{self.host} 不停跳转。")

    def _once(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Page:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"Host": self.host, "Content-Length": str(len(body)), **headers} | ({"Cookie": cookies} if cookies else {})
        try:
            answer = self._pool.request(
                method,
                httpcore.URL(scheme="http", host="127.0.0.1", port=self._port, target=path),
                headers=[(name.encode(), value.encode()) for name, value in sent.items()],
                content=body,
                extensions={"timeout": {"connect": 5.0, "read": 60.0, "write": 30.0, "pool": 5.0}},
            )
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as exc:
            raise Unavailable(f"{self.host} does not answer ({exc}).", f"{self.host} 没有应答（{exc}）。") from exc
        found: dict[str, str] = {}
        for name, value in answer.headers:
            if name.lower() == b"set-cookie":
                self._keep(value.decode("latin-1"))
            found[name.decode().lower()] = value.decode("latin-1")
        return Page(answer.status, self.base_url + path, found, answer.content)

    def _keep(self, cookie: str) -> None:
        for name, morsel in SimpleCookie(cookie).items():
            if morsel["max-age"] == "0" or not morsel.value:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
