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
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import uvicorn

from api.app import create_app
from ceremonies.config import FILE
from ceremonies.founding import found
from ceremonies.node import Node
from tests.node_home import EXAMPLES, Service, founded_home

SHANGHAI, ZHEJIANG = "310000", "330000"


@dataclass
class Regions:
    """The two services; ``listeners`` are their sockets, for tests that take one away."""

    shanghai: Service
    zhejiang: Service

    def deliver(self) -> int:
        """What the workers of both would do: answer what a rule answers, bring what waits, both ways; how many arrived."""
        arrived = 0
        for one in (self.zhejiang, self.shanghai, self.zhejiang):
            one.node.enquiries.work()
            arrived += one.node.peer_mail.work()
        return arrived


@contextmanager
def two_regions(name: str) -> Iterator[Regions]:
    """Homes of their own for each ``name``; Zhejiang has the sample rules of recognition."""
    homes = {SHANGHAI: founded_home(f"{name}-{SHANGHAI}"), ZHEJIANG: _zhejiang_home(name)}
    sockets = {region: socket.create_server(("127.0.0.1", 0)) for region in homes}
    for region, home in homes.items():
        _settle(home, region, sockets[region].getsockname()[1])
    shutil.copytree(EXAMPLES / "recognition", homes[ZHEJIANG] / "recognition", dirs_exist_ok=True)
    with ExitStack() as stack:
        services = {region: stack.enter_context(_served(home, sockets[region])) for region, home in homes.items()}
        acquaint(services[SHANGHAI].node, services[ZHEJIANG].node)
        yield Regions(services[SHANGHAI], services[ZHEJIANG])


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
def _zhejiang_home(name: str) -> Path:
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


@contextmanager
def _served(home: Path, listener: socket.socket) -> Iterator[Service]:
    node = Node.open(home)
    node.keys.custodian.status()
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
