"""What crosses the HTTP boundary about licences on phones, for the OpenAPI document and for generated clients."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from api.schemas import Open

Role = Literal["representative", "holder", "manager", "staff", "agent"]
Kind = Literal["manager", "staff", "agent"]


class LicenceDisplay(Open):
    """What a phone shows of a licence; the number of a natural person is masked."""

    id: str
    identifier: str
    type: str
    type_name: str
    type_name_en: str
    holder: str
    number: str
    number_label: str
    issuer: str
    region: str
    version: int
    issued_on: datetime
    valid_from: datetime
    valid_to: datetime | None
    personal: bool = Field(description="Its holder is a natural person")
    sample: bool


class Download(BaseModel):
    """Whether the licence may be put on this citizen's phone now; else why not."""

    allowed: bool
    message: str
    message_zh: str


class HeldLicenceOut(LicenceDisplay):
    """A licence that the citizen may use, as what, for which matters and until when."""

    status: str
    state_zh: str
    role: Role
    role_zh: str
    grant: str | None = Field(description="The authorisation it rests on; null for representative and holder")
    matters: list[str] = Field(description="Codes; empty: every matter")
    until: datetime | None
    given_by: str | None
    may_authorise: list[Kind]
    download: Download
    copies: list[str] = Field(description="Copies of it on this citizen's phones")


class ChallengeOut(BaseModel):
    """What the phone's proof must name."""

    nonce: str
    audience: str
    now: datetime
    expires_at: datetime


class StatusOut(BaseModel):
    """Where the copy's state is published (Token Status List)."""

    uri: str
    idx: int


class DownloadedOut(BaseModel):
    """A copy as the phone keeps it."""

    id: str
    sd_jwt: str = Field(description="SD-JWT VC with all its disclosures, without key binding")
    credential: str = Field(description="Compact credential (COSE_Sign1), base64url without padding")
    host: str = Field(description="Where shown codes lead")
    licence: LicenceDisplay
    role: Role
    role_zh: str
    bearer: str
    matters: list[str]
    expires_at: datetime
    renew_from: datetime
    status: StatusOut


class CopyOut(BaseModel):
    """A copy and how it stands, in a word and a sentence; `newer` names the licence's present version where it changed."""

    id: str
    licence: LicenceDisplay
    role: Role
    role_zh: str
    bearer: str
    grant: str | None
    matters: list[str]
    device: str
    phone: str = Field(description="The same for copies on the same phone")
    state: Literal[
        "in-force",
        "not-yet-valid",
        "due",
        "changed",
        "suspended",
        "ended",
        "expired",
        "unauthorised",
        "lapsed",
        "lost",
        "removed",
    ]
    state_zh: str
    sentence: str
    sentence_zh: str
    usable: bool
    renew: bool = Field(description="Renew it while there is a network: POST /wallet/copies with the same key")
    newer: str | None
    issued_at: datetime
    renewed_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    status: StatusOut


class GrantOut(BaseModel):
    """An authorisation 授权; `direction` says whether the citizen gave it, has it, or sees it as the licence's owner."""

    id: str
    status: Literal["active", "expired", "withdrawn"]
    status_zh: str
    licence: str
    licence_type: str
    holder: str
    kind: Kind
    kind_zh: str
    name: str
    matters: list[str]
    until: datetime
    given_by: str
    given_at: datetime
    basis: Literal["phone", "presence"]
    onward: bool = Field(description="Given by a manager")
    direction: Literal["given", "received", "seen"]
    withdrawn_at: datetime | None
    withdrawn_why: str | None
    phones: int = Field(description="On how many phones it is in use")


class MatterOut(BaseModel):
    """Something that licences are shown for."""

    code: str
    zh: str
    en: str
