"""Checking the whole audit log, which may take minutes: one check at a time in this process, started and looked at by pages."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ceremonies.plain import plain
from crypto.errors import XinyinError

if TYPE_CHECKING:
    from ceremonies.node import Node
    from formats.auditlog import LogReport

log = logging.getLogger("xinyin.api")


@dataclass(frozen=True)
class Check:
    """A check of the log. ``status``: running, whole, damaged, or failed where it could not be carried out."""

    status: str
    started_at: datetime
    done: int = 0
    total: int = 0
    finished_at: datetime | None = None
    report: LogReport | None = None

    def told(self) -> dict[str, Any]:
        """As plain JSON, for the API and the page."""
        report = self.report
        return {
            "status": self.status,
            "started_at": plain(self.started_at),
            "finished_at": plain(self.finished_at),
            "done": self.done,
            "total": self.total,
            "checkpoints": report.checkpoints if report else 0,
            "size": report.size if report else 0,
            "root": report.root if report else None,
            "pending": report.pending + report.unsigned if report else 0,
            "findings": plain(report.findings) if report else [],
        }


class LogChecks:
    """The check that runs or ran last; None before the first."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._lock = threading.Lock()
        self._latest: Check | None = None

    @property
    def latest(self) -> Check | None:
        """The running check, else the last one."""
        return self._latest

    def start(self) -> Check:
        """Start a check, or join the one that runs."""
        with self._lock:
            if self._latest is None or self._latest.status != "running":
                self._latest = Check("running", datetime.now(UTC), total=self.node.audit.state().size)
                threading.Thread(target=self._work, name="log-check", daemon=True).start()
            return self._latest

    def _work(self) -> None:
        try:
            report = self.node.verify_log(progress=self._progress)
            self._set(status="whole" if report.ok else "damaged", report=report, finished_at=datetime.now(UTC))
        except Exception as exc:
            if not isinstance(exc, XinyinError):
                log.error("the check of the audit log stopped", exc_info=exc)
            self._set(status="failed", finished_at=datetime.now(UTC))

    def _progress(self, read: int) -> None:
        self._set(done=read)

    def _set(self, **values: Any) -> None:
        with self._lock:
            assert self._latest is not None
            self._latest = replace(self._latest, **values)
