"""``xinyin serve``: signer, worker and web service as three processes, the first two restarted when they die."""

from __future__ import annotations

import ctypes
import errno
import logging
import logging.handlers
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli.output import say
from crypto.errors import Conflict, Unavailable, Usage, XinyinError
from net.fetch import PORTS

if TYPE_CHECKING:
    from ceremonies.node import Node

_GIVE_UP_AFTER = 5
_STEADY_SECONDS = 30.0
_PARENT = "XINYIN_SUPERVISOR"
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """In a child of :class:`Supervisor`: end when it does, also when it is killed (on Linux only)."""
    parent = os.environ.get(_PARENT)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before this line
        sys.exit(1)


@dataclass
class _Child:
    """One process that is kept alive. ``deaths`` counts those since it last ran steadily."""

    name: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    again_at: float = 0.0

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches the supervisor only, which stops its children in order.
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, _PARENT: str(os.getpid())},
            )
        self.started = time.monotonic()

    def stop(self, seconds: float = 10.0) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Supervisor:
    """Keeps children alive with growing pauses between restarts, until told to stop."""

    def __init__(self, home: Path, names: list[str]) -> None:
        base = [sys.executable, "-m", "cli", "--home", str(home), "--lang", "en"]
        self.children = [_Child(name, [*base, name], home / "log" / f"{name}.log") for name in names]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start all of them, and the watch over them."""
        for child in self.children:
            child.start()
        self._thread.start()

    def stop(self) -> None:
        """End the watch, then the children, last started first."""
        self._stopping.set()
        self._thread.join(5)
        for child in reversed(self.children):
            child.stop()

    def _watch(self) -> None:
        while not self._stopping.wait(0.25):
            for child in self.children:
                self._look_after(child)

    def _look_after(self, child: _Child) -> None:
        if child.process is None or child.process.poll() is None:
            return
        now = time.monotonic()
        if child.again_at == 0.0:
            child.deaths = 1 if now - child.started > _STEADY_SECONDS else child.deaths + 1
            child.again_at = now + min(0.25 * 2 ** (child.deaths - 1), 15.0)
            say(
                f"{child.name} 意外退出（{child.process.returncode}），即将重启；日志 {child.log}",
                f"{child.name} ended unexpectedly ({child.process.returncode}) and is started again; log {child.log}",
                style="yellow",
            )
        elif now >= child.again_at:
            child.again_at = 0.0
            child.start()


def serve(home: Path, *, host: str, port: int | None, tls: bool) -> int:
    """Run the node until Ctrl-C or SIGTERM; both stop it in order: requests, worker, signer."""
    import uvicorn

    from api.app import create_app
    from ceremonies.config import PORT
    from ceremonies.founding import catch_up
    from ceremonies.node import Node

    end_with_parent()
    node = Node.open(home, host=False)
    _log_to(home / "log" / "service.log")
    node.db.migrate()
    listener = _listen(host, PORT if port is None else port)
    supervisor = Supervisor(home, ["signer", "worker"])
    try:
        supervisor.start()
        _await_signer(node, supervisor)
        catch_up(node, say)
        _prepare_training(node)
        certificate = _certificate(home) if tls else None
        app = create_app(node, secure_cookies=tls)
        config = uvicorn.Config(
            app,
            log_config=None,
            ssl_certfile=str(certificate[0]) if certificate else None,
            ssl_keyfile=str(certificate[1]) if certificate else None,
            timeout_graceful_shutdown=10,
            server_header=False,
            proxy_headers=False,
        )
        actual = listener.getsockname()[1]
        address = f"{'https' if tls else 'http'}://localhost:{actual}/"
        say(f"信印已启动：{address}，按 Ctrl-C 停止。", f"Xinyin is running: {address}  Ctrl-C stops it.", style="bold")
        _say_where_links_lead(node, actual)
        server = uvicorn.Server(config)
        signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
        return 0
    finally:
        say("正在停止……", "Stopping…")
        supervisor.stop()
        node.close()


def _say_where_links_lead(node: Node, port: int) -> None:
    """Codes on paper and phones, certificates and lists name the configured address, whatever port was asked for today."""
    named = urlsplit(node.config.base_url)
    if node.mode != "production" and (named.port or PORTS.get(named.scheme)) != port:
        say(
            f"注意：二维码和链接指向 node.toml 中的 base_url（{node.config.base_url}），不是本次的端口 {port}。",
            f"Note: codes and links lead to base_url of node.toml ({node.config.base_url}), not to port {port}.",
            style="yellow",
        )


def _prepare_training(node: Node) -> None:
    """The five doors of the first page, where demo people are; a node without them serves all the same."""
    from ceremonies import training
    from people.demo import demo_passwords

    if node.mode == "production" or training.prepared(node) or not demo_passwords(node.home / "secrets"):
        return
    say("正在准备演示与培训的案例……", "Preparing the cases of demo and training…")
    try:
        training.prepare(node)
    except XinyinError as exc:
        say(f"案例未能备好：{exc.message_zh}", f"The cases could not be prepared: {exc.message}", style="yellow")


def _log_to(path: Path) -> None:
    """What goes wrong inside goes into a file, with the number that the caller was told; the terminal stays readable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=10 << 20, backupCount=5, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name in ("xinyin", "uvicorn"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO if name == "xinyin" else logging.WARNING)
        logger.addHandler(handler)
        logger.propagate = False


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, opened before anything else starts, so that a taken port is one clear sentence."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # asyncio sees to this only where it opens the socket: without it each answer waits 40 ms for word of its own head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(512)
    except (OSError, OverflowError) as exc:
        if getattr(exc, "errno", None) == errno.EADDRINUSE:
            raise Conflict(
                f"Port {port} is taken by another program; choose one with --port.",
                f"端口 {port} 已被其他程序占用；请用 --port 另选一个。",
            ) from exc
        raise Usage(f"Cannot listen on {host} port {port}: {exc}.", f"无法监听 {host} 端口 {port}：{exc}。") from exc
    return listener


def _await_signer(node: Node, supervisor: Supervisor, seconds: float = 30.0) -> None:
    """:raises Unavailable: the signer does not come up"""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if node.signer_answers():
            return
        if supervisor.children[0].deaths >= _GIVE_UP_AFTER:
            break
        time.sleep(0.1)
    log = supervisor.children[0].log
    raise Unavailable(
        f"The signer does not start; see {log} and run: xinyin doctor",
        f"签名进程无法启动；请查看 {log}，并运行 xinyin doctor。",
        log=str(log),
    )


def _certificate(home: Path) -> tuple[Path, Path]:
    """A self-signed certificate for ``--tls`` on a development machine, made once and kept with the node's secrets."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from ceremonies.config import NodeConfig

    folder = home / "secrets"
    certificate, key = folder / "tls.crt", folder / "tls.key"
    if certificate.exists() and key.exists():
        return certificate, key
    region = NodeConfig.load(home).region
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{region}.localhost")])
    hosts = ["localhost", f"{region}.localhost", socket.gethostname()]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in hosts]), critical=False)
        .sign(private, hashes.SHA256())
    )
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(
            private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return certificate, key
