"""What the seals need of the rooms above them, as Protocols: keys (filled by ``hsm``) and certificates (filled by ``ca``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from crypto.keys import PublicKey, Signer
from crypto.suites import DigestAlgorithm
from formats.x509 import Certificate, Subject
from store.intents import Attempt


class Role(Protocol):
    """A key role."""

    @property
    def id(self) -> str: ...


class Generation(Protocol):
    """A key generation; ``state`` is staged, active, draining, retired or destroyed."""

    @property
    def id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def public_key(self) -> PublicKey: ...


class Keys(Protocol):
    """The part of ``hsm.service.KeyService`` that seals use."""

    def create_role(self, purpose: Any, suite: Any, name: str) -> Role: ...
    def stage(self, role_id: str) -> Generation: ...
    def activate(self, generation_id: str) -> Any: ...
    def active(self, role_id: str) -> Generation: ...
    def generation(self, generation_id: str) -> Generation: ...
    def signer(self, generation_id: str, use: Attempt | str) -> Signer:
        """``use`` is the attempt for keys that seal or issue, the routine word ``seal-maker`` for that key."""
        ...


class Certificates(Protocol):
    """The part of ``ca.service.CertificateAuthorityService`` that seals use."""

    @property
    def config(self) -> Any:
        """``config.base_url``: where the node is reached."""
        ...

    @property
    def register(self) -> Any:
        """``register.role(purpose, suite)``: the role that does something for the CA, such as ``seal_maker``."""
        ...

    def issue(
        self, *, profile: str, generation: Any, subject: Subject, es_id: str | None = None, days: int | None = None
    ) -> Certificate: ...
    def certificates(self, generation_id: str) -> Sequence[Certificate]:
        """Newest first."""
        ...

    def usable(self, generation_id: str, *, es_id: str | None = None) -> Sequence[Certificate]:
        """Good and valid now (for this seal), newest first."""
        ...

    def records(self, *, limit: int = 100, **equals: str) -> Sequence[Any]:
        """:class:`ca.schemas.CertificateRecord` of certificates, with their state."""
        ...

    def chain(self, certificate: Certificate) -> Sequence[Certificate]:
        """Leaf first, root last."""
        ...

    def hold(self, serial: str | int, *, actor: str, reason: str | None = None) -> Any: ...
    def release(self, serial: str | int, *, actor: str, reason: str | None = None) -> Any: ...
    def revoke(self, serial: str | int, reason: str, *, actor: str, invalidity_at: datetime | None = None) -> Any: ...
    def ocsp_for(self, cert: Certificate) -> bytes | None: ...
    def crl_for(self, cert: Certificate) -> bytes | None: ...
    def timestamp_token(self, digest_alg: DigestAlgorithm, digest: bytes) -> bytes: ...


class Actor(Protocol):
    """Whoever acts; ``people.schemas.Actor`` fills it."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Any: ...
    @property
    def roles(self) -> frozenset[str]: ...
    @property
    def departments(self) -> frozenset[str]: ...
    @property
    def region(self) -> str: ...
