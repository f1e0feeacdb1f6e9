"""A home with tokens and a database, for tests that sign with real keys in a real token."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import hsm.models
from hsm.service import KeyService
from hsm.signer import SignerClient
from hsm.tokens import init_tokens
from store.blobs import BlobStore
from store.db import Database
from store.intents import IntentService
from tests.databases import migrated

REGION = "310000"
assert hsm.models  # its tables belong to the metadata


class Home:
    """``keys`` opens tokens in this process (or talks to the signer that runs)."""

    def __init__(self, path: Path, *, node: str = "", database: str = "") -> None:
        path.mkdir(parents=True, exist_ok=True)
        url = database or f"sqlite:///{path / 'db.sqlite'}"
        lines = [f'region = "{REGION}"', 'name = "测试"', 'mode = "development"', f'database = "{url}"', node]
        (path / "node.toml").write_text("\n".join(lines), encoding="utf-8")
        init_tokens(path)
        self.path = path
        self.db = Database.open(url) if database else migrated(path / "db.sqlite")
        self.db.migrate()
        self.keys = KeyService.open(path, self.db, REGION)
        self.intents = IntentService(self.db, BlobStore(path / "blobs"), REGION)

    def active(self, purpose: str, suite: str, name: str = "test", **more: object) -> str:
        """The identifier of an active key, made if need be."""
        role = self.keys.create_role(purpose, suite, name, **more)  # type: ignore[arg-type]
        if role.status != "active":
            self.keys.activate(self.keys.stage(role.id).id)
        return self.keys.active(role.id).id

    def close(self) -> None:
        self.keys.close()
        self.db.close()


def start_signer(home: Path, *, wait: bool = True, code: str = "") -> subprocess.Popen[bytes]:
    """The signer as a process of its own; ``code`` runs in it first (to arm a crash point)."""
    program = f"{code}\nimport sys\nfrom pathlib import Path\nfrom hsm.signer import run_signer\nrun_signer(Path(sys.argv[1]))"
    root = str(Path(__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    process = subprocess.Popen([sys.executable, "-c", program, str(home)], env=environment, cwd=root)
    deadline = time.monotonic() + 60
    while wait and not SignerClient.answers(home):
        assert process.poll() is None, "the signer ended"
        assert time.monotonic() < deadline, "the signer does not answer"
        time.sleep(0.05)
    return process
