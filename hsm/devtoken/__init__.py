"""The SM2 development token: a PKCS#11 module in C over SoftHSM2, for development and CI only (it says so in all its names).

``make devtoken`` builds it into ``build/devtoken``; :func:`library_path` finds it there, or builds it into the user's cache
where the checkout cannot be written. What it protects and what it does not stands at the top of ``devtoken.c``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from hsm.errors import DriverMissing

SOURCE = Path(__file__).resolve().parent
NAME = "libxinyin-devtoken.so"
FAULTY_NAME = "libxinyin-devtoken-faulty.so"


def library_path() -> Path:
    """The built module: ``XINYIN_DEVTOKEN``, else ``build/devtoken`` of the checkout, else the user's cache (built on demand).

    :raises DriverMissing: it is not built and cannot be
    """
    named = os.environ.get("XINYIN_DEVTOKEN")
    if named:
        return Path(named)
    built = SOURCE.parent.parent / "build" / "devtoken" / NAME
    if built.is_file():
        return built
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xinyin" / f"devtoken-{_source_digest()}"
    return cache / NAME if (cache / NAME).is_file() else build(cache)


def build(dest: Path, *, faulty: bool = False) -> Path:
    """Compile the module into the folder ``dest`` (made if need be) and return its path.

    :param faulty: the test library that can be told to return wrong signatures; the ordinary one has no such switch
    :raises DriverMissing: no compiler, or no headers of OpenSSL
    """
    make = shutil.which("make")
    dest.mkdir(parents=True, exist_ok=True)
    if make is None:
        raise _cannot_build("make is not installed")
    with tempfile.TemporaryFile() as log:
        command = [make, "-s", "-C", str(SOURCE), f"OUT={dest.resolve()}", *(["faulty"] if faulty else [])]
        done = subprocess.run(command, stdout=log, stderr=log, check=False)  # noqa: S603 - our own Makefile
        log.seek(0)
        last = log.read()[-300:].decode(errors="replace")
    if done.returncode:
        raise _cannot_build(last.strip().splitlines()[-1] if last.strip() else "make failed")
    return dest / (FAULTY_NAME if faulty else NAME)


def _source_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted([*SOURCE.glob("*.[ch]"), SOURCE / "Makefile"]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _cannot_build(why: str) -> DriverMissing:
    return DriverMissing(
        f"The SM2 development token cannot be built ({why}); install gcc, make and libssl-dev, then run make devtoken.",
        "无法编译 SM2 开发令牌；请安装 gcc、make 与 libssl-dev，然后执行 make devtoken。",
        why=why,
    )
