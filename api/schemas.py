"""What crosses the HTTP boundary, for the OpenAPI document and for generated clients."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class Open(BaseModel):
    """An object that may say more than its named members: clients ignore what they do not know."""

    model_config = ConfigDict(extra="allow")


class Page(BaseModel, Generic[Item]):
    """One page of a list; ``next`` is the ``cursor`` of the following page, null at the end."""

    items: list[Item]
    next: str | None = None


class Part(BaseModel):
    """One of the four parts of an answer."""

    state: Literal["ok", "doubt", "bad", "none"]
    message: str
    message_zh: str


class Answer(BaseModel):
    """What a clerk needs: whether to accept, why, and what to do next."""

    decision: Literal["accept", "check", "refuse"]
    document: Part
    seal: Part
    licence: Part
    matter: Part
    next_step: str
    next_step_zh: str


class Reason(Open):
    """Why the verdict is what it is; ``code`` is stable."""

    code: str
    message: str
    message_zh: str


class SignerOut(Open):
    """The signing certificate, in brief."""

    subject: str
    issuer: str
    serial: str


class SealOfSignature(Open):
    """The seal that a signature belongs to."""

    id: str
    name: str | None = None
    region: str | None = None
    status: str | None = None


class SignatureOut(Open):
    """One signature of the document."""

    field: str | None = None
    format: str
    algorithm: str | None = None
    indication: Literal["TOTAL-PASSED", "INDETERMINATE", "TOTAL-FAILED"]
    sub_indication: str | None = None
    reasons: list[Reason]
    intact: bool
    covers_whole_file: bool
    changes_after: Literal["none", "permitted", "annotation", "undefined"]
    signer: SignerOut | None
    claimed_time: datetime | None = None
    proven_time: datetime | None = None
    seal: SealOfSignature | None = None
    chain: list[Any] = []
    recognition: dict[str, Any] | None = None


class PresentationOut(Open):
    """How a licence was presented, by whom and for what: on paper, on a phone or as a credential."""

    kind: Literal["printed", "annotated", "shown", "credential"]
    copy_id: str | None = Field(default=None, alias="copy")
    shown_at: datetime | None = None
    bearer: str | None = None
    bearer_role: Literal["representative", "holder", "manager", "staff", "agent"] | None = None
    matters: list[str] = []
    purpose: str | None = None
    purpose_until: datetime | None = None
    purpose_matter: str | None = None
    challenge: str | None = None


class VerdictOut(Open):
    """A verdict, the same object as ``xinyin verify --json`` prints."""

    file: str
    verdict: Literal["TOTAL-PASSED", "INDETERMINATE", "TOTAL-FAILED", "NO-SIGNATURE", "UNREADABLE"]
    sub_indication: str | None = None
    answer: Answer
    reasons: list[Reason]
    signatures: list[SignatureOut]
    licence: dict[str, Any] | None = None
    presentation: PresentationOut | None = None
    trust: dict[str, Any]
    engine: dict[str, Any]


class ScanOut(BaseModel):
    """Whether a camera's frame showed a licence code, and the verdict on it."""

    found: bool
    verdict: VerdictOut | None = None


class ReceiptOut(Open):
    """A signed receipt 核验回执; ``jws`` is the receipt, ``claims`` what it says."""

    id: str
    status: str
    at: datetime
    organ: str
    decision: Literal["accept", "check", "refuse"]
    matter: str | None = None
    channel: str
    claims: dict[str, Any]
    jws: str


class CheckedReceiptOut(Open):
    """What a genuine receipt says, and whose listed key signed it."""

    id: str
    status: Literal["genuine"]
    signed_by: str
    region: str
    issued_at: datetime


class ProvisionalOut(Open):
    """Going on with something outstanding 容缺受理. ``status``: waiting, confirmed, refused, fulfilled or overdue."""

    id: str
    status: Literal["waiting", "confirmed", "refused", "fulfilled", "overdue"]
    receipt: str
    slip: str
    bring: str
    until: datetime


class SlipOut(Open):
    """What the applicant's slip says; nothing about persons."""

    code: str
    organ: str
    status: str
    matter: str | None = None
    bring: str | None = None
    until: datetime | None = None


class UseOut(Open):
    """One use of a licence: by which organ, for what."""

    id: str
    status: str
    licence: str
    organ: str
    region: str
    matter: str | None = None
    at: datetime


class Health(BaseModel):
    """``status`` is ``ok`` or ``failing``; ``checks`` name what was looked at."""

    status: Literal["ok", "failing"]
    checks: list[dict[str, Any]] = Field(default_factory=list)


class SealOut(Open):
    """A seal of the register. ``status``: in-force, suspended, revoked or expired."""

    id: str
    es_id: str
    name: str
    status: str


class ImpressionOut(Open):
    """One use of a seal. ``status``: valid, voided or replaced."""

    id: str
    seal_id: str
    status: str
    document_url: str | None = None


