"""A node's database, CA and seal registry on software keys, for the tests of seals and licences."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import licences.models  # noqa: F401 - its tables belong to the database
import seals.models  # noqa: F401
from ca.schemas import CaConfig
from ca.service import CertificateAuthorityService
from crypto.keys import PublicKey, Signer
from crypto.suites import Scheme
from people.schemas import Actor, local_operator
from policies.authorise import Authoriser
from seals.service import SealService
from store.audit import AuditLog
from store.blobs import BlobStore
from store.db import Database
from store.intents import Attempt, IntentService, record_use
from tests.databases import migrated
from tests.software_keys import SoftwareKeys

REGION = "310000"
MARKET = "11310000MB2F30017A"
APPROVALS = "11310000MB2F300255"
OPERATOR = local_operator(REGION)
APPROVAL = (Path(__file__).resolve().parents[2] / "examples" / "approval.pdf").read_bytes()


def staff(name: str, *roles: str, department: str = MARKET) -> Actor:
    return Actor(name, name, frozenset(roles), department, REGION, "staff", frozenset({department}))


@dataclass
class RecordedSigner:
    """Keeps the promise of the token host: a use is written before the key signs."""

    db: Database
    inner: Signer
    generation_id: str
    attempt: Attempt

    @property
    def public_key(self) -> PublicKey:
        return self.inner.public_key

    def sign(self, message: bytes, scheme: Scheme | None = None) -> bytes:
        digest = hashlib.sha256(message).hexdigest()
        self.db.run(lambda s: record_use(s, self.attempt, self.generation_id, digest, now=datetime.now(UTC)))
        return self.inner.sign(message, scheme)


class RecordingKeys(SoftwareKeys):
    """Software keys that refuse to seal or issue outside a living attempt, as the token host does."""

    db: Database

    def signer(self, generation_id: str, use: Any) -> Signer:
        inner = super().signer(generation_id, use)
        purpose = self.roles[self.generations[generation_id].role_id].purpose
        if purpose not in ("seal_holder", "licence_issuer", "credential_issuer"):
            return inner
        assert isinstance(use, Attempt), "a key that seals or issues was asked to sign without an attempt"
        return RecordedSigner(self.db, inner, generation_id, use)


@dataclass
class World:
    """``offset`` moves the clock of every room."""

    home: Path
    mode: str = "development"
    offset: timedelta = field(default_factory=timedelta)
    database: Database | None = None

    def __post_init__(self) -> None:
        self.db = self.database or migrated(self.home / "db.sqlite")
        self.db.migrate()
        self.blobs = BlobStore(self.home / "blobs")
        self.keys = RecordingKeys()
        self.keys.db = self.db
        self.audit = AuditLog(self.db, REGION)
        self.intents = IntentService(self.db, self.blobs, REGION)
        self.authoriser = Authoriser(self.mode)
        config = CaConfig(region=REGION, name="上海市", base_url="http://310000.localhost:8080")
        self.ca = CertificateAuthorityService(self.db, self.keys, config, audit=self.audit, now=self.now)
        self.ca.found()
        self.seals = self.opened_seals()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def opened_seals(self) -> SealService:
        return SealService(
            self.db, self.keys, self.ca, self.intents, self.audit, self.blobs, self.authoriser, REGION, now=self.now
        )

    def seal(self, name: str = "云江市市场监督管理局", **more: Any) -> dict[str, Any]:
        return self.seals.create(OPERATOR, **{"owner_name": name, "owner_uscc": MARKET, **more})
