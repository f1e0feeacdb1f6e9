"""Seal every PDF of a folder; let pdfsig, pyHanko and qpdf judge: ``python -m tests.tools.seal_corpus [FOLDER] [--out DIR]``.

Prints one line a file and a table of counts. The exit status is 1 if a file ends in anything but a sealed document that all
three accept, or a refusal by name.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crypto.errors import XinyinError
from crypto.suites import Suite
from seals.sealing import CentrePlacement, seal_pdf
from tests import pdf_judges
from tests.conftest import corpus_dir
from tests.pdf_pki import NOW, material, pki


@dataclass(frozen=True)
class Result:
    """What became of one file. ``outcome``: ``sealed/WRITER``, ``refused/CODE``, or ``WRONG: …``."""

    name: str
    outcome: str
    milliseconds: float

    @property
    def wrong(self) -> bool:
        return self.outcome.startswith("WRONG")


def seal_folder(folder: Path, out: Path) -> Iterator[Result]:
    """Seal each ``*.pdf`` of ``folder`` in the middle of its first page and judge it."""
    for path in sorted(folder.glob("*.pdf")):
        started = time.perf_counter()
        try:
            sealed = seal_pdf(path.read_bytes(), material(), CentrePlacement(1), when=NOW)
        except XinyinError as exc:
            yield Result(path.name, f"refused/{exc.code}", (time.perf_counter() - started) * 1e3)
            continue
        except Exception as exc:  # noqa: BLE001 - a traceback is what is being looked for
            yield Result(path.name, f"WRONG: {type(exc).__name__}: {exc}"[:150], (time.perf_counter() - started) * 1e3)
            continue
        took = (time.perf_counter() - started) * 1e3
        target = out / path.name
        target.write_bytes(sealed.data)
        problem = judge(path, target, sealed.writer)
        yield Result(path.name, f"WRONG: {sealed.writer}: {problem}"[:200] if problem else f"sealed/{sealed.writer}", took)


def judge(before: Path, after: Path, writer: str) -> str | None:
    """What is wrong with the sealed file, or None."""
    if "repaired" not in writer and not after.read_bytes().startswith(before.read_bytes()):
        return "the earlier revision was changed"
    poppler = pdf_judges.pdfsig(after)
    if poppler != [True]:
        return f"pdfsig {poppler}"
    try:
        opinions = pdf_judges.pyhanko(after.read_bytes(), [pki(Suite.RSA).root])
    except Exception as exc:  # noqa: BLE001 - another program's failure is a finding
        return f"pyHanko {type(exc).__name__}: {exc}"
    if len(opinions) != 1 or not (opinions[0].intact and opinions[0].valid and opinions[0].trusted):
        return f"pyHanko {opinions}"
    if opinions[0].coverage != "ENTIRE_FILE":
        return f"pyHanko {opinions[0].coverage}"
    fresh = [line for line in pdf_judges.qpdf(after) if line not in pdf_judges.qpdf(before)]
    return f"qpdf {fresh}" if fresh else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=corpus_dir() / "pdf-plain")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        for result in seal_folder(arguments.folder, out):
            counts["WRONG" if result.wrong else result.outcome] += 1
            print(f"{result.name:60} {result.milliseconds:8.1f} ms  {result.outcome}", flush=True)
    print()
    for outcome, count in sorted(counts.items()):
        print(f"{count:6}  {outcome}")
    print(f"{counts.total():6}  files")
    return 1 if counts["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