class StepOut(Open):
    """One step of an application; `state`: done, current, waiting, skipped, returned or refused."""

    step: str
    state: str
    department_name: str | None = None
    who_name: str | None = None
    since: datetime | None = None
    at: datetime | None = None


class ApplicationOut(Open):
    """An application. `status`: submitted, returned, signed-off, sealed, delivered, refused, withdrawn or used."""

    id: str
    status: str
    purpose: str
    title: str = ""
    number: str | None = None
    matter: str = "default"
    copies: int = 1
    department: str = ""
    steps: list[StepOut] = []
    documents: list[dict[str, Any]] = []
    waiting: dict[str, Any] | None = None
    round: int = 1
    content_sha256: str | None = None
    returned_reason: str | None = None
    track_code: str = ""
    can: list[str] = Field(default_factory=list, description="What the caller may do now; only where one is shown")


class MatterOut(Open):
    """A matter and the steps that it needs."""

    id: str
    name: str
    name_zh: str
    steps: list[str]


class RegisterOut(Open):
    """One use of a seal with the application behind it."""

    id: str
    status: str
    created_at: datetime
    seal_id: str
    seal_name: str


class TrackOut(Open):
    """How an application stands, in words, for the applicant."""

    code: str
    status: str
    words: str
    words_zh: str


class LicenceTypeOut(Open):
    """A type of licence that this node can issue, with its fields."""

    type: str
    name: str
    name_en: str
    code: str


class LicenceOut(Open):
    """A licence and its state."""

    id: str
    identifier: str
    type: str
    status: str
    document_url: str | None = None


class AnnotatedCopyOut(Open):
    """A copy of a licence for one purpose 加注件; `holder` is masked where it is a person."""

    id: str
    status: str = Field(description="in-force, expired, withdrawn, or licence- and the state of the licence")
    status_zh: str
    licence: str
    identifier: str
    type: str
    type_name: str
    holder: str
    purpose: str
    matter: str | None
    until: datetime
    maker: str
    channel: str
    check_code: str = Field(description="查验码 in groups, as printed")
    created_at: datetime
    withdrawn_at: datetime | None
    document_sha256: str
    impression: str
    sample: bool
    document_url: str | None = None


class LeafOut(Open):
    """One entry of the audit log; ``seq`` is null while it waits for the sequencer."""

    id: str
    seq: int | None = None
    at: datetime
    kind: str
    actor: str
    rule: str | None = None
    subject: dict[str, Any]
    data: dict[str, Any]


class LogStateOut(Open):
    """How the audit log stands; ``checkpoint`` is the newest signed one."""

    size: int
    pending: int
    alarm: bool
    checkpoint: dict[str, Any] | None = None


class LogCheckOut(Open):
    """A check of the whole log. ``status``: running, whole, damaged or failed."""

    status: Literal["running", "whole", "damaged", "failed"]
    done: int
    total: int
    findings: list[dict[str, Any]]


class TraceOut(Open):
    """Where a document comes from. ``status``: sealed, original, unsealed, unknown, or doubtful where something disagrees."""

    status: Literal["sealed", "original", "unsealed", "unknown", "doubtful"]
    message: str
    message_zh: str
    asked: dict[str, Any]
    uses: list[dict[str, Any]]


class TrustListOut(Open):
    """A trust list that this node holds. ``status``: current, stale, closed or refused; ``id`` is the fingerprint of its key.

    ``url``, ``asked`` and ``answered`` say where another region's list comes from, when it was last asked for and when that
    last went well; ``problem`` is what was wrong the last time.
    """

    id: str | None
    status: str
    region: str | None = None
    name: str | None = None
    sequence: int | None = None
    issued: datetime | None = None
    next_update: datetime | None = None
    own: bool = False
    url: str | None = None
    asked: datetime | None = None
    answered: datetime | None = None
    problem: str | dict[str, Any] | None = None


class SubscriptionOut(Open):
    """A system's subscription. ``status``: active or ended."""

    id: str
    status: str
    account: str
    url: str
    audience: str
    kinds: list[str]


class DeliveryOut(Open):
    """One event on its way to one receiver. ``status``: waiting, delivered or dead; ``id`` is the token's ``jti``."""

    id: str
    status: str
    event: str
    kind: str
    attempts: int
    error: str | None = None


class EventOut(Open):
    """Something that happened. ``seq`` grows by one an event of the region; null until the worker has numbered it."""

    id: str
    seq: int | None = None
    at: datetime
    kind: str
    department: str | None = None
    matter: str | None = None
    subject: dict[str, str]
    data: dict[str, Any]


class KeySetOut(BaseModel):
    """A JWK set (RFC 7517 §5)."""

    keys: list[dict[str, Any]]


class CredentialIssuerOut(BaseModel):
    """JWT VC issuer metadata (SD-JWT VC)."""

    issuer: str
    jwks: KeySetOut
