"""A home with real tokens, wired as a node is, for processes that are to be killed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import people.models  # noqa: F401 - its tables belong to the database
from ca.schemas import CaConfig
from ca.service import CertificateAuthorityService
from hsm.service import KeyService
from hsm.signer import run_signer
from hsm.tokens import init_tokens
from licences.service import LicenceService
from people.schemas import local_operator
from policies.authorise import Authoriser
from seals.sealing import Placement
from seals.service import SealService
from store.audit import AuditLog
from store.blobs import BlobStore
from store.crashpoints import arm
from store.db import Database
from store.intents import IntentService
from tests.databases import migrated

REGION = "310000"
OWNER = "11310000MB2F30017A"
OPERATOR = local_operator(REGION)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass
class Services:
    """What one process opens; ``host=False``: without tokens of its own, through the signer's socket."""

    home: Path
    host: bool = True

    def __post_init__(self) -> None:
        self.db = Database.open(f"sqlite:///{self.home}/db.sqlite")
        self.blobs = BlobStore(self.home / "blobs")
        self.audit = AuditLog(self.db, REGION, witness=self.home / "log" / "checkpoint")
        self.keys = KeyService.open(self.home, self.db, REGION, host=self.host, audit=self.audit)
        config = CaConfig(region=REGION, name="上海市", base_url="http://310000.localhost:8080")
        self.ca = CertificateAuthorityService(self.db, self.keys, config, audit=self.audit)
        intents, authoriser = IntentService(self.db, self.blobs, REGION), Authoriser("development")
        self.seals = SealService(self.db, self.keys, self.ca, intents, self.audit, self.blobs, authoriser, REGION)
        self.licences = LicenceService(self.db, self.keys, self.seals, intents, self.audit, self.blobs, authoriser, REGION)

    def close(self) -> None:
        self.keys.close()
        self.db.close()


def found(home: str) -> None:
    """Tokens, CA, one seal with a key in each suite, and the authority for business licences."""
    migrated(Path(home) / "db.sqlite").close()
    init_tokens(Path(home))
    services = Services(Path(home))
    services.ca.found()
    seal = services.seals.create(OPERATOR, owner_name="云江市市场监督管理局", owner_uscc=OWNER)
    services.licences.appoint(OPERATOR, "business-licence", seal_id=seal["id"])
    (Path(home) / "seal").write_text(seal["id"])
    services.close()


def seal(services: Services, key: str) -> dict[str, Any]:
    """Seal the approval with SM2."""
    seal_id = (services.home / "seal").read_text()
    document = (EXAMPLES / "approval.pdf").read_bytes()
    place = Placement(1, 120.0, 230.0)
    row, _ = services.seals.apply(OPERATOR, document, seal_id=seal_id, suite="sm2", placement=place, idempotency_key=key)
    return row


def issue(services: Services, key: str) -> dict[str, Any]:
    """Issue a business licence."""
    data = json.loads((EXAMPLES / "licence.json").read_text(encoding="utf-8"))
    row, _ = services.licences.issue(OPERATOR, "business-licence", data, idempotency_key=key)
    return row


def make(services: Services, key: str) -> dict[str, Any]:
    """Make another seal, with one key."""
    name = "云江市行政审批局"
    return services.seals.create(OPERATOR, owner_name=name, owner_uscc=OWNER, suites=("p256",), idempotency_key=key)


ACTIONS = {"seal": seal, "issue": issue, "make": make}


def act(
    home: str, action: str, key: str, *, point: str | None = None, nth: int = 1, host: bool = True, answer: str = ""
) -> None:
    """The whole life of a process: open, do, write the answer; killed at ``point`` if one is given."""
    services = Services(Path(home), host)
    if point is not None:
        arm(point, nth)
    result = ACTIONS[action](services, key)
    services.close()
    if answer:
        Path(answer).write_text(json.dumps(result), encoding="utf-8")


def serve_keys(home: str, point: str | None = None, nth: int = 1) -> None:
    """The signer's process."""
    if point is not None:
        arm(point, nth)
    run_signer(Path(home))
