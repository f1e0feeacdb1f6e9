"""A founded node on real tokens, made once a test process, and a running service over it."""

from __future__ import annotations

import atexit
import shutil
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from ceremonies.config import FILE
from ceremonies.founding import found
from ceremonies.node import Node
from tests.listening import listening

REGION = "310000"
TLS = ssl.create_default_context()
"""For clients that speak plain HTTP: a context of their own, with every root in it, costs each a tenth of a second."""
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@cache
def founded_home(whose: str = "everyone") -> Path:
    """A home with a founded node, one for each name; removed when the process ends.

    Copies of one founding, which costs six seconds: they have the same keys, and nothing else in common.
    """
    template, home = _template(), _folder() / "node"
    shutil.copytree(template, home, ignore=shutil.ignore_patterns("*.sock"))
    for path in (home / FILE, *(home / "tokens").glob("**/*.conf")):
        path.write_text(path.read_text("utf-8").replace(str(template), str(home)), "utf-8")
    return home


@cache
def _template() -> Path:
    home = _folder() / "node"
    found(home, REGION, "上海市", lambda zh, en: None).close()
    return home


def _folder() -> Path:
    folder = Path(mkdtemp(prefix="xinyin-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass
class Service:
    """A service on a free port; ``tokens`` are bearer tokens by demo account."""

    node: Node
    url: str
    app: FastAPI
    tokens: dict[str, str] = field(default_factory=dict)

    def client(self, account: str | None = None) -> httpx.Client:
        """An HTTP client that calls as ``account``; None calls as nobody."""
        headers = {"Authorization": f"Bearer {self._token(account)}"} if account else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, verify=TLS)

    def _token(self, account: str) -> str:
        if account not in self.tokens:
            self.tokens[account] = self.node.accounts.issue_token(account, "test")[1]
        return self.tokens[account]

    def seal(self) -> dict[str, Any]:
        """A seal in force of the approval bureau, made at first."""
        from ceremonies.sample import APPROVER, sample_uscc

        operator = self.node.actor(None)
        for one in self.node.seals.list(operator).items:
            if one["name"] == APPROVER and one["status"] == "in-force":
                return dict(one)
        uscc = sample_uscc(REGION, APPROVER)
        return self.node.seals.create(operator, owner_name=APPROVER, owner_uscc=uscc, idempotency_key="test-approver")

    def registrar(self) -> dict[str, Any]:
        """The seal of the market supervision bureau, which issues licences."""
        from ceremonies.sample import REGISTRAR, sample_uscc

        uscc = sample_uscc(REGION, REGISTRAR)
        operator = self.node.actor(None)
        return self.node.seals.create(operator, owner_name=REGISTRAR, owner_uscc=uscc, idempotency_key="test-registrar")


@contextmanager
def serving(home: Path) -> Iterator[Service]:
    """Run the application under uvicorn in a thread; the tokens are opened in this process."""
    node = Node.open(home)
    node.keys.custodian.status()  # opens the tokens and this home's socket, as a signer would
    listener = listening()
    app = create_app(node)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.started
    try:
        yield Service(node, f"http://127.0.0.1:{listener.getsockname()[1]}", app)
    finally:
        server.should_exit = True
        thread.join(15)
        listener.close()
        node.close()
