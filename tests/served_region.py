"""A real neighbour: Shanghai behind a server of its own, which a test may switch off."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from api.app import create_app
from ceremonies.config import FILE
from ceremonies.node import Node
from ceremonies.sample import REGISTRAR, sample_uscc
from tests.listening import listening
from tests.node_home import founded_home


@dataclass
class Neighbour:
    """A region's node that answers at ``http://REGION.localhost:PORT`` until :meth:`stop`."""

    node: Node
    port: int
    server: uvicorn.Server
    thread: threading.Thread
    listener: socket.socket

    @property
    def host(self) -> str:
        return f"{self.node.region}.localhost:{self.port}"

    @property
    def base_url(self) -> str:
        return f"http://{self.host}"

    @property
    def pin(self) -> str:
        listed = self.node.trust_store().list_of(self.node.region)
        assert listed is not None
        return listed.fingerprint

    def registrar(self) -> dict[str, Any]:
        """The seal of the market supervision bureau, which issues licences."""
        uscc = sample_uscc(self.node.region, REGISTRAR)
        return self.node.seals.create(
            self.node.actor(None), owner_name=REGISTRAR, owner_uscc=uscc, suites=("p256",), idempotency_key="test-registrar"
        )

    def stop(self) -> None:
        """The service is off; the node itself stays open."""
        self.server.should_exit = True
        self.thread.join(15)
        self.listener.close()


@contextmanager
def neighbour(name: str) -> Iterator[Neighbour]:
    """Shanghai, served; its address is in its list and in everything it issues."""
    listener = listening()
    port = listener.getsockname()[1]
    home = founded_home(name)
    set_address(home, f"http://310000.localhost:{port}")
    node = Node.open(home)
    node.keys.custodian.status()
    node.publish_trust()
    server = uvicorn.Server(uvicorn.Config(create_app(node), log_level="error", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.started
    made = Neighbour(node, port, server, thread, listener)
    try:
        yield made
    finally:
        made.stop()
        node.close()


def set_address(home: Path, base_url: str) -> None:
    """Where a node says that it lives."""
    text = (home / FILE).read_text("utf-8")
    (home / FILE).write_text(re.sub(r'(?m)^base_url = ".*"$', f'base_url = "{base_url}"', text), "utf-8")


def allow_private(home: Path, *hosts: str) -> None:
    """Let a node ask neighbours on this machine."""
    text = re.sub(r"(?ms)^\[regions\].*?(?=^\[|\Z)", "", (home / FILE).read_text("utf-8"))
    listed = ", ".join(f'"{host}"' for host in hosts)
    (home / FILE).write_text(f"{text.rstrip()}\n\n[regions]\nprivate_hosts = [{listed}]\n", "utf-8")
