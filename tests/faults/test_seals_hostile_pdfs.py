"""Damaged and hostile documents: a sealed document that holds, or a refusal by name, and soon."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from io import BytesIO
from pathlib import Path

import pikepdf
import pytest

from crypto.errors import XinyinError
from crypto.suites import Suite
from formats.pdf.errors import DamagedAndSigned, DamagedBeyondRepair, NotAPdf
from seals import pyhanko_path
from seals.sealing import CentrePlacement, seal_pdf
from tests import pdf_judges, pdf_samples
from tests.pdf_pki import NOW, material, pki

WORDS = [b"/Kids", b"/Count", b"/Type", b"/Annots", b"/AcroForm", b"/Length", b"obj", b"endobj", b"<<", b">>", b"[", b"]", b"R"]
WORDS += [
    b"/Prev",
    b"/Size",
    b"startxref",
    b"xref",
    b"9999999999",
    b"-1",
    b"/Fields",
    b"(",
    b")",
    b"stream",
    b"/Root",
    b"trailer",
]
SECONDS = 40


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cut out, doubled, or exchanged for words that mean something in a PDF."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        at = rng.randrange(len(out))
        kind = rng.randrange(6)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            del out[at : at + rng.randrange(1, 50)]
        elif kind == 2:
            out[at:at] = rng.choice(WORDS)
        elif kind == 3:
            word = rng.choice(WORDS)
            found = out.find(word, at)
            if found >= 0:
                out[found : found + len(word)] = rng.choice(WORDS)
        elif kind == 4:
            out[at:at] = out[rng.randrange(len(out)) :][:200]
        elif rng.random() < 0.2:
            del out[at:]
        if not out:
            return b"%PDF-1.7"
    return bytes(out)


def samples() -> list[bytes]:
    plain = pdf_samples.plain(3)
    return [plain, pdf_samples.plain(3, streams=True), seal_pdf(plain, material(), CentrePlacement(2), when=NOW).data]


@pytest.mark.slow
def test_mutated_documents_are_sealed_soundly_or_refused_by_name(tmp_path: Path) -> None:
    rng = random.Random(20261121)
    bases = samples()
    outcomes: Counter[str] = Counter()
    for _ in range(150):
        data = mutated(rng.choice(bases), rng)
        started = time.perf_counter()
        try:
            sealed = seal_pdf(data, material(), CentrePlacement(1), when=NOW)
        except XinyinError as exc:
            outcomes[exc.code] += 1
            continue
        finally:
            assert time.perf_counter() - started < SECONDS
        outcomes[sealed.writer] += 1
        (tmp_path / "sealed.pdf").write_bytes(sealed.data)
        # A signature that was there before may have been hit; ours is the last and must hold.
        assert pdf_judges.pdfsig(tmp_path / "sealed.pdf")[-1], outcomes
    assert outcomes["fast"] > 10
    assert outcomes["fast+repaired"] > 10


def test_a_damaged_document_is_repaired_and_says_so(tmp_path: Path) -> None:
    broken = pdf_samples.plain(2).replace(b"startxref", b"startxxxx")
    sealed = seal_pdf(broken, material(), CentrePlacement(2), when=NOW)
    assert sealed.writer == "fast+repaired"
    (tmp_path / "after.pdf").write_bytes(sealed.data)
    assert pdf_judges.pdfsig(tmp_path / "after.pdf") == [True]
    with pikepdf.open(BytesIO(sealed.data)) as pdf:
        assert len(pdf.pages) == 2


def test_a_damaged_document_that_is_signed_is_never_rewritten() -> None:
    signed = seal_pdf(pdf_samples.plain(2), material(), CentrePlacement(2), when=NOW).data
    at = signed.rfind(b"startxref")
    with pytest.raises(DamagedAndSigned):
        seal_pdf(signed[:at] + b"startxxxx" + signed[at + 9 :], material(), CentrePlacement(1), when=NOW)


@pytest.mark.parametrize(
    "data", [b"", b"%PDF-1.7", b"%PDF-1.7\n" + b"[" * 200_000, b"\x00" * 100, b"%PDF-1.4\nstartxref\n9\n%%EOF", b"PK\x03\x04"]
)
def test_what_is_no_document_is_named(data: bytes) -> None:
    with pytest.raises((NotAPdf, DamagedBeyondRepair)):
        seal_pdf(data, material(), CentrePlacement(1), when=NOW)


def test_a_child_that_dies_costs_one_named_error_and_the_next_job_works() -> None:
    encrypted = pdf_samples.saved(
        pikepdf.open(BytesIO(pdf_samples.plain())), encryption=pikepdf.Encryption(owner="owner", user="")
    )
    seal_pdf(encrypted, material(), CentrePlacement(1), when=NOW)
    child = pyhanko_path._children.queue[-1]._process
    assert isinstance(child, subprocess.Popen)
    child.kill()
    child.wait()
    sealed = seal_pdf(encrypted, material(), CentrePlacement(1), when=NOW)
    assert sealed.writer == "pyhanko"
    assert pdf_judges.pyhanko(sealed.data, [pki(Suite.RSA).root])[0].valid
