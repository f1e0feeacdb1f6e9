"""What crosses the verifier's boundary: indications, the context of a verification, and the Protocols that others fill."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from formats.dates import shown_time
from formats.statuslist import StatusRef as StatusRef
from policies import verification as policy_files
from policies.recognised import Recognition as Recognition
from policies.verification import VerificationPolicy

if TYPE_CHECKING:
    from formats.x509 import Certificate
    from verify.trust import TrustStore


class Verdict(StrEnum):
    """What the verifier says of a file; the first three are also the indications of a signature (EN 319 102-1 §5.1.2)."""

    TOTAL_PASSED = "TOTAL-PASSED"
    INDETERMINATE = "INDETERMINATE"
    TOTAL_FAILED = "TOTAL-FAILED"
    NO_SIGNATURE = "NO-SIGNATURE"
    UNREADABLE = "UNREADABLE"


EXIT_STATUS: dict[str, int] = {
    Verdict.TOTAL_PASSED: 0,
    Verdict.INDETERMINATE: 10,
    Verdict.TOTAL_FAILED: 20,
    Verdict.NO_SIGNATURE: 30,
    Verdict.UNREADABLE: 40,
}
DECISION_EXIT_STATUS = {"accept": 0, "check": 10, "refuse": 20}
_WORST_FIRST = (20, 40, 30, 10, 0)


def exit_status(verdicts: list[dict[str, Any]], *, decide: bool = False) -> int:
    """Exit status of ``xinyin verify``: of several files the worst counts (20, 40, 30, 10, 0 in that order).

    :param decide: follow the answer (accept 0, check 10, refuse 20) instead of the verdict
    """
    if decide:
        statuses = {DECISION_EXIT_STATUS[v["answer"]["decision"]] for v in verdicts}
    else:
        statuses = {EXIT_STATUS[v["verdict"]] for v in verdicts}
    return next((status for status in _WORST_FIRST if status in statuses), 0)


@dataclass(frozen=True)
class SealStatus:
    """State of a seal at a time, as its register or a signed status list tells it.

    ``keys`` are the fingerprints (SHA-256 of SubjectPublicKeyInfo, hex) of the keys that were ever the seal's; empty where the
    source does not tell.
    """

    id: str
    name: str
    region: str
    status: str  # in-force | suspended | revoked | expired
    since: datetime | None = None
    source: str = ""
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class LicenceStatus:
    """State of a licence at a time: in-force | suspended | withdrawn | expired | superseded; ``state_zh`` e.g. 撤销.

    ``documents`` are the SHA-256 digests (hex) of what was issued as this licence; empty where the source does not tell.
    """

    identifier: str
    type_name: str
    status: str
    state_zh: str = ""
    since: datetime | None = None
    region: str = ""
    source: str = ""
    documents: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImpressionStatus:
    """Public state of one sealed document: valid | voided | replaced."""

    status: str
    since: datetime | None = None
    reason: str = ""
    replaced_by: str | None = None


class SealStatusProvider(Protocol):
    """Who can tell the state of a seal."""

    def status(self, es_id: str, at: datetime) -> SealStatus | None: ...


class LicenceStatusProvider(Protocol):
    """Who can tell the state of a licence."""

    def status(self, identifier: str, at: datetime) -> LicenceStatus | None: ...


class ImpressionStatusProvider(Protocol):
    """Who can tell whether one sealed document still stands. ``document_sha256`` is of the revision a signature covers."""

    def status(self, document_sha256: str) -> ImpressionStatus | None: ...


TOKEN_STATES = {0: "in-force", 1: "withdrawn", 2: "suspended", 3: "superseded"}
"""Values of two bits: 0 valid, 1 invalid, 2 suspended (§7.1 of the draft), 3 ours: replaced by a newer version."""


@dataclass(frozen=True)
class TokenState:
    """What a status list says of one place in it.

    :ivar value: 0–3, see :data:`TOKEN_STATES`
    :ivar as_of: when the list was signed
    :ivar fetched: when this node last got it; None for a register of one's own
    :ivar stale: past its ``exp``: the last good list, older than its maker wants it used
    """

    value: int
    as_of: datetime
    fetched: datetime | None = None
    stale: bool = False
    source: str = ""

    @property
    def status(self) -> str:
        """In the words of :class:`LicenceStatus`."""
        return TOKEN_STATES.get(self.value, "withdrawn")


class StatusListProvider(Protocol):
    """Who can tell what the list at an address says; None where no good list is held. Follows listed hosts only."""

    def state(self, ref: StatusRef, at: datetime) -> TokenState | None: ...


class SeenCodes(Protocol):
    """Who remembers shown codes for as long as they could be shown again."""

    def first(self, token: bytes, until: datetime) -> bool:
        """Whether ``token`` is seen for the first time; it is remembered until then."""
        ...


class RevocationProvider(Protocol):
    """Who can fetch revocation evidence: DER of OCSPResponses or CRLs, none if there is none to be had."""

    def evidence(self, cert: Certificate, issuer: Certificate) -> list[bytes]: ...


class RecognitionProvider(Protocol):
    """Who knows whether a region's documents of a type are recognised for a matter; None where it cannot tell at all."""

    def judge(self, type_code: str, region: str, matter: str, at: datetime) -> Recognition | None: ...


@dataclass
class VerificationContext:
    """All that a verification may lean on besides the bytes.

    ``at`` is the time asked about (None: now); ``offline`` keeps the revocation provider from being asked.
    """

    trust: TrustStore
    at: datetime | None = None
    offline: bool = False
    revocation: RevocationProvider | None = None
    seals: SealStatusProvider | None = None
    licences: LicenceStatusProvider | None = None
    impressions: ImpressionStatusProvider | None = None
    recognition: RecognitionProvider | None = None
    statuses: StatusListProvider | None = None
    seen: SeenCodes | None = None
    challenge: str | None = None
    """What the verifier asked the holder to type (对口令), where it did: a shown code must then carry it."""
    glance: bool = False
    """A picture is one of many that a camera sends: one look at it is enough."""
    matter: str | None = None
    policy: VerificationPolicy = field(default_factory=policy_files.load)

    def time(self) -> datetime:
        """The time asked about, in UTC."""
        return (self.at or datetime.now(UTC)).astimezone(UTC)


def rfc3339(moment: datetime | None) -> str | None:
    """``2026-11-21T22:30:17Z``; None stays None."""
    return shown_time(moment) if moment else None
