"""Named places where a test may kill the process, to prove that nothing is lost or done twice.

Production cannot trigger one: there is no setting and no environment variable. Only code can, by calling :func:`arm` in the
process itself, and nothing but the child processes of ``tests/faults`` does (a test holds that no room calls it).
"""

from __future__ import annotations

import os
import signal
from typing import Final

CRASH_POINTS: Final = (
    "blob.written",  # bytes on disk under a temporary name
    "blob.renamed",  # under its own name, its directory not yet flushed
    "intent.begin-uncommitted",  # the intent's row written, not committed
    "intent.begun",  # committed; nothing signed yet
    "signer.use-uncommitted",  # the use of the key written, not committed
    "signer.use-recorded",  # committed; the token has not signed yet
    "signer.signed",  # the token has signed; the signature has not left the signer
    "intent.worked",  # the caller holds the finished artefact in memory
    "intent.artefact-stored",  # the artefact is a blob; no row names it yet
    "intent.commit-uncommitted",  # result and audit leaf written, not committed
    "intent.committed",  # committed; the caller has not been answered
    "application.uncommitted",  # an act on an application written with its leaf, not committed
    "application.document-sealed",  # one of its documents sealed and committed, the others not begun
    "rotation.step-begun",  # a step of a key's rotation is on record with its approval; nothing is done yet
    "rotation.step-worked",  # it is done; no row says so yet
    "audit.numbered-uncommitted",  # leaves numbered, not committed
    "audit.numbered",  # committed; the checkpoint is not signed yet
    "audit.checkpoint-signed",  # signed; no row holds it yet
    "audit.checkpoint-stored",  # stored; the witness file is a step behind
    "call-back.handed-out-uncommitted",  # events numbered and deliveries written, not committed
    "watch.taken",  # a watched file renamed; no application yet
    "watch.submitted",  # its application committed; the folder does not name it yet
    "watch.written",  # the sealed file is out; what tells of it is not
    "call-back.pushed",  # the receiver has answered; no row says so yet
)

_armed: dict[str, int] = {}


def crash_point(name: str) -> None:
    """Do nothing; under :func:`arm`, end this process as ``kill -9`` does."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def arm(name: str, nth: int = 1) -> None:
    """Kill this process when ``name`` is reached for the ``nth`` time. For child processes of tests only."""
    if name not in CRASH_POINTS:
        raise ValueError(f"no crash point is called {name}")
    _armed[name] = nth
