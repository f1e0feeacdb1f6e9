"""A PostgreSQL cluster of the tests' own: made in a temporary folder, reached by a Unix socket, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binaries() -> Path | None:
    """The folder with initdb and postgres: Debian's, newest version first; None where there is none."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


def _in_memory() -> str | None:
    """A folder in memory with room for the databases, if there is one: what is tested here is no disk."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 2 << 30
    return str(shared) if roomy else None


def _as_postgres(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root; its Debian package brings the user for it."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


@contextmanager
def cluster() -> Iterator[str]:
    """A running cluster; yields its SQLAlchemy address without a database name (append ``/name``-less query as needed)."""
    folder = binaries()
    assert folder is not None
    home = Path(tempfile.mkdtemp(prefix="xinyin-pg-", dir=_in_memory()))
    try:
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(home, owner.pw_uid, owner.pw_gid)
        data = home / "data"
        initdb = [
            str(folder / "initdb"),
            "-D",
            str(data),
            "-U",
            "xinyin",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C",
        ]
        subprocess.run(_as_postgres(initdb), check=True, capture_output=True, timeout=120, cwd=home)
        control = [str(folder / "pg_ctl"), "-D", str(data), "-w", "-t", "60", "-l", str(home / "log")]
        # fsync off: what is tested here is transactions, not the disk; and no TCP port.
        options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off -c max_connections=60"
        subprocess.run(_as_postgres([*control, "-o", options, "start"]), check=True, capture_output=True, timeout=120, cwd=home)
        try:
            yield f"postgresql+psycopg://xinyin@/postgres?host={home}"
        finally:
            subprocess.run(
                _as_postgres([*control, "-m", "immediate", "stop"]), check=False, capture_output=True, timeout=60, cwd=home
            )
    finally:
        shutil.rmtree(home, ignore_errors=True)
