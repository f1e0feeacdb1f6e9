"""The signer: the only process that opens tokens and knows PINs, on a Unix socket in the home (``run/signer.sock``).

One process holds a home's tokens at a time, by ``run/signer.lock``. :func:`run_signer` is that process; :class:`SignerClient`
talks to it and waits while it is restarted; :func:`open_custodian` gives whatever is at hand: the signer if one answers, else
the tokens in this process, under the same lock and with the same socket for others.
"""

from __future__ import annotations

import argparse
import atexit
import fcntl
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from crypto.errors import XinyinError
from hsm import wire
from hsm.config import HsmConfig, load_config
from hsm.custody import LocalCustodian
from hsm.errors import FrameRefused, SignerBusy, SignerUnreachable
from hsm.schemas import Custodian, Use
from store.db import Database

T = TypeVar("T")
log = logging.getLogger("xinyin.signer")

PATIENCE = 30.0
"""Seconds for which a client waits for a signer that is being restarted."""
_ANSWER_WITHIN = 180.0
_MAX_CONNECTIONS = 128
_UCRED = struct.Struct("3i")


# -- the lock ------------------------------------------------------------------------------------------------------------------


class _Lock:
    """The right to open this home's tokens, held until released or until the process ends, however it ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        os.register_at_fork(after_in_child=self._forget)

    @classmethod
    def take(cls, path: Path) -> _Lock | None:
        """The lock, or None while another process (or another part of this one) has it."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return cls(path, descriptor)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _forget(self) -> None:
        self.release()  # a forked child's copy would keep the lock after its parent has died


@contextmanager
def _short_path(path: Path) -> Iterator[str]:
    """A name for a socket that fits into 108 bytes, however deep the home lies."""
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


# -- the server ----------------------------------------------------------------------------------------------------------------


class SignerServer:
    """Serves a custodian on the home's socket: a thread a connection, requests of one connection one after another."""

    def __init__(self, path: Path, custodian: Custodian) -> None:
        self._path = path
        self._custodian = custodian
        self._room = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._stopping = threading.Event()
        self._busy = 0
        self._guard = threading.Condition()
        self._listener = self._listen()
        self._thread = threading.Thread(target=self._accept, name="signer-accept", daemon=True)
        self._thread.start()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path.unlink(missing_ok=True)  # ours to remove: we hold the lock
        with _short_path(self._path) as name:
            listener.bind(name)
        self._path.chmod(0o600)
        listener.listen(64)
        return listener

    def stop(self) -> None:
        """Accept no more, let what is being signed finish (five seconds at most), take the socket away."""
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        with self._guard:
            self._guard.wait_for(lambda: self._busy == 0, timeout=5)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._stopping.is_set():
                    return
                time.sleep(0.05)
                continue
            if not _is_ours(connection) or not self._room.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), name="signer-connection", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                while not self._stopping.is_set():
                    try:
                        request = wire.receive(connection)
                    except FrameRefused as exc:
                        wire.send(connection, wire.pack_error(exc))
                        return
                    if request is None:
                        return
                    with self._counted():
                        wire.send(connection, self._answer(request))
        except OSError:
            pass  # the client has gone; whatever it asked for it will ask again
        finally:
            self._room.release()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._guard:
            self._busy += 1
        try:
            yield
        finally:
            with self._guard:
                self._busy -= 1
                self._guard.notify_all()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"ok": True, "value": self._do(request)}
        except XinyinError as exc:
            return wire.pack_error(exc)
        except Exception as exc:  # noqa: BLE001 - one bad request must not end the signer; its text may hold anything
            log.error("a request failed with %s", type(exc).__name__)
            return wire.pack_error(
                XinyinError(
                    "The signer met an error of its own; run xinyin doctor.", "签名进程内部出错；请执行 xinyin doctor。"
                )
            )

    def _do(self, request: dict[str, Any]) -> Any:
        operation, generation = request.get("op"), request.get("generation")
        if operation == "status":
            return self._custodian.status()
        if operation == "examine":
            return self._custodian.examine()
        if operation == "lend-pin":
            token, pin, seconds = request.get("token"), request.get("pin"), request.get("seconds")
            if not isinstance(token, str) or not isinstance(pin, str) or not isinstance(seconds, int | float):
                raise _bad_request()
            return self._custodian.lend_pin(token, pin, float(seconds))
        if not isinstance(generation, str):
            raise _bad_request()
        if operation == "sign":
            message, scheme = request.get("message"), request.get("scheme")
            if not isinstance(message, bytes) or not isinstance(scheme, str):
                raise _bad_request()
            return self._custodian.sign(generation, message, scheme, wire.unpack_use(request.get("use")))
        if operation == "generate":
            return self._custodian.generate(generation)
        if operation == "destroy":
            return self._custodian.destroy(generation)
        if operation == "refresh":
            return self._custodian.refresh(generation)
        raise _bad_request()


