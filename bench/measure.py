"""How things are timed: ours and the peer in turns, in one run, so that a busy machine slows both alike."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

Job = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One comparison. Times are milliseconds an operation; ``ratio`` = ours / peer, below 1 means that ours takes less time.

    ``at_most`` is a promised upper bound of the ratio, if there is one.
    """

    section: str
    case: str
    ours_ms: float
    peer: str
    peer_ms: float
    note: str = ""
    at_most: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours_ms / self.peer_ms

    @property
    def kept(self) -> bool | None:
        """Whether the promise holds; None without one."""
        return None if self.at_most is None else self.ratio <= self.at_most

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "ratio": round(self.ratio, 4),
            "kept": self.kept,
            "ours_per_second": round(1000 / self.ours_ms, 1),
            "peer_per_second": round(1000 / self.peer_ms, 1),
        }


def in_turns(jobs: Mapping[str, Job], seconds: float, *, clock: Clock = time.thread_time, warm_up: int = 2) -> dict[str, float]:
    """Median milliseconds of each job; the jobs take turns until ``seconds`` have passed, at least five times each.

    :param clock: processor time of this thread, which other work on the machine does not lengthen; ``time.perf_counter``
        where waiting (for a disk, a token) belongs to what is measured
    """
    for job in jobs.values():
        for _ in range(warm_up):
            job()
    times: dict[str, list[float]] = {name: [] for name in jobs}
    until = time.perf_counter() + seconds
    rounds = 0
    while rounds < 5 or time.perf_counter() < until:
        for name, job in jobs.items():
            start = clock()
            job()
            times[name].append(clock() - start)
        rounds += 1
    return {name: statistics.median(values) * 1000 for name, values in times.items()}


def rates_in_turns(jobs: Mapping[str, tuple[Job, int]], seconds: float) -> dict[str, float]:
    """Milliseconds an operation of each job on its number of threads: slices of a fifth of a second in turns, their median.

    :param jobs: name → (job, threads)
    """
    slices: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(max(3, round(seconds / 0.2 / len(jobs)))):
        for name, (job, threads) in jobs.items():
            slices[name].append(throughput(job, 0.2, threads=threads))
    return {name: statistics.median(values) for name, values in slices.items()}


def processor_time(job: Job, seconds: float) -> float:
    """Milliseconds of processor time an operation, one thread: what ``openssl speed`` counts."""
    job()
    until = time.perf_counter() + seconds
    start, count = time.thread_time(), 0
    while time.perf_counter() < until:
        job()
        count += 1
    return (time.thread_time() - start) / count * 1000


def throughput(job: Job, seconds: float, *, threads: int = 1) -> float:
    """Milliseconds an operation when ``threads`` threads call ``job`` for ``seconds``: wall time over operations of all."""
    job()
    until = time.perf_counter() + seconds

    def work(_: int) -> int:
        count = 0
        while time.perf_counter() < until:
            job()
            count += 1
        return count

    start = time.perf_counter()
    if threads == 1:
        count = work(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            count = sum(pool.map(work, range(threads)))
    return (time.perf_counter() - start) / count * 1000


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    from cryptography.hazmat.backends.openssl import backend

    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    system = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "openssl": system,
        "openssl_of_cryptography": backend.openssl_version_text(),
        "pyhanko": _version("pyHanko"),
        "fsync_ms": round(_fsync(), 2),
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _fsync() -> float:
    """Median milliseconds until a small write is on this disk: what each commit and each stored document waits for."""
    with tempfile.NamedTemporaryFile() as file:  # one with a name: on others a sync costs nothing

        def write() -> None:
            file.write(b"x" * 100)
            file.flush()
            os.fsync(file.fileno())

        return in_turns({"fsync": write}, 0.2, clock=time.perf_counter)["fsync"]


def _version(distribution: str) -> str:
    from importlib.metadata import version

    return version(distribution)
