"""What a node does by itself, in ``xinyin worker``: number the audit log, renew CRLs, OCSP answers and the trust list.

A plain loop: every task is idempotent and looks at the database for what is due, so that a restart needs no memory and two
workers do no harm (docs/adr/0010). A task that fails is logged, tried again at its next turn, and never stops the others.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ceremonies.node import Node
from ceremonies.watch_config import WatchConfig, watch_configs
from ceremonies.watching import WatchedFolder
from crypto.errors import XinyinError

log = logging.getLogger("xinyin.worker")
_TOLD_AGAIN_S = 24 * 3600.0


@dataclass
class Task:
    """Work that is done every ``seconds``; ``due`` is a monotonic time."""

    name: str
    seconds: float
    work: Callable[[], object]
    due: float = field(default=0.0)

    def run_if_due(self, now: float) -> bool:
        """Run when its time has come; whether it ran. Failures are logged and not raised."""
        if now < self.due:
            return False
        try:
            self.work()
        except XinyinError as exc:
            log.warning("%s: %s %s", self.name, exc.code, exc.message)
        except Exception:
            log.exception("%s failed", self.name)
        self.due = now + self.seconds
        return True


def tasks(node: Node) -> list[Task]:
    """The node's tasks, most urgent first."""
    return [
        Task("audit", 1.0, lambda: node.audit.sequence(node.checkpoint_key())),
        Task("revocation", 60.0, revocation(node)),
        Task("trust-list", 30.0, node.renew_trust),
        Task("seal-status", 30.0, node.seal_status.current),
        Task("blobs", 86_400.0, node.blobs.tidy),
    ]


def side_tasks(node: Node) -> list[Task]:
    """What waits for others (receivers, file systems): each in a thread of its own, so that nothing of :func:`tasks` waits."""
    found = [
        Task("call-backs", 1.0, node.courier.work),
        Task("peer-mail", 1.0, node.peer_mail.work),
        Task("enquiries", 2.0, node.enquiries.work),
        Task("regions", 15.0, node.region_desk.refresh),
    ]
    for config in watch_configs(node.home):
        found.append(Task(f"watch {config.name}", 1.0, _watched(node, config)))
    return found


def _watched(node: Node, config: WatchConfig) -> Callable[[], object]:
    """Looks after one folder, opened at the first turn: one that cannot be used is told of and stops nothing else."""
    opened: list[WatchedFolder] = []

    def work() -> None:
        if not opened:
            opened.append(WatchedFolder(node, config))
        opened[0].work()

    return work


def revocation(node: Node) -> Callable[[], None]:
    """Renews CRLs and OCSP answers. What cannot be signed (a root whose token is logged out) is told once a day, not once a
    minute.
    """
    told: dict[tuple[str, str, str], float] = {}

    def work() -> None:
        for failure in node.ca.refresh().failures:
            key, now = (failure["authority"], failure["step"], failure["code"]), time.monotonic()
            if now - told.get(key, float("-inf")) >= _TOLD_AGAIN_S:
                told[key] = now
                log.warning("%s of %s: %s %s", failure["step"], failure["authority"], failure["code"], failure["message"])

    return work


def run_worker(home: Path, *, stop: threading.Event | None = None) -> None:
    """Run until SIGTERM or SIGINT (or ``stop``)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    ending = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ending.set())
    node = Node.open(home, host=False)
    try:
        _ = node.seals  # its rooms are opened before there are threads
        sides = [threading.Thread(target=_loop, args=([task], ending), name=task.name) for task in side_tasks(node)]
        for thread in sides:
            thread.start()
        _loop(tasks(node), ending)
        for thread in sides:
            thread.join()
    finally:
        node.close()


def _loop(due: list[Task], ending: threading.Event) -> None:
    """Run tasks whose time has come until the end."""
    while not ending.is_set():
        for task in due:
            if ending.is_set():
                break
            task.run_if_due(time.monotonic())
        ending.wait(0.25)
