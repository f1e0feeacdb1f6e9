"""A socket for a server of a test."""

from __future__ import annotations

import socket


def listening(address: tuple[str, int] = ("127.0.0.1", 0)) -> socket.socket:
    """A listening socket on a free port, whose connections send at once, as they do where uvicorn binds by itself.

    asyncio switches Nagle's algorithm off for sockets that name their protocol, which those of ``socket.create_server`` do not:
    each answer would wait 40 ms for the acknowledgement of its own head.
    """
    made = socket.create_server(address)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
