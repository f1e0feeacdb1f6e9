"""Processes that read hostile documents: how they are started and ended, and the limits that each puts on itself before the
first byte arrives."""

from __future__ import annotations

import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parent.parent)


def start(module: str, memory_bytes: int) -> subprocess.Popen[bytes]:
    """Run ``main()`` of one of our modules in a process of its own, with a pipe each way; it limits itself to the memory."""
    text = f"import sys; sys.path.insert(0, sys.argv.pop(1)); from {module} import main; main()"
    return subprocess.Popen(  # noqa: S603 - our own interpreter and our own text
        [sys.executable, "-c", text, _ROOT, str(memory_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        close_fds=True,
    )


def end(process: subprocess.Popen[bytes]) -> int:
    """Kill it if it lives, and close the pipes; its exit status."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):
            if pipe is not None:
                pipe.close()
    return process.wait()


def limit(memory_bytes: int) -> None:
    """No core files, no files written, few files open, so much address space."""
    for what, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_AS, memory_bytes),
    ):
        hard = resource.getrlimit(what)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (bound, bound))


def allow_cpu(seconds: int) -> None:
    """The kernel ends this process (SIGXCPU) when a document has used up its seconds of processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
