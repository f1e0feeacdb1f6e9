"""Rotation of a seal's key while four clients seal over HTTP: what failed, what does not verify, how long nobody was served.

``python -m bench.rotation`` founds a node on real tokens in a temporary folder, serves it, and prints one line a suite.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.measure import Row
from ceremonies.node import Node
from ceremonies.rotation import Rotation, StepRefused
from verify.service import verify_bytes

if TYPE_CHECKING:
    from tests.node_home import Service

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "examples" / "approval.pdf"
CLIENTS = 4


@dataclass(frozen=True)
class Outcome:
    """What the clients saw. A gap is a time in which none of them got a sealed document."""

    suite: str
    sealed: int
    by_old: int
    by_new: int
    failures: list[dict[str, Any]]
    unverified: int
    usual_gap_ms: float
    longest_gap_before_ms: float
    longest_gap_ms: float
    switch_gap_ms: float
    slowest_ms: float
    seconds: float

    def line(self) -> str:
        """The figures in a sentence."""
        return (
            f"{self.suite}: {self.sealed} sealed by {CLIENTS} clients in {self.seconds:.1f} s ({self.by_old} with the old key, "
            f"{self.by_new} with the new), failures {len(self.failures)}, documents that do not verify {self.unverified}; "
            f"pause at the switch {self.switch_gap_ms:.0f} ms, longest during the rotation {self.longest_gap_ms:.0f} ms, "
            f"longest before it {self.longest_gap_before_ms:.0f} ms (usual {self.usual_gap_ms:.0f} ms)"
        )


def rotate_under_load(service: Service, token: str, seal: str, suite: str, *, lead: float = 1.5) -> Outcome:
    """Rotate the seal's key in this suite, from staging to destroying the old one, while the clients seal.

    :param token: bearer token of an account that may seal
    :param lead: seconds of sealing before and after
    """
    node = Node.open(service.node.home)  # as the officers' own process: it shares no memory of keys with the service
    try:
        with tempfile.TemporaryDirectory() as folder:
            outputs = [Path(folder) / f"{number}.jsonl" for number in range(CLIENTS)]
            with _clients(service.url, token, seal, suite, outputs):
                _wait_for_lines(outputs)
                time.sleep(lead)
                began = time.monotonic()
                old, new, switched = _rotate(node, seal, suite)
                time.sleep(lead)
                ended = time.monotonic()
            lines = [json.loads(line) for path in outputs for line in path.read_text(encoding="utf-8").splitlines()]
        return _outcome(node, suite, lines, (began, switched, ended), (old, new))
    finally:
        node.close()


@contextmanager
def _clients(url: str, token: str, seal: str, suite: str, outputs: Sequence[Path]) -> Iterator[None]:
    environment = {**os.environ, "XINYIN_TOKEN": token, "PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        processes = []
        for output in outputs:
            command = [sys.executable, "-m", "bench.loadclient", url, seal, suite, str(DOCUMENT), str(output)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, cwd=ROOT)
            processes.append(stack.enter_context(process))
        try:
            yield
        finally:
            for process in processes:
                assert process.stdin is not None
                process.stdin.close()
            for process in processes:
                process.wait(60)


def _wait_for_lines(outputs: Sequence[Path]) -> None:
    deadline = time.monotonic() + 60
    while not all(path.exists() and path.stat().st_size for path in outputs):
        if time.monotonic() > deadline:
            raise TimeoutError("the clients do not start")
        time.sleep(0.05)


def _rotate(node: Node, seal: str, suite: str) -> tuple[str, str, float]:
    """Every step, the drain waited for; the old key, the new one, and the time of the switch."""
    operator = node.actor(None)
    rotation = Rotation(node, drain=timedelta(0))
    role = next(r["id"] for r in rotation.book.roles(operator) if r["suite"] == suite and r["seal"] and r["seal"]["id"] == seal)
    made = rotation.stage(operator, role)
    rotation.prove(operator, made.id)
    rotation.certify(operator, made.id)
    rotation.file(operator, made.id)
    rotation.activate(operator, made.id)
    switched = time.monotonic()
    old = rotation.before(made)[0]
    while True:
        try:
            rotation.retire(operator, old.id)
            break
        except StepRefused:  # requests that began with it are under way
            time.sleep(0.02)
    rotation.destroy(operator, old.id)
    return old.id, made.id, switched


def _outcome(
    node: Node, suite: str, lines: list[dict[str, Any]], times: tuple[float, float, float], keys: tuple[str, str]
) -> Outcome:
    began, switched, ended = times
    done = sorted((line for line in lines if line["status"] == 201), key=lambda line: float(line["ended"]))
    moments = [float(line["ended"]) for line in done]
    gaps = [(later, (later - earlier) * 1000) for earlier, later in pairwise(moments)]
    context = node.verification_context()
    unverified = 0
    for digest in {str(line["document"]) for line in done}:
        verdict = verify_bytes(node.blobs.get(digest), name="a.pdf", context=context)
        unverified += not (verdict["verdict"] == "TOTAL-PASSED" and verdict["answer"]["decision"] == "accept")
    around = [gap for at, gap in gaps if switched <= at]
    return Outcome(
        suite=suite,
        sealed=len(done),
        by_old=sum(line["generation"] == keys[0] for line in done),
        by_new=sum(line["generation"] == keys[1] for line in done),
        failures=[line for line in lines if line["status"] != 201],
        unverified=unverified,
        usual_gap_ms=median(gap for _, gap in gaps),
        longest_gap_before_ms=max((gap for at, gap in gaps if at < began), default=0.0),
        longest_gap_ms=max((gap for at, gap in gaps if began <= at <= ended), default=0.0),
        switch_gap_ms=around[0] if around else 0.0,
        slowest_ms=max((line["ended"] - line["began"]) * 1000 for line in done),
        seconds=moments[-1] - min(float(line["began"]) for line in lines),
    )


def rows(seconds: float) -> Iterator[Row]:
    """The pause beside the longest gap that the same clients saw before.

    :raises RuntimeError: something failed, or does not verify
    """
    for outcome in outcomes(seconds / 3):
        if outcome.failures or outcome.unverified:
            raise RuntimeError(outcome.line())
        case = f"{outcome.suite} key rotated, {CLIENTS} clients sealing over HTTP: longest gap"
        note = f"{outcome.sealed} sealed, 0 failed, 0 unverified; {outcome.switch_gap_ms:.0f} ms at the switch"
        yield Row("rotation", case, outcome.longest_gap_ms, "longest gap before it", outcome.longest_gap_before_ms, note)


def outcomes(lead: float) -> Iterator[Outcome]:
    """SM2, then RSA, on a node of their own."""
    from tests.node_home import founded_home, serving

    with serving(founded_home("bench-rotation")) as service:
        seal = service.seal()["id"]
        token = service.node.accounts.issue_token("keeper", "bench")[1]
        for suite in ("sm2", "rsa"):
            yield rotate_under_load(service, token, seal, suite, lead=lead)


def main() -> int:
    """Exit status 1 when something failed or does not verify."""
    wrong = 0
    for outcome in outcomes(3.0):
        print(outcome.line())
        for failure in outcome.failures[:3]:
            print(failure)
        wrong += len(outcome.failures) + outcome.unverified
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