def _bad_request() -> FrameRefused:
    return FrameRefused("The signer does not know this request.", "签名进程不支持此请求。")


def _is_ours(connection: socket.socket) -> bool:
    """Only this user (and root) may talk to the signer."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return _UCRED.unpack(credentials)[1] in (0, os.geteuid())


# -- the client ----------------------------------------------------------------------------------------------------------------


class SignerClient:
    """A custodian over the socket. Threads share it; each request has a connection of its own while it lasts.

    A request whose connection fails is sent again, for ``patience`` seconds: the signer may have been killed and restarted.
    Sending again is safe: the same attempt may have the same message signed twice, making and destroying keys finds what was
    done.
    """

    def __init__(self, config: HsmConfig, *, patience: float = PATIENCE) -> None:
        self.config = config
        self.patience = patience
        self._idle: list[socket.socket] = []
        self._guard = threading.Lock()
        self._pid = os.getpid()

    @classmethod
    def answers(cls, home: Path) -> bool:
        """Whether a signer answers on this home's socket now."""
        client = cls(load_config(home), patience=0)
        try:
            client.status()
        except XinyinError:
            return False
        finally:
            client.close()
        return True

    def close(self) -> None:
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def sign(self, generation_id: str, message: bytes, scheme: str, use: Use) -> bytes:
        request = {"op": "sign", "generation": generation_id, "message": message, "scheme": scheme, "use": wire.pack_use(use)}
        return bytes(self._call(request))

    def generate(self, generation_id: str) -> dict[str, Any]:
        return dict(self._call({"op": "generate", "generation": generation_id}))

    def destroy(self, generation_id: str) -> int:
        return int(self._call({"op": "destroy", "generation": generation_id}))

    def refresh(self, generation_id: str) -> None:
        self._call({"op": "refresh", "generation": generation_id})

    def lend_pin(self, token: str, pin: str, seconds: float) -> None:
        self._call({"op": "lend-pin", "token": token, "pin": pin, "seconds": seconds})

    def status(self) -> dict[str, Any]:
        return dict(self._call({"op": "status"}))

    def examine(self) -> list[dict[str, Any]]:
        return list(self._call({"op": "examine"}))

    def _call(self, request: dict[str, Any]) -> Any:
        deadline = time.monotonic() + self.patience
        pause = 0.01
        while True:
            try:
                answer = self._once(request)
            except OSError as exc:
                if time.monotonic() + pause > deadline:
                    raise SignerUnreachable(
                        "The signer does not answer; start it with xinyin signer (or make serve) and try again. Nothing "
                        "was lost.",
                        "签名进程没有响应；请用 xinyin signer（或 make serve）启动后重试。未丢失任何内容。",
                        reason=type(exc).__name__,
                    ) from exc
                time.sleep(pause)
                pause = min(pause * 2, 0.25)
                continue
            if answer.get("ok") is True:
                return answer.get("value")
            raise wire.unpack_error(answer.get("error") or {})

    def _once(self, request: dict[str, Any]) -> dict[str, Any]:
        connection = self._connection()
        try:
            wire.send(connection, request)
            answer = wire.receive(connection)
            if answer is None:
                raise ConnectionError("the signer closed the connection")
        except BaseException:
            connection.close()
            SignerClient.close(self)  # what is idle is most likely as dead as this one
            raise
        with self._guard:
            self._idle.append(connection)
        return answer

    def _connection(self) -> socket.socket:
        with self._guard:
            if self._pid != os.getpid():  # after a fork the parent's connections are the parent's
                self._idle, self._pid = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_ANSWER_WITHIN)
            with _short_path(self.config.socket) as name:
                connection.connect(name)
        except BaseException:
            connection.close()
            raise
        return connection


