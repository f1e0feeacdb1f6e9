"""A founded CA on a fresh SQLite file, with a clock that can be moved, for the tests of the CA."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ca.schemas import CaConfig
from ca.service import CertificateAuthorityService
from crypto.suites import Suite
from formats.x509 import Certificate, Subject
from store.audit import AuditLog
from store.db import Database
from tests.databases import migrated
from tests.software_keys import SoftGeneration, SoftwareKeys


@dataclass
class World:
    home: Path
    keys: SoftwareKeys
    db: Database
    ca: CertificateAuthorityService
    offset: timedelta = field(default_factory=timedelta)

    @classmethod
    def found(cls, home: Path, base_url: str = "http://310000.localhost:8080", db: Database | None = None) -> World:
        db = db or migrated(home / "db.sqlite")
        keys = SoftwareKeys()
        config = CaConfig(region="310000", name="上海市", base_url=base_url)
        world: World
        ca = CertificateAuthorityService(db, keys, config, audit=AuditLog(db, "310000"), now=lambda: world.now())
        world = cls(home, keys, db, ca)
        ca.found()
        return world

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def seal(self, suite: Suite, es_id: str = "31000000000001") -> tuple[SoftGeneration, Certificate]:
        generation = self.keys.new("seal_holder", suite)
        subject = Subject("市场监督管理局公章（样本）", "云江市市场监督管理局", organization_identifier="11310000MB0000000X")
        return generation, self.ca.issue(profile="seal-holder", generation=generation, subject=subject, es_id=es_id)

    def write(self, name: str, data: bytes | str) -> str:
        (self.home / name).write_bytes(data.encode() if isinstance(data, str) else data)
        return name

    def openssl(self, *command: str) -> str:
        """Output of an openssl command that must succeed."""
        done = subprocess.run(["openssl", *command], cwd=self.home, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr
