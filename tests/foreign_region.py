"""Another region, without a node: a list key, a status key, and a server that says whatever a test wants it to."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats.jose import public_jwk
from formats.statuslist import StatusList, StatusListToken, StatusRef, sign_jwt
from trust.schemas import ListContent, TrustedEntity
from trust.service import sign_list
from verify.trust import ServiceType, TrustedService

DAY = timedelta(days=1)


class Server:
    """Serves ``pages`` by path on 127.0.0.1 and remembers who asked for what."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                body = outer.pages.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class ForeignRegion:
    """A region that signs what it is asked to, and publishes it at ``http://REGION.localhost:PORT``."""

    region: str = "310000"
    name: str = "上海市"
    server: Server = field(default_factory=Server)
    list_key: SoftwareKey = field(default_factory=lambda: SoftwareKey.generate(Suite.P256))
    status_key: SoftwareKey = field(default_factory=lambda: SoftwareKey.generate(Suite.P256))

    @property
    def host(self) -> str:
        return f"{self.region}.localhost:{self.server.port}"

    @property
    def base_url(self) -> str:
        return f"http://{self.host}"

    @property
    def pin(self) -> str:
        return self.list_key.public_key.fingerprint

    def trust_list(
        self,
        sequence: int,
        *,
        issued: datetime | None = None,
        life: timedelta = 30 * DAY,
        domains: tuple[str, ...] | None = None,
        key: SoftwareKey | None = None,
    ) -> bytes:
        """A signed list that names the status key."""
        moment = issued or datetime.now(UTC)
        jwk = public_jwk(self.status_key.public_key)
        service = TrustedService(ServiceType.STATUS_LIST, "状态列表", self.region, jwk=jwk)
        content = ListContent(
            self.region, self.name, sequence, moment, moment + life,
            [TrustedEntity(self.name, [service])],
            domains=(self.host,) if domains is None else domains,
            status_lists=(f"{self.base_url}/status/seals.jws",),
        )  # fmt: skip
        return sign_list(content, key or self.list_key).encode()

    def status_list(
        self,
        values: dict[int, int],
        *,
        path: str = "/status/a",
        issued: datetime | None = None,
        life: timedelta = DAY,
        ttl: timedelta | None = timedelta(seconds=60),
        key: SoftwareKey | None = None,
        uri: str | None = None,
    ) -> bytes:
        """A signed status list for the address ``path``."""
        moment = (issued or datetime.now(UTC)).replace(microsecond=0)
        statuses = StatusList.sparse(1024, values, 2)
        token = StatusListToken(uri or self.base_url + path, moment, statuses, moment + life, ttl)
        return sign_jwt(token, key or self.status_key, kid="1").encode()

    def ref(self, index: int, path: str = "/status/a") -> StatusRef:
        return StatusRef(self.base_url + path, index)
