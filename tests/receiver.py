"""A system that takes notices: an HTTP server on a free port that answers as a test says and keeps what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, bytes]


class Receiver:
    """``tokens`` in the order they came; ``answer`` gives status and body for each."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.content_types: list[str] = []
        self.answer: Callable[[str], Answer] = lambda token: (202, b"")
        self._came = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                token = self.rfile.read(int(self.headers["Content-Length"])).decode()
                with receiver._came:
                    receiver.tokens.append(token)
                    receiver.content_types.append(self.headers["Content-Type"])
                    receiver._came.notify_all()
                status, body = receiver.answer(token)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"localhost:{self.server.server_port}"
        self.url = f"http://{self.host}/notices"

    def wait_for(self, count: int, seconds: float = 20) -> list[str]:
        """The tokens once there are ``count``."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.tokens) >= count, seconds), f"{len(self.tokens)} of {count} came"
            return list(self.tokens)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver while the block lasts."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join(5)
