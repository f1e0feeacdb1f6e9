"""A region whose licences are presented: its listed keys, its status list, a phone with a licence on it, and a counter.

Real keys, lists and signatures throughout; times are those of the clock on the wall, because shown codes know no other.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import codes
from formats.identifiers import LicenceIdentifier
from formats.jose import public_jwk
from formats.statuslist import BadStatusList, StatusList, StatusListToken, read_jwt, sign_jwt
from trust.schemas import ListContent, TrustedEntity
from trust.service import sign_list
from verify.code import verify_code
from verify.schemas import StatusRef, TokenState, VerificationContext
from verify.trust import ServiceType, TrustedService, TrustStore, read_list

DAY = timedelta(days=1)
HOST = "yunjiang.example"
TYPE = "11100000MB0143028R001"
IDENTIFIER = str(LicenceIdentifier.build(type_code=TYPE, issuer_code="11310000MB2F300339", serial="A1"))
LISTS = f"https://{HOST}/status/"


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass
class Region:
    """``states`` are what its status list says at each place; the rest of the list is 0."""

    region: str = "310000"
    host: str = HOST
    states: dict[int, int] = field(default_factory=dict)
    list_age: timedelta = timedelta(0)
    trust_age: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        self.list_key, self.issuer, self.credentials, self.status_key = (SoftwareKey.generate(Suite.P256) for _ in range(4))

    def trust_list(self) -> str:
        kinds = {
            ServiceType.LICENCE_ISSUER: self.issuer,
            ServiceType.CREDENTIAL_ISSUER: self.credentials,
            ServiceType.STATUS_LIST: self.status_key,
        }
        since = now() - 400 * DAY
        services = [
            TrustedService(kind, f"样本 {kind.value}", self.region, jwk=public_jwk(key.public_key), since=since)
            for kind, key in kinds.items()
        ]
        issued = now() - self.trust_age
        entities = [TrustedEntity("样本机关", services)]
        return sign_list(
            ListContent(self.region, "样本", 1, issued, issued + 30 * DAY, entities, domains=(self.host,)), self.list_key
        )

    def trust(self) -> TrustStore:
        return TrustStore([read_list(self.trust_list(), [self.list_key.public_key.fingerprint])])

    def status_list(self) -> str:
        issued = now() - self.list_age
        token = StatusListToken(
            f"https://{self.host}/status/1", issued, StatusList.sparse(1 << 16, self.states, 2), issued + DAY
        )
        return sign_jwt(token, self.status_key, kid="s")

    def place(self, index: int = 7) -> StatusRef:
        return StatusRef(f"https://{self.host}/status/1", index)


@dataclass
class Holding:
    """The status lists that a counter holds: signed, checked against the trust list when they are used."""

    texts: dict[str, str]
    keys: list[Any]
    asked: list[StatusRef] = field(default_factory=list)

    def state(self, ref: StatusRef, at: datetime) -> TokenState | None:
        self.asked.append(ref)
        try:
            held = read_jwt(self.texts.get(ref.uri, ""), self.keys, uri=ref.uri)
            value = held.statuses[ref.index]
        except BadStatusList:
            return None
        return TokenState(value, held.issued, now(), held.expires is not None and at > held.expires, ref.uri)


class Memory:
    """What a counter saw, as long as it could come again."""

    def __init__(self) -> None:
        self.known: dict[bytes, datetime] = {}

    def first(self, token: bytes, until: datetime) -> bool:
        new = token not in self.known
        self.known.setdefault(token, until)
        return new


class Phone:
    """A phone with one licence on it; its key stays in it."""

    def __init__(self, region: Region, /, **changes: Any) -> None:
        self.key = SoftwareKey.generate(Suite.P256)
        self.region = region
        claims = codes.Credential(
            issuer="云江市市场监督管理局", subject=IDENTIFIER, licence_type="营业执照", holder="云江市青禾信息科技有限公司",
            number="91310000MA1FL00000", issued=now() - DAY, expires=now() + 29 * DAY, token_id=secrets.token_bytes(8),
            region=region.region, key=self.key.public_key, role="representative", bearer="样本 李店主", status=region.place(),
            sample=True,
        )  # fmt: skip
        self.claims = replace(claims, **changes)
        self.credential = codes.encode_credential(self.claims, region.credentials)

    def show(self, *, ago: float = 0, challenge: str | None = None, key: SoftwareKey | None = None, host: str = HOST) -> str:
        """The address in its QR code, made ``ago`` seconds before now."""
        at = datetime.now(UTC) - timedelta(seconds=ago)
        return codes.encode_shown(self.credential, key or self.key, host, at=at, challenge=challenge)


class Counter:
    """Who scans: trusts the region, holds its status list as of ``region.status_list()``, remembers what it saw."""

    def __init__(self, region: Region, *, holds: bool = True) -> None:
        texts = {f"https://{region.host}/status/1": region.status_list()} if holds else {}
        self.lists = Holding(texts, [region.status_key.public_key])
        self.memory = Memory()
        self.trust = region.trust()

    def scan(self, text: str, **more: Any) -> dict[str, Any]:
        return verify_code(text, context=self.context(**more))

    def context(self, **more: Any) -> VerificationContext:
        given: dict[str, Any] = {"statuses": self.lists, "seen": self.memory, "trust": self.trust, **more}
        return VerificationContext(**given)


def printed(region: Region, *, host: str = HOST, key: SoftwareKey | None = None, **changes: Any) -> str:
    """The address in a printed code of the region's licence."""
    claims = codes.Claims(
        issuer="云江市市场监督管理局", subject=IDENTIFIER, licence_type="营业执照", holder="云江市青禾信息科技有限公司",
        number="91310000MA1FL00000", issued=now() - DAY, token_id=secrets.token_bytes(8), region=region.region,
        status=region.place(), sample=True,
    )  # fmt: skip
    return codes.encode(replace(claims, **changes), key or region.issuer, host)


def decision(verdict: dict[str, Any]) -> str:
    return str(verdict["answer"]["decision"])


def found(verdict: dict[str, Any]) -> set[str]:
    return {one["code"] for one in verdict["reasons"]}
