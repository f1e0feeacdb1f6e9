"""What crosses the boundary of the CA."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crypto.suites import Suite
from formats.x509 import Certificate

REVOCATION_REASONS = (
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)
"""Reasons an end certificate of ours can be revoked for (RFC 5280 §5.3.1); the others speak of CAs or of holds."""


@dataclass(frozen=True)
class CaConfig:
    """How this node's CA is set up.

    :param base_url: where the node is reached
    :param status_url: where ``/ocsp``, ``/crl`` and ``/ca`` are reached by plain HTTP, as certificates must name them (RFC 5280
        §8: over HTTPS one would need the answer to get the answer); by default ``base_url`` with http for https
    :param sample: outside production every name says 样本
    :param policies: certificate policy OIDs of the operator; none are invented here
    :param evidence_age: OCSP answers that go into documents are at most this old: what a document carries for decades should
        speak of the time of its signature, and still cost at most one token signature an hour and certificate
    :param timestamp_policy: policy OID in timestamp tokens (RFC 3161 §2.4.2 demands one)
    :param outside_timestamps: URL of an outside TSA to be used instead of our own units
    """

    region: str
    name: str
    base_url: str
    sample: bool = True
    suites: tuple[Suite, ...] = (Suite.SM2, Suite.RSA, Suite.P256)
    crl_validity: timedelta = timedelta(days=7)
    root_crl_validity: timedelta = timedelta(days=365)
    ocsp_validity: timedelta = timedelta(days=4)
    evidence_age: timedelta = timedelta(hours=1)
    policies: tuple[str, ...] = ()
    timestamp_policy: str = "2.25.216312013927862138561233019127360814347"
    timestamp_accuracy_s: int = 1
    outside_timestamps: str | None = None
    status_url: str | None = None

    @property
    def status_base(self) -> str:
        """What addresses in certificates begin with; no slash at its end."""
        plain = re.sub(r"^https://", "http://", self.base_url)
        return (self.status_url or plain).rstrip("/")


@dataclass(frozen=True)
class CertificateRecord:
    """A certificate with its state: what lists and pages show. ``status`` is good, hold, revoked or expired."""

    id: str
    origin: str
    authority: str | None
    serial: str
    generation_id: str | None
    profile: str
    subject: str
    issuer: str
    es_id: str | None
    not_before: datetime
    not_after: datetime
    status: str
    reason: str | None
    revoked_at: datetime | None
    invalidity_at: datetime | None
    certificate: Certificate = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; times in RFC 3339 UTC."""
        made: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime):
                made[name] = value.isoformat(timespec="seconds").replace("+00:00", "Z")
            elif not isinstance(value, Certificate):
                made[name] = value
        made["sha256"] = self.certificate.sha256
        return made


@dataclass(frozen=True)
class Authority:
    """A root or issuing CA: one key, one name, one CRL."""

    name: str
    kind: str
    suite: Suite
    number: int
    status: str
    generation_id: str
    parent: str | None
    certificate: Certificate = field(repr=False)


@dataclass
class RefreshReport:
    """What :meth:`ca.service.CertificateAuthorityService.refresh` did, and what it could not do."""

    crls: list[str] = field(default_factory=list)
    answers: int = 0
    responders: list[str] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
