"""Two founded nodes, Shanghai and Zhejiang, each served over HTTP at its own name, with each other's trust lists imported."""

from __future__ import annotations

import atexit
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from ceremonies.config import FILE
from ceremonies.founding import found
from ceremonies.node import Node
from tests.listening import listening
from tests.node_home import EXAMPLES, Service, founded_home

SHANGHAI, ZHEJIANG = "310000", "330000"


@dataclass
class Regions:
    """The two services."""

    shanghai: Service
    zhejiang: Service
    _webs: dict[str, _Web] = field(default_factory=dict, repr=False)

    def deliver(self) -> int:
        """What the workers of both would do: answer what a rule answers, bring what waits, both ways; how many arrived."""
        arrived = 0
        for one in (self.zhejiang, self.shanghai, self.zhejiang):
            one.node.enquiries.work()
            arrived += one.node.peer_mail.work()
        return arrived

    def refresh(self) -> None:
        """What Zhejiang's worker does every few minutes: fetch anew what it holds of Shanghai."""
        self.zhejiang.node.regions.refresh()
        self.zhejiang.node.held.refresh()

    @contextmanager
    def without_shanghai(self) -> Iterator[None]:
        """Shanghai's service is off: nothing listens at its address. Afterwards it is back, at the same address."""
        web = self._webs[SHANGHAI]
        web.stop()
        try:
            yield
        finally:
            self.shanghai.app = web.start()


@contextmanager
def two_regions(name: str) -> Iterator[Regions]:
    """Homes of their own for each ``name``; Zhejiang has the sample rules of recognition."""
    homes = {SHANGHAI: founded_home(f"{name}-{SHANGHAI}"), ZHEJIANG: zhejiang_home(name)}
    sockets = {region: listening() for region in homes}
    for region, home in homes.items():
        _settle(home, region, sockets[region].getsockname()[1])
    shutil.copytree(EXAMPLES / "recognition", homes[ZHEJIANG] / "recognition", dirs_exist_ok=True)
    with ExitStack() as stack:
        webs = {region: stack.enter_context(_served(home, sockets[region])) for region, home in homes.items()}
        acquaint(webs[SHANGHAI].node, webs[ZHEJIANG].node)
        yield Regions(webs[SHANGHAI].service(), webs[ZHEJIANG].service(), webs)


def acquaint(*nodes: Node) -> None:
    """Each publishes its list as it is now and imports those of the others, pinned by their fingerprints."""
    for node in nodes:
        node.publish_trust()
    for node in nodes:
        for other in nodes:
            if other is not node:
                data = (other.home / "trust" / "list.jws").read_bytes()
                listed = other.trust_store().list_of(other.region)
                assert listed is not None
                node.trust.accept(data, pin=listed.fingerprint)


@cache
def _template() -> Path:
    home = Path(mkdtemp(prefix="xinyin-test-")) / "node"
    atexit.register(shutil.rmtree, home.parent, ignore_errors=True)
    found(home, ZHEJIANG, "浙江省", lambda zh, en: None).close()
    return home


@cache
def zhejiang_home(name: str) -> Path:
    """A founded home of region 330000, one for each name."""
    home = Path(mkdtemp(prefix="xinyin-test-")) / "node"
    atexit.register(shutil.rmtree, home.parent, ignore_errors=True)
    shutil.copytree(_template(), home, ignore=shutil.ignore_patterns("*.sock"))
    for path in (home / FILE, *(home / "tokens").glob("**/*.conf")):
        path.write_text(path.read_text("utf-8").replace(str(_template()), str(home)), "utf-8")
    return home


def _settle(home: Path, region: str, port: int) -> None:
    """The node's address, and that it may ask the other one on this machine."""
    path = home / FILE
    text = re.sub(r"(?m)^base_url = .*$", f'base_url = "http://{region}.localhost:{port}"', path.read_text("utf-8"))
    text = re.sub(r"(?ms)^\[regions\].*?(?=^\[|\Z)", "", text)
    hosts = f'["{SHANGHAI}.localhost", "{ZHEJIANG}.localhost"]'
    path.write_text(f"{text.rstrip()}\n\n[regions]\nprivate_hosts = {hosts}\n", "utf-8")


class _Web:
    """A node's service at one address, which can be off for a while."""

    def __init__(self, node: Node, listener: socket.socket) -> None:
        self.node = node
        self._address = listener.getsockname()
        self._listener: socket.socket | None = listener
        self.app = self.start()

    def service(self) -> Service:
        return Service(self.node, f"http://127.0.0.1:{self._address[1]}", self.app)

    def start(self) -> FastAPI:
        """Listen; the application, which is a new one each time."""
        self._listener = self._listener or listening(self._address)
        self.app = create_app(self.node)
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_level="error", timeout_graceful_shutdown=2))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self._server.started
        return self.app

    def stop(self) -> None:
        """Nothing listens any more."""
        self._server.should_exit = True
        self._thread.join(15)
        if self._listener is not None:
            self._listener.close()
        self._listener = None


@contextmanager
def _served(home: Path, listener: socket.socket) -> Iterator[_Web]:
    node = Node.open(home)
    node.keys.custodian.status()
    web = _Web(node, listener)
    try:
        yield web
    finally:
        web.stop()
        node.close()
