"""What the CA needs of others, as Protocols: keys (filled by ``hsm``) and outbound HTTP (filled by ``net``)."""

from __future__ import annotations

from typing import Any, Protocol

from crypto.keys import PublicKey, Signer


class Role(Protocol):
    """A key role, as far as the CA looks at it."""

    @property
    def id(self) -> str: ...


class Generation(Protocol):
    """A key generation, as far as the CA looks at it; ``state`` is staged, active, draining, retired or destroyed."""

    @property
    def id(self) -> str: ...
    @property
    def role_id(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def public_key(self) -> PublicKey: ...


class Keys(Protocol):
    """The part of ``hsm.service.KeyService`` that the CA uses."""

    def create_role(self, purpose: Any, suite: Any, name: str) -> Role: ...
    def stage(self, role_id: str) -> Generation: ...
    def activate(self, generation_id: str) -> Any: ...
    def active(self, role_id: str) -> Generation: ...
    def generation(self, generation_id: str) -> Generation: ...
    def signer(self, generation_id: str, use: Any) -> Signer:
        """``use`` is one of the routine words ``certificate``, ``crl``, ``ocsp``, ``tsa``, ``csr`` here."""
        ...


class Fetcher(Protocol):
    """Outbound HTTP with limits of size, time and address; raises XinyinError."""

    def get(self, url: str) -> bytes: ...
    def post(self, url: str, body: bytes, content_type: str) -> bytes: ...
