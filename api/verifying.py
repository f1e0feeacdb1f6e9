"""Verifying what is uploaded: in worker processes with limits of their own, a bounded number at a time."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from api import metrics
from crypto.errors import Unavailable
from verify.worker import IsolatedVerifier

if TYPE_CHECKING:
    from ceremonies.node import Node
    from people.schemas import Actor
    from verify.schemas import ImpressionStatus, ImpressionStatusProvider

_WAIT_SECONDS = 30.0
_NOTED = 64


class VerifierPool:
    """A parser process a core, as many documents again in memory; others wait a while and are then asked to come back."""

    def __init__(self, node: Node) -> None:
        self._node = node
        cores = os.cpu_count() or 1
        self._slots = threading.BoundedSemaphore(2 * cores)
        self._isolated = IsolatedVerifier(cores)

    def verify(
        self,
        data: bytes,
        *,
        name: str,
        matter: str | None = None,
        at: datetime | None = None,
        actor: Actor | None = None,
    ) -> dict[str, Any]:
        """The verdict on a document; any bytes give one.

        :param actor: a system that relies on what passes: it is told when the document falls

        :raises Unavailable: too many documents are being verified
        """
        if not self._slots.acquire(timeout=_WAIT_SECONDS):
            raise Unavailable("Many documents are being verified right now; try again shortly.", "当前核验较多，请稍后再试。")
        try:
            context = self._node.verification_context(at=at, matter=matter)
            noting = _Noting(context.impressions)
            context = replace(context, impressions=noting)
            verdict = self._isolated.verify(data, name=os.path.basename(name)[:200] or "document", context=context)
        finally:
            self._slots.release()
        metrics.verdicts.labels(verdict["verdict"], verdict["answer"]["decision"]).inc()
        if actor is not None and verdict["verdict"] == "TOTAL-PASSED":
            self._node.reliances.note(actor, noting.asked)
        return verdict

    def verify_code(self, text: str, *, matter: str | None = None, at: datetime | None = None) -> dict[str, Any]:
        """The verdict on a printed or shown code; the address in it is not followed."""
        from verify.code import verify_code

        verdict = verify_code(text, context=self._node.verification_context(at=at, matter=matter))
        metrics.verdicts.labels(verdict["verdict"], verdict["answer"]["decision"]).inc()
        return verdict

    def close(self) -> None:
        """End the worker processes."""
        self._isolated.close()


class _Noting:
    """Our register of sealed documents, and which ones were looked up in it."""

    def __init__(self, inner: ImpressionStatusProvider | None) -> None:
        self._inner = inner
        self.asked: set[str] = set()

    def status(self, document_sha256: str) -> ImpressionStatus | None:
        if len(self.asked) < _NOTED:
            self.asked.add(document_sha256)
        return self._inner.status(document_sha256) if self._inner is not None else None