class _Spawned(SignerClient):
    """A signer of our own in a child process, for a second home in one process (SoftHSM2 serves one store a process)."""

    def __init__(self, config: HsmConfig) -> None:
        super().__init__(config, patience=10.0)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        command = [sys.executable, "-m", "hsm.signer", "--with-parent", "--announce", str(config.home)]
        self._child = subprocess.Popen(  # noqa: S603 - ourselves
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        assert self._child.stdout is not None
        with self._child.stdout as said:
            first = json.loads(said.readline() or b"{}")
        if first.get("ok") is not True:
            self.close()
            raise wire.unpack_error(
                first.get("error") or {"message": "The signer did not start.", "message_zh": "签名进程未能启动。"}
            )

    def close(self) -> None:
        super().close()
        if self._pid == os.getpid() and self._child.stdin is not None:
            self._child.stdin.close()  # the child ends when its parent lets go
            try:
                self._child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()


# -- whatever is at hand -------------------------------------------------------------------------------------------------------


class _Hosted:
    """Tokens opened in this process, shared by everyone in it who asks for the same home."""

    def __init__(self, config: HsmConfig, lock: _Lock, db: Database | None) -> None:
        self.pid = os.getpid()
        self.users = 1
        self.lock = lock
        self.custodian = LocalCustodian(config, db)
        try:
            self.custodian.host.probe()
            self.server = SignerServer(config.socket, self.custodian)
        except BaseException:
            self.custodian.close()
            raise

    def close(self) -> None:
        self.server.stop()
        self.custodian.close()
        self.lock.release()


_hosted: dict[Path, _Hosted] = {}
_hosting = threading.RLock()
os.register_at_fork(after_in_child=_hosted.clear)


class Custody:
    """The custodian of a home as :func:`open_custodian` gives it: finds its way again when the signer goes or comes."""

    def __init__(self, config: HsmConfig, *, host: bool) -> None:
        self.config = config
        self._host = host
        self._guard = threading.RLock()
        self._backend: Custodian | None = None
        self._pid = os.getpid()

    def sign(self, generation_id: str, message: bytes, scheme: str, use: Use) -> bytes:
        return self._run(lambda custodian: custodian.sign(generation_id, message, scheme, use))

    def generate(self, generation_id: str) -> dict[str, Any]:
        return self._run(lambda custodian: custodian.generate(generation_id))

    def destroy(self, generation_id: str) -> int:
        return self._run(lambda custodian: custodian.destroy(generation_id))

    def refresh(self, generation_id: str) -> None:
        self._run(lambda custodian: custodian.refresh(generation_id))

    def lend_pin(self, token: str, pin: str, seconds: float) -> None:
        self._run(lambda custodian: custodian.lend_pin(token, pin, seconds))

    def status(self) -> dict[str, Any]:
        return self._run(lambda custodian: custodian.status())

    def examine(self) -> list[dict[str, Any]]:
        return self._run(lambda custodian: custodian.examine())

    def close(self) -> None:
        with self._guard:
            backend, self._backend = self._backend, None
            if backend is not None and self._pid == os.getpid():
                _let_go(self.config, backend)

    def _run(self, work: Callable[[Custodian], T]) -> T:
        deadline = time.monotonic() + PATIENCE
        while True:
            backend = self._present(deadline)
            try:
                return work(backend)
            except SignerUnreachable:
                if time.monotonic() > deadline:
                    raise
                self._drop(backend)

    def _drop(self, backend: Custodian) -> None:
        with self._guard:
            if self._backend is backend:
                self.close()

    def _present(self, deadline: float) -> Custodian:
        with self._guard:
            if self._pid != os.getpid():  # after a fork: the tokens stay with the parent, who serves the socket
                self._backend, self._pid = None, os.getpid()
            while self._backend is None:
                self._backend = self._find()
                if self._backend is None:
                    if time.monotonic() > deadline:
                        raise _busy(self.config)
                    time.sleep(0.05)
            return self._backend

    def _find(self) -> Custodian | None:
        if not self._host:
            return SignerClient(self.config)
        with _hosting:
            here = _hosted.get(self.config.home)
            if here is not None:
                here.users += 1
                return here.custodian
            client = SignerClient(self.config, patience=0.5)
            if _connects(self.config):
                return client
            lock = _Lock.take(self.config.lock)
            if lock is None:
                return None  # it is being started, or is about to end
            if _hosted and self.config.is_softhsm_based:
                lock.release()
                return _Spawned(self.config)
            return self._host_here(lock)

    def _host_here(self, lock: _Lock) -> Custodian:
        try:
            hosted = _hosted[self.config.home] = _Hosted(self.config, lock, None)
        except BaseException:
            lock.release()
            raise
        return hosted.custodian


def open_custodian(home: Path, *, host: bool = True) -> Custody:
    """The custodian of this home: the signer if one answers, else (``host``) the tokens opened in this process.

    :param host: False in processes that must hold no secrets (``serve``, ``worker``): they wait for the signer
    """
    return Custody(load_config(home), host=host)


def _connects(config: HsmConfig) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, _short_path(config.socket) as name:
            probe.connect(name)
    except OSError:
        return False
    return True


def _let_go(config: HsmConfig, backend: Custodian) -> None:
    with _hosting:
        here = _hosted.get(config.home)
        if here is None or here.custodian is not backend:
            backend.close()
            return
        here.users -= 1
        if here.users == 0:
            del _hosted[config.home]
            here.close()


def _busy(config: HsmConfig) -> SignerBusy:
    return SignerBusy(
        f"Another process holds the tokens of {config.home} and does not answer; wait for it to end or start xinyin signer.",
        f"另一进程占用了 {config.home} 的令牌且没有响应；请等待其结束，或启动 xinyin signer。",
    )


@atexit.register
def _close_all() -> None:
    for hosted in list(_hosted.values()):
        if hosted.pid == os.getpid():
            with suppress(Exception):
                hosted.close()
    _hosted.clear()


# -- the process ---------------------------------------------------------------------------------------------------------------


def run_signer(
    home: Path, *, stop: threading.Event | None = None, wait: float = 60.0, ready: Callable[[], None] | None = None
) -> None:
    """Open the tokens, probe the profile, serve until SIGTERM, SIGINT or ``stop``.

    :param wait: seconds to wait for another holder of the lock to end
    :param ready: called once requests are served
    :raises SignerBusy: another process holds the lock
    :raises ProfileMismatch: the token does not sign as the vendor profile says
    """
    config = load_config(home)
    stop = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    lock = _wait_for_lock(config, time.monotonic() + wait)
    try:
        hosted = _Hosted(config, lock, None)
    except BaseException:
        lock.release()
        raise
    try:
        if ready is not None:
            ready()
        while not stop.wait(1.0):
            pass
    finally:
        hosted.close()


def _wait_for_lock(config: HsmConfig, deadline: float) -> _Lock:
    while True:
        lock = _Lock.take(config.lock)
        if lock is not None:
            return lock
        if time.monotonic() > deadline:
            raise _busy(config)
        time.sleep(0.05)


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hsm.signer")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input does")
    parser.add_argument("--announce", action="store_true", help="say on standard output that it serves, or why not")
    parser.add_argument("home", type=Path)
    arguments = parser.parse_args()
    stop = threading.Event()
    if arguments.with_parent:
        threading.Thread(target=_watch_parent, args=(stop,), daemon=True).start()
    try:
        run_signer(arguments.home, stop=stop, ready=_say_ready if arguments.announce else None)
    except XinyinError as exc:
        if arguments.announce:
            os.write(1, json.dumps(wire.pack_error(exc)).encode() + b"\n")
        else:
            sys.stderr.write(f"{exc.message}\n{exc.message_zh}\n")
        return 1
    return 0


def _watch_parent(stop: threading.Event) -> None:
    while os.read(0, 1):  # not sys.stdin: its lock would still be held when the interpreter ends
        pass
    stop.set()


def _say_ready() -> None:
    os.write(1, b'{"ok": true}\n')
    os.close(1)


if __name__ == "__main__":
    sys.exit(_main())
