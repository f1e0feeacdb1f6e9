"""``python -m tests.tools.serve_home HOME``: serve a home in a process of its own, to measure its memory and its files.

Prints the port once it listens; ends when its standard input is closed.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import uvicorn

from api.app import create_app
from ceremonies.node import Node
from tests.listening import listening


def main() -> None:
    """Serve until nobody holds the other end of standard input."""
    node = Node.open(Path(sys.argv[1]))
    node.keys.custodian.status()
    listener = listening()
    server = uvicorn.Server(uvicorn.Config(create_app(node), log_level="error", timeout_graceful_shutdown=2))

    def end() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end, daemon=True).start()
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    server.run(sockets=[listener])
    node.close()


if __name__ == "__main__":
    main()
