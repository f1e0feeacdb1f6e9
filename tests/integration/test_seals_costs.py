"""What sealing costs: time beside pyHanko's best path in the same run, and memory for large files."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from asn1crypto import algos, x509
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.stamp import TextStampStyle
from pyhanko_certvalidator.registry import SimpleCertificateStore

from seals.sealing import Placement, seal_pdf
from tests import pdf_judges, pdf_samples
from tests.conftest import ROOT
from tests.pdf_pki import NOW, material


class CachedKey(signers.Signer):  # type: ignore[misc, unused-ignore]
    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        return bytes(256) if dry_run else material().signer.sign(data)


def pyhanko_best(document: bytes) -> Callable[[], object]:
    """pyHanko's best path: PdfSigner with a cached key, one shared stamp style, ``bytes_reserved=8192``."""
    own = material()
    chain = SimpleCertificateStore.from_certs([x509.Certificate.load(cert.der) for cert in own.chain])
    signer = CachedKey(
        signing_cert=x509.Certificate.load(own.certificate.der),
        cert_registry=chain,
        signature_mechanism=algos.SignedDigestAlgorithm({"algorithm": "sha256_rsa"}),
    )
    pdf_signer = signers.PdfSigner(
        signers.PdfSignatureMetadata(field_name="Seal", md_algorithm="sha256", subfilter=fields.SigSeedSubFilter.PADES),
        signer=signer,
        stamp_style=TextStampStyle(stamp_text="Sealed"),
        new_field_spec=fields.SigFieldSpec("Seal", on_page=19, box=(100, 100, 219, 219)),
    )
    return lambda: pdf_signer.sign_pdf(IncrementalPdfFileWriter(BytesIO(document)), bytes_reserved=8192)


def best_of(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def test_twenty_pages_cost_at_most_a_quarter_of_pyhankos_best() -> None:
    document = pdf_samples.plain(20)
    theirs = pyhanko_best(document)
    theirs()
    seal_pdf(document, material(), Placement(20, 100, 150), when=NOW)
    ours = best_of(lambda: seal_pdf(document, material(), Placement(20, 100, 150), when=NOW).data, 40)
    assert ours <= best_of(theirs, 15) / 4


def test_a_large_file_is_neither_read_into_memory_nor_copied(tmp_path: Path) -> None:
    """A memory map of 300 MB is sealed in a process that may allocate far less."""
    plain = pdf_samples.plain(2)
    filler = b"%" + bytes(999_999).replace(b"\x00", b".") + b"\n"
    at = plain.index(b"\n") + 1
    # The comment goes behind the header through a cross-reference that is rebuilt once.
    source = tmp_path / "large.pdf"
    with source.open("wb") as out:
        out.write(plain[:at])
        for _ in range(300):
            out.write(filler)
        out.write(shifted(plain, at, 300 * len(filler)))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SEAL_LARGE), str(source), str(tmp_path / "sealed.pdf")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8 << 20
    assert pdf_judges.pdfsig(tmp_path / "sealed.pdf") == [True]


SEAL_LARGE = """
    import mmap, sys, tracemalloc
    from seals.sealing import Placement, seal_pdf
    from tests.pdf_pki import NOW, material
    material()
    with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
        mapped = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
        tracemalloc.start()
        seal_pdf(mapped, material(), Placement(1, 50, 50), when=NOW).write_to(target)
        print(tracemalloc.get_traced_memory()[1])
"""


def shifted(plain: bytes, at: int, by: int) -> bytes:
    """The rest of a file with its cross-references moved by ``by`` bytes."""
    import re

    start = plain.rindex(b"xref\n", 0, plain.rindex(b"startxref"))
    table = re.sub(rb"(\d{10}) (\d{5}) n", lambda m: b"%010d %b n" % (int(m.group(1)) + by, m.group(2)), plain[start:])
    return plain[at:start] + re.sub(rb"startxref\n(\d+)", lambda m: b"startxref\n%d" % (int(m.group(1)) + by), table)
