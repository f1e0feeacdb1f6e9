"""Verifying what is uploaded: in worker processes with limits of their own, a bounded number at a time."""

from __future__ import annotations

import hashlib
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
    from records.receipts import Presented
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
        challenge: str | None = None,
        glance: bool = False,
    ) -> dict[str, Any]:
        """The verdict on a document or a picture; any bytes give one.

        :param actor: a system that relies on what passes: it is told when the document falls
        :param challenge: digits that the holder was asked to type (对口令)
        :param glance: the picture is one of many that a camera sends

        :raises Unavailable: too many documents are being verified
        """
        if not self._slots.acquire(timeout=_WAIT_SECONDS):
            raise Unavailable("Many documents are being verified right now; try again shortly.", "当前核验较多，请稍后再试。")
        try:
            context = self._node.verification_context(at=at, matter=matter, challenge=challenge, glance=glance)
            noting = _Noting(context.impressions)
            context = replace(context, impressions=noting)
            verdict = self._isolated.verify(data, name=os.path.basename(name)[:200] or "document", context=context)
        finally:
            self._slots.release()
        read = verdict.get("read_from") or {}
        channel = ("camera" if glance else "photo") if read.get("kind") == "picture" else "file"
        digest = read["sha256"] if channel == "camera" else hashlib.sha256(data).hexdigest()
        verdict["presented"] = {"sha256": digest, "channel": channel, "matter": matter}
        if not glance or read:
            metrics.verdicts.labels(verdict["verdict"], verdict["answer"]["decision"]).inc()
        if actor is not None and verdict["verdict"] == "TOTAL-PASSED":
            self._node.reliances.note(actor, noting.asked)
        return verdict

    def verify_code(
        self, text: str, *, matter: str | None = None, at: datetime | None = None, challenge: str | None = None
    ) -> dict[str, Any]:
        """The verdict on a printed or shown code; the address in it is not followed."""
        from verify.code import verify_code

        context = self._node.verification_context(at=at, matter=matter, challenge=challenge)
        verdict = verify_code(text, context=context)
        verdict["presented"] = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "channel": "code", "matter": matter}
        metrics.verdicts.labels(verdict["verdict"], verdict["answer"]["decision"]).inc()
        return verdict

    def receipt(self, actor: Actor, verdict: dict[str, Any], *, at: datetime | None = None) -> dict[str, Any]:
        """A signed receipt for a verdict that this pool reached; the use of the licence is recorded with it."""
        return self._node.receipts.issue(actor, verdict, _presented(verdict, at))

    def note(self, actor: Actor | None, verdict: dict[str, Any]) -> None:
        """Where somebody who works here verified a genuine licence, its holder sees it; a receipt later adds no second use."""
        if actor is not None and self._node.receipts.note(actor, verdict, _presented(verdict)):
            verdict["presented"]["noted"] = True

    def close(self) -> None:
        """End the worker processes."""
        self._isolated.close()


def _presented(verdict: dict[str, Any], at: datetime | None = None) -> Presented:
    from records.receipts import Presented

    said = verdict["presented"]
    token = bytes.fromhex(said["sha256"]) if said["channel"] in ("camera", "code", "photo") else None
    return Presented(said["sha256"], said["channel"], said["matter"], at, token, said.get("noted", False))


class _Noting:
    """Our register of sealed documents, and which ones were looked up in it."""

    def __init__(self, inner: ImpressionStatusProvider | None) -> None:
        self._inner = inner
        self.asked: set[str] = set()

    def status(self, document_sha256: str) -> ImpressionStatus | None:
        if len(self.asked) < _NOTED:
            self.asked.add(document_sha256)
        return self._inner.status(document_sha256) if self._inner is not None else None
