"""The parser's own process: what a document does to it stays there, and a verdict comes back all the same."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from crypto.suites import Suite
from tests.verify_world import World
from verify import worker
from verify.schemas import SealStatus, VerificationContext
from verify.service import verify_bytes
from verify.trust import TrustStore
from verify.worker import IsolatedVerifier

EMPTY = VerificationContext(trust=TrustStore())


@pytest.fixture(scope="module")
def world() -> World:
    return World(Suite.P256)


@pytest.fixture
def verifier() -> Iterator[IsolatedVerifier]:
    made = IsolatedVerifier(1)
    yield made
    made.close()


def test_the_same_verdict_as_in_process(world: World, verifier: IsolatedVerifier) -> None:
    document = world.sealed("LTA")
    context = world.context()
    assert verifier.verify(document, name="a.pdf", context=context) == verify_bytes(document, name="a.pdf", context=context)
    assert verifier.verify(document, name="a.pdf", context=context)["verdict"] == "TOTAL-PASSED"


def test_registers_are_asked_through_the_parent(world: World, verifier: IsolatedVerifier) -> None:
    asked: list[str] = []

    class Register:
        def status(self, es_id: str, at: datetime) -> SealStatus | None:
            asked.append(es_id)
            return SealStatus(es_id, "样本章", "310000", "suspended", at)

    verdict = verifier.verify(world.sealed("B"), name="a.pdf", context=world.context(seals=Register()))
    assert asked
    assert verdict["signatures"][0]["seal"]["status"] == "suspended"
    assert verdict["answer"]["decision"] == "check"


def test_a_killed_process_is_a_verdict_and_the_next_document_is_served(world: World, verifier: IsolatedVerifier) -> None:
    killer = KillWhenAsked(verifier)
    verdict = verifier.verify(world.sealed("B"), name="a.pdf", context=world.context(seals=killer))
    assert (verdict["verdict"], verdict["reasons"][0]["code"]) == ("UNREADABLE", "parser-crashed")
    assert verifier.verify(b"", name="b", context=EMPTY)["reasons"][0]["code"] == "empty"


class KillWhenAsked:
    """A register in whose hands the parser dies, as it would on a memory error in native code."""

    def __init__(self, verifier: IsolatedVerifier) -> None:
        self.verifier = verifier

    def status(self, es_id: str, at: datetime) -> SealStatus | None:
        for process in self.verifier._busy:
            process.process.kill()
            process.process.wait()
        return None


def test_a_document_that_takes_too_long_is_stopped(world: World) -> None:
    class Slow:
        def status(self, es_id: str, at: datetime) -> SealStatus | None:
            time.sleep(3)
            return None

    verifier = IsolatedVerifier(1, wall_seconds=2)
    try:
        started = time.monotonic()
        verdict = verifier.verify(world.sealed("B"), name="a.pdf", context=world.context(seals=Slow()))
        assert time.monotonic() - started < 10
        assert verdict["reasons"][0]["code"] == "too-complex"
    finally:
        verifier.close()


def test_memory_is_bounded() -> None:
    """An object stream that inflates to 900 MiB: QPDF has to unpack it to find the catalogue, and must not get that far."""
    verifier = IsolatedVerifier(1, memory_bytes=700 << 20)
    try:
        small = verifier.verify(_inflating_catalogue(16 << 20), name="small.pdf", context=EMPTY)
        assert small["verdict"] == "NO-SIGNATURE"
        verdict = verifier.verify(_inflating_catalogue(900 << 20), name="bomb.pdf", context=EMPTY)
        assert verdict["verdict"] == "UNREADABLE"
        assert {r["code"] for r in verdict["reasons"]} <= {"too-complex", "parser-crashed", "damaged"}, verdict
        assert verifier.verify(b"", name="b", context=EMPTY)["reasons"][0]["code"] == "empty"
    finally:
        verifier.close()


def _inflating_catalogue(size: int) -> bytes:
    """A PDF of about a megabyte whose catalogue lies at the start of an object stream of ``size`` bytes."""
    engine = zlib.compressobj(9)
    body = engine.compress(b"1 0 2 29 <</Type/Catalog/Pages 2 0 R>><</Type/Pages/Kids[]/Count 0>>")
    body += b"".join(engine.compress(b" " * (16 << 20)) for _ in range(size >> 24)) + engine.flush()
    head = b"%PDF-1.5\n"
    stream = b"3 0 obj\n<</Type/ObjStm/N 2/First 9/Filter/FlateDecode/Length %d>>\nstream\n%s\nendstream\nendobj\n" % (
        len(body),
        body,
    )
    xref_at = len(head) + len(stream)
    entries = [(0, 0, 255), (2, 3, 0), (2, 3, 1), (1, len(head), 0), (1, xref_at, 0)]
    table = b"".join(bytes([kind]) + a.to_bytes(4, "big") + bytes([b]) for kind, a, b in entries)
    xref = b"4 0 obj\n<</Type/XRef/Size 5/Root 1 0 R/W[1 4 1]/Length %d>>\nstream\n%s\nendstream\nendobj\n" % (
        len(table),
        table,
    )
    return head + stream + xref + b"startxref\n%d\n%%%%EOF\n" % xref_at


def test_many_threads_share_few_processes(world: World) -> None:
    verifier = IsolatedVerifier(2)
    document, context = world.sealed("B"), world.context()
    found: list[str] = []

    def one() -> None:
        for _ in range(5):
            found.append(verifier.verify(document, name="a.pdf", context=context)["verdict"])

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verifier.close()
    assert found == ["TOTAL-PASSED"] * 30


def test_a_process_is_replaced_after_its_share_of_documents(verifier: IsolatedVerifier) -> None:
    verifier.documents_a_process = 2
    seen = set()
    for _ in range(4):
        verifier.verify(b"%PDF-1.7 nothing", name="x", context=EMPTY)
        slot = verifier._slots.get()
        seen.add(slot.process.pid if slot else None)
        verifier._slots.put(slot)
    assert None in seen
    assert len(seen) == 3


def test_the_process_has_limits_of_its_own(verifier: IsolatedVerifier) -> None:
    verifier.verify(b"", name="x", context=EMPTY)
    slot = verifier._slots.get()
    assert slot is not None
    limits = Path(f"/proc/{slot.process.pid}/limits").read_text()
    verifier._slots.put(slot)
    found = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert found["Max address space"] == str(worker.MEMORY_BYTES)
    assert found["Max file size"] == found["Max core file size"] == "0"
    assert int(found["Max cpu time"]) <= worker.CPU_SECONDS + 60
