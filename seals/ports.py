"""What seals need of other rooms, as Protocols: certificates and their evidence (``ca`` fills it) and whoever acts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from ca.ports import Generation as Generation
from ca.schemas import CertificateRecord
from crypto.suites import Suite
from formats.x509 import Certificate, Subject
from seals.evidence import RevocationSource, TimestampSource


class CaConfig(Protocol):
    """``base_url``: where the node is reached."""

    @property
    def base_url(self) -> str: ...


class CaRegister(Protocol):
    """Which role does something for the CA."""

    def role(self, purpose: str, suite: Suite) -> str | None:
        """Such as ``seal_maker``; None where the CA has none."""
        ...


class Certificates(RevocationSource, TimestampSource, Protocol):
    """The part of ``ca.service.CertificateAuthorityService`` that seals use."""

    @property
    def config(self) -> CaConfig: ...
    @property
    def register(self) -> CaRegister: ...
    def issue(
        self, *, profile: str, generation: Generation, subject: Subject, es_id: str | None = None, days: int | None = None
    ) -> Certificate: ...
    def certificates(self, generation_id: str) -> Sequence[Certificate]:
        """Newest first."""
        ...

    def usable(self, generation_id: str, *, es_id: str | None = None) -> Sequence[Certificate]:
        """Good and valid now (for this seal), newest first."""
        ...

    def records(self, *, limit: int = 100, **equals: str) -> Sequence[CertificateRecord]:
        """Certificates with their state, newest first."""
        ...

    def chain(self, certificate: Certificate) -> Sequence[Certificate]:
        """Leaf first, root last."""
        ...

    def hold(self, serial: str | int, *, actor: str, reason: str | None = None) -> object: ...
    def release(self, serial: str | int, *, actor: str, reason: str | None = None) -> object: ...
    def revoke(self, serial: str | int, reason: str, *, actor: str, invalidity_at: datetime | None = None) -> object: ...


class Actor(Protocol):
    """Whoever acts; ``people.schemas.Actor`` fills it."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def roles(self) -> frozenset[str]: ...
    @property
    def departments(self) -> frozenset[str]: ...
    @property
    def region(self) -> str: ...
    @property
    def reach(self) -> frozenset[str]:
        """Own departments, and those of whoever is stood in for 代签授权."""
        ...

    @property
    def every_role(self) -> frozenset[str]:
        """Own and delegated roles."""
        ...


class Sealing(Protocol):
    """The path of a sealed document; ``seals.service.SealService`` is it."""

    def apply(
        self, actor: Actor, document: bytes, *, seal_id: str, placement: None, application: str, attended: bool
    ) -> tuple[dict[str, Any], bytes]:
        """Seal a document as its application says."""
        ...
