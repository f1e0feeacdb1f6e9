"""The process that reads hostile documents: limits on itself first, then one verification after another from standard input.

It holds no secret and opens no connection; what a verification needs to ask (registers, revocation) it asks its parent.
"""

from __future__ import annotations

import base64
import os
import sys
from datetime import datetime
from typing import Any, BinaryIO

from formats.x509 import Certificate
from policies import verification
from verify.channel import ChannelClosed, receive, send
from verify.confined import allow_cpu, limit
from verify.schemas import (
    ImpressionStatus,
    LicenceStatus,
    Recognition,
    SealStatus,
    StatusRef,
    TokenState,
    VerificationContext,
)
from verify.service import verify_bytes
from verify.trust import TrustStore

MAX_DOCUMENT = 1 << 30


class _Parent:
    """The registers and the revocation source, as seen from here: one question, one answer, over the pipe."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self.incoming = incoming
        self.outgoing = outgoing

    def ask(self, what: str, *arguments: str) -> Any:
        send(self.outgoing, {"ask": what, "arguments": arguments})
        return receive(self.incoming, 0)[0].get("answer")


class _Seals:
    def __init__(self, parent: _Parent) -> None:
        self.parent = parent

    def status(self, es_id: str, at: datetime) -> SealStatus | None:
        found = self.parent.ask("seals", es_id, at.isoformat())
        return SealStatus(**_times(found)) if found else None


class _Licences:
    def __init__(self, parent: _Parent) -> None:
        self.parent = parent

    def status(self, identifier: str, at: datetime) -> LicenceStatus | None:
        found = self.parent.ask("licences", identifier, at.isoformat())
        return LicenceStatus(**_times(found)) if found else None


class _Statuses:
    def __init__(self, parent: _Parent) -> None:
        self.parent = parent

    def state(self, ref: StatusRef, at: datetime) -> TokenState | None:
        found = self.parent.ask("statuses", ref.uri, str(ref.index), at.isoformat())
        if not found:
            return None
        fetched = datetime.fromisoformat(found["fetched"]) if found["fetched"] else None
        return TokenState(**{**found, "as_of": datetime.fromisoformat(found["as_of"]), "fetched": fetched})


class _Impressions:
    def __init__(self, parent: _Parent) -> None:
        self.parent = parent

    def status(self, document_sha256: str) -> ImpressionStatus | None:
        found = self.parent.ask("impressions", document_sha256)
        return ImpressionStatus(**_times(found)) if found else None


class _Revocation:
    def __init__(self, parent: _Parent) -> None:
        self.parent = parent

    def evidence(self, cert: Certificate, issuer: Certificate) -> list[bytes]:
        found = self.parent.ask("revocation", *(base64.b64encode(c.der).decode("ascii") for c in (cert, issuer)))
        return [base64.b64decode(one) for one in found or []]


class _Recognition:
    def __init__(self, parent: _Parent) -> None:
        self.parent = parent

    def judge(self, type_code: str, region: str, matter: str, at: datetime) -> Recognition | None:
        found = self.parent.ask("recognition", type_code, region, matter, at.isoformat())
        return Recognition(**found) if found else None


class _Seen:
    def __init__(self, parent: _Parent) -> None:
        self.parent = parent

    def first(self, token: bytes, until: datetime) -> bool:
        """Whoever remembers nothing cannot call a code new."""
        return self.parent.ask("seen", token.hex(), until.isoformat()) is True


def _times(values: dict[str, Any]) -> dict[str, Any]:
    since = values.get("since")
    return {**values, "since": datetime.fromisoformat(since) if since else None}


class _Stores:
    """The trust store last sent, kept so that it is read once and not for every document."""

    def __init__(self) -> None:
        self.digest = ""
        self.store = TrustStore()

    def take(self, digest: str, text: str | None) -> TrustStore:
        if text is not None:
            self.store = TrustStore.from_json(text)
            self.digest = digest
        elif digest != self.digest:
            raise ChannelClosed
        return self.store


def serve(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Answer verifications until the parent closes the pipe."""
    stores = _Stores()
    policies: dict[str, verification.VerificationPolicy] = {}
    parent = _Parent(incoming, outgoing)
    while True:
        request, document = receive(incoming, MAX_DOCUMENT)
        text = request["policy"]
        policy = policies.setdefault(text, verification.parse(text)) if text not in policies else policies[text]
        allow_cpu(request["cpu_seconds"])
        has = set(request["providers"])
        context = VerificationContext(
            trust=stores.take(request["trust"], request.get("trust_json")),
            at=datetime.fromisoformat(request["at"]) if request["at"] else None,
            offline=request["offline"],
            matter=request["matter"],
            policy=policy,
            revocation=_Revocation(parent) if "revocation" in has else None,
            seals=_Seals(parent) if "seals" in has else None,
            licences=_Licences(parent) if "licences" in has else None,
            impressions=_Impressions(parent) if "impressions" in has else None,
            recognition=_Recognition(parent) if "recognition" in has else None,
            statuses=_Statuses(parent) if "statuses" in has else None,
            seen=_Seen(parent) if "seen" in has else None,
            challenge=request["challenge"],
            glance=request["glance"],
        )
        verdict = verify_bytes(document, name=request["name"], context=context)
        send(outgoing, {"verdict": verdict})


def main() -> None:
    """Entry point; the first argument is the address space in bytes. Standard output is for frames only."""
    limit(int(sys.argv[1]))
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not break the frames
    try:
        serve(sys.stdin.buffer, outgoing)
    except ChannelClosed:
        return
