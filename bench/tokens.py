"""Keys in the token: signatures in the process that holds it and through the signer's socket, and seals up to the result.

A home is made for it, with the development token underneath: the figures are those of SoftHSM2, which a real HSM
replaces, and what the rooms add is the same.
"""

from __future__ import annotations

import hashlib
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from bench.measure import Job, Row, in_turns, rates_in_turns
from bench.peer import PyHanko
from bench.sealing import MESSAGE, Replay, document
from ca.schemas import CaConfig
from ca.service import CertificateAuthorityService
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from hsm.schemas import KeyPurpose
from hsm.service import KeyService
from hsm.signer import SignerClient
from hsm.tokens import init_tokens
from people.schemas import local_operator
from policies.authorise import Authoriser
from seals.sealing import Placement, seal_pdf
from seals.service import SealService
from store.audit import AuditLog
from store.blobs import BlobStore
from store.db import Database
from store.intents import Attempt, IntentService, Outcome, record_use
from tests.pdf_pki import material

REGION = "310000"
_NAMES = {Suite.RSA: "RSA-2048", Suite.P256: "P-256", Suite.SM2: "SM2"}


class Home:
    """The rooms of a node that sealing needs, on a database and tokens of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        init_tokens(folder)
        self.db = Database.open(f"sqlite:///{folder / 'db.sqlite'}")
        self.db.migrate()
        self.blobs = BlobStore(folder / "blobs")
        self.audit = AuditLog(self.db, REGION)
        self.intents = IntentService(self.db, self.blobs, REGION)
        self.keys = KeyService.open(folder, self.db, REGION)

    def seals(self) -> SealService:
        """The seal registry, on CAs of its own."""
        ca: Any = CertificateAuthorityService(
            self.db, self.keys, CaConfig(REGION, "上海市", "http://310000.localhost:8080"), audit=self.audit
        )
        ca.found()
        authoriser = Authoriser("development")
        return SealService(self.db, self.keys, ca, self.intents, self.audit, self.blobs, authoriser, REGION)

    def key(self, suite: Suite) -> str:
        """Generation of a key that signs anything as a receipt."""
        role = self.keys.create_role(KeyPurpose.receipt, suite, "bench")
        if not self.keys.generations(role.id):
            self.keys.activate(self.keys.stage(role.id).id)
        return self.keys.active(role.id).id


@contextmanager
def home() -> Iterator[Home]:
    """A home for the measurement, thrown away afterwards."""
    with tempfile.TemporaryDirectory(prefix="xinyin-bench-") as folder:
        made = Home(Path(folder))
        try:
            yield made
        finally:
            made.keys.close()
            made.db.close()


# --- signatures ---------------------------------------------------------------------------------------------------------------


def rows(seconds: float) -> Iterator[Row]:
    """Each suite on one and on four threads, in process and through the socket; every signature verified before it counts."""
    with home() as held, home() as served:
        # Held first: SoftHSM2 serves one store a process, a second home's tokens are opened in a child.
        ours = {suite: held.key(suite) for suite in Suite}
        generations = {suite: served.key(suite) for suite in Suite}
        served.keys.close()
        with _signer_process(served.folder):
            keys = KeyService.open(served.folder, served.db, REGION, host=False)
            for suite in Suite:
                inside, outside = held.keys.signer(ours[suite], "receipt"), keys.signer(generations[suite], "receipt")
                yield from _one_suite(suite, partial(inside.sign, MESSAGE), partial(outside.sign, MESSAGE), seconds)
            keys.close()


def _one_suite(suite: Suite, inside: Job, outside: Job, seconds: float) -> Iterator[Row]:
    software = partial(SoftwareKey.generate(suite).sign, MESSAGE)
    jobs: dict[str, tuple[Job, int]] = {
        "software": (software, 1),
        "one": (inside, 1),
        "four": (inside, 4),
        "socket one": (outside, 1),
        "socket four": (outside, 4),
    }
    took = rates_in_turns(jobs, seconds)
    name = _NAMES[suite]
    yield Row("token", f"{name}, 1 thread", took["one"], "the same in software, unchecked", took["software"])
    yield Row("token", f"{name}, 4 threads", took["four"], "1 thread", took["one"])
    yield Row("token", f"{name}, 1 thread, signer's socket", took["socket one"], "without the socket", took["one"])
    yield Row("token", f"{name}, 4 threads, signer's socket", took["socket four"], "without the socket", took["four"])


@contextmanager
def _signer_process(folder: Path) -> Iterator[None]:
    """The signer as it runs in earnest: a process of its own."""
    command = [sys.executable, "-m", "hsm.signer", "--with-parent", str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stderr)
    try:
        for _ in range(200):
            if SignerClient.answers(folder) or process.poll() is not None:
                break
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=20)


# --- seals --------------------------------------------------------------------------------------------------------------------


def sealing_rows(seconds: float) -> Iterator[Row]:
    """From request to result, 1 and 20 pages: authorised, intended, signed in the token, checked, committed, on disk."""
    with home() as node:
        seals = node.seals()
        seal = seals.create(local_operator(REGION), owner_name="云江市市场监督管理局", owner_uscc="11310000MB2F30017A")
        for suite, pages in ((Suite.RSA, 1), (Suite.RSA, 20), (Suite.SM2, 20)):
            yield from _one_size(node, partial(_apply, seals, seal["id"], suite), suite, pages, seconds)
        apply = partial(_apply, seals, seal["id"], Suite.RSA, document(20), Placement(20, 105, 200))
        took = rates_in_turns({"one": (apply, 1), "four": (apply, 4)}, seconds)
        case = "PDF of 20 pages, RSA-2048 in the token, request to result, 4 callers"
        yield Row("sealing", case, took["four"], "1 caller", took["one"], "wall time over seals made")


def _apply(seals: SealService, seal_id: str, suite: Suite, data: bytes, place: Placement) -> object:
    return seals.apply(local_operator(REGION), data, seal_id=seal_id, suite=suite.value, placement=place)


def _one_size(node: Home, apply: Callable[..., object], suite: Suite, pages: int, seconds: float) -> Iterator[Row]:
    data, place = document(pages), Placement(pages, 105, 200)
    jobs = _parts(node, suite, data, place) | {"ours": partial(apply, data, place)}
    if suite is Suite.RSA:
        jobs["pyHanko"] = partial(PyHanko(material(Suite.RSA), page=pages, style="text").seal, data)
    took = in_turns(jobs, seconds, clock=time.perf_counter)
    case = f"PDF of {pages} page{'s' if pages > 1 else ''}, {_NAMES[suite]} in the token, request to result"
    parts = {name: took[name] for name in ("signature", "writing", "rows")}
    note = " + ".join(f"{name} {value:.2f}" for name, value in parts.items()) + " ms (the signature with its check)"
    if suite is Suite.RSA:
        other = "pyHanko signs in software and keeps no records"
        yield Row("sealing", case, took["ours"], "pyHanko, best path (text stamp)", took["pyHanko"], other)
    yield Row("sealing", case, took["ours"], "sum of its parts", sum(parts.values()), note)


def _parts(node: Home, suite: Suite, data: bytes, place: Placement) -> dict[str, Job]:
    """Each part alone: signature (token and check), writing (no arithmetic), rows (intent, use, audit leaf, blobs)."""
    ready = replace(material(suite), signer=Replay(material(suite)))
    kind: Any = "gm" if suite is Suite.SM2 else "pades"
    generation = node.key(suite)
    sealed = seal_pdf(data, ready, place, when=datetime.now(UTC), format=kind).data
    return {
        "signature": partial(node.keys.signer(generation, "receipt").sign, MESSAGE),
        "writing": lambda: seal_pdf(data, ready, place, when=datetime.now(UTC), format=kind).data,
        "rows": lambda: _rows_alone(node, generation, data, sealed),
    }


def _rows_alone(node: Home, generation: str, data: bytes, sealed: bytes) -> None:
    """What the path keeps of one seal: document and result as blobs, intent, attempt, key use, result, audit leaf."""
    different = sealed + secrets.token_bytes(16)  # a blob that is there already costs nothing
    node.blobs.put(data)

    def work(attempt: Attempt) -> Outcome:
        digest = hashlib.sha256(different).hexdigest()
        node.db.run(lambda session: record_use(session, attempt, generation, digest, now=datetime.now(UTC)))
        return Outcome(artefact=different)

    def commit(session: Session, outcome: Outcome, attempt: Attempt) -> dict[str, Any]:
        node.audit.append(session, kind="bench", actor="bench", subject={"document": str(outcome.blob)}, data={"pages": 1})
        return {"id": attempt.intent_id}

    node.intents.perform(
        account="bench", operation="bench", key=None, request_digest=hashlib.sha256(different).hexdigest(),
        subject={"document": "bench"}, generation_ids=[generation], work=work, commit=commit,
    )  # fmt: skip
