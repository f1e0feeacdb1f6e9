"""What crosses the room's boundary: purposes, states, roles, generations, and the custodian that stands before the keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from crypto.keys import PublicKey
from crypto.suites import Suite
from store.intents import Attempt


class KeyPurpose(StrEnum):
    """What a key role is for (design: Keys, certificates, seals)."""

    root_ca = "root_ca"
    issuing_ca = "issuing_ca"
    ocsp = "ocsp"
    tsa = "tsa"
    seal_maker = "seal_maker"
    seal_holder = "seal_holder"
    licence_issuer = "licence_issuer"
    credential_issuer = "credential_issuer"
    status_list = "status_list"
    trust_list = "trust_list"
    audit_checkpoint = "audit_checkpoint"
    receipt = "receipt"
    drill = "drill"
    """Practice: it signs within intents as keys that seal do, and no seal, issuer or list ever names it."""


class KeyState(StrEnum):
    """Life of a generation; :data:`TRANSITIONS` says what may follow."""

    staged = "staged"
    active = "active"
    draining = "draining"
    retired = "retired"
    destroyed = "destroyed"


TRANSITIONS: dict[KeyState, frozenset[KeyState]] = {
    KeyState.staged: frozenset({KeyState.active, KeyState.destroyed}),
    KeyState.active: frozenset({KeyState.draining, KeyState.retired}),
    KeyState.draining: frozenset({KeyState.retired}),
    KeyState.retired: frozenset({KeyState.destroyed}),
    KeyState.destroyed: frozenset(),
}

Use = Attempt | str
"""Why a key is used: the attempt of an intent, or a routine word such as ``crl``."""


@dataclass(frozen=True)
class KeyRole:
    """``status`` is ``active`` once a generation is, ``staged`` while only a staged one is there, else ``empty`` or
    ``retired``."""

    id: str
    purpose: KeyPurpose
    suite: Suite
    name: str
    status: str
    custody: str
    bits: int


@dataclass(frozen=True)
class Generation:
    """One key; ``key_id`` is its CKA_ID in hex."""

    id: str
    role_id: str
    number: int
    state: KeyState
    public_key: PublicKey = field(repr=False)
    token_label: str
    key_id: str
    custody: str
    purpose: KeyPurpose
    suite: Suite
    created_at: datetime
    activated_at: datetime | None = None
    retired_at: datetime | None = None
    draining_at: datetime | None = None
    destroyed_at: datetime | None = None

    @property
    def status(self) -> str:
        return str(self.state)


class Custodian(Protocol):
    """Whatever stands before the tokens: the signer's client, or the token host in this process."""

    def sign(self, generation_id: str, message: bytes, scheme: str, use: Use) -> bytes:
        """The signature by the key of this generation, verified."""
        ...

    def generate(self, generation_id: str) -> dict[str, Any]:
        """Make the staged generation's key, or find it made: ``{"spki": bytes, "model": str}``."""
        ...

    def destroy(self, generation_id: str) -> int:
        """Destroy a staged or retired generation's key; the number of token objects that went."""
        ...

    def refresh(self, generation_id: str) -> None:
        """Forget what is remembered of a generation: its state changed."""
        ...

    def lend_pin(self, token: str, pin: str, seconds: float) -> None:
        """Let the root CA's token be used for a while with a PIN that an officer typed; no seconds: forget it."""
        ...

    def status(self) -> dict[str, Any]:
        """``{"pid", "library", "token", "model", "profile", "stand_in"}``"""
        ...

    def examine(self) -> list[dict[str, Any]]:
        """The links of ``xinyin doctor`` from library to probe."""
        ...

    def close(self) -> None: ...
