"""What the benches promise, measured briefly: ratios in one run hold on slow and busy machines too."""

from __future__ import annotations

import json
import subprocess
import sys

from bench import sealing, verification
from bench.__main__ import document
from bench.measure import Row, machine


def test_sealing_takes_at_most_a_quarter_of_pyhankos_best_path() -> None:
    promised = [row for row in sealing.rows(0.5) if row.at_most is not None]
    assert [row.at_most for row in promised] == [0.25, 0.25]
    assert all(row.kept for row in promised), [(row.case, row.ratio) for row in promised]


def test_verifying_one_seal_takes_less_time_than_pyhanko() -> None:
    row = next(iter(verification.rows(0.5)))
    assert row.ratio < 1, row


def test_command_prints_one_json_document_and_fails_with_a_broken_promise() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--json", "--quick", "--section", "sealing"],
        capture_output=True,
        text=True,
        check=False,
    )
    read = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert {"machine", "seconds", "rows"} == set(read)
    assert {"section", "case", "ours_ms", "peer", "peer_ms", "ratio", "kept"} <= set(read["rows"][0])
    broken = Row("s", "c", ours_ms=2, peer="p", peer_ms=4, at_most=0.25)
    assert (broken.ratio, broken.kept) == (0.5, False)
    assert document([broken], machine(), 1.0)["rows"][0]["kept"] is False
