"""Blobs: documents and artefacts under the SHA-256 of their bytes, on disk before any row names them."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from crypto.errors import NotFound, XinyinError
from store.crashpoints import crash_point

_HEX = re.compile(r"[0-9a-f]{64}\Z")


class BlobMissing(NotFound):
    """No blob has this digest."""

    code = "blob-missing"


class BlobDamaged(XinyinError):
    """The bytes on disk are not those that were stored."""

    code = "blob-damaged"


class Blobs(Protocol):
    """What the service needs of a blob store; a directory fills it here, object storage may elsewhere."""

    def put(self, data: bytes) -> str:
        """Keep ``data`` durably; its SHA-256 in lower-case hex. Keeping the same bytes again is no error."""
        ...

    def get(self, digest: str) -> bytes:
        """The bytes with this digest, checked against it."""
        ...

    def exists(self, digest: str) -> bool: ...


class BlobStore:
    """A directory of blobs: ``ab/cd/abcd…`` (two levels of 256), written once, never changed.

    ``put`` returns when the bytes, their name and the directories that hold it are flushed: after a power cut a row never
    names a blob that is not there. Several processes may share the directory.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._flushed: set[Path] = set()

    def path(self, digest: str) -> Path:
        """Where the blob with this digest is, or would be.

        :raises BlobMissing: not 64 lower-case hex digits (so no digest can lead out of the directory)
        """
        if not _HEX.match(digest):
            raise _missing(digest)
        return self.directory / digest[:2] / digest[2:4] / digest

    def exists(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        target = self.path(digest)
        if not self._is_whole(target, data):
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = target.parent / f".{digest[:16]}.{secrets.token_hex(8)}.tmp"
            try:
                _write_flushed(temporary, data)
                crash_point("blob.written")
                os.replace(temporary, target)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise
            crash_point("blob.renamed")
        # Also when all was there already: another process may have made it a moment ago and not flushed it yet. The upper two
        # directories change only when one below them is made; once flushed by this process with it inside, they stay good.
        _flush_directory(target.parent)
        for made in (target.parent, target.parent.parent):
            if made not in self._flushed:
                _flush_directory(made.parent)
                self._flushed.add(made)
        return digest

    def get(self, digest: str) -> bytes:
        """:raises BlobMissing: no such blob
        :raises BlobDamaged: the bytes no longer have this digest
        """
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError as exc:
            raise _missing(digest) from exc
        if hashlib.sha256(data).hexdigest() != digest:
            raise BlobDamaged(
                f"The stored document {digest[:12]}… was changed on disk; restore it from a backup.",
                f"存储的文件 {digest[:12]}… 在磁盘上已被改动；请从备份恢复。",
                digest=digest,
            )
        return data

    def tidy(self, *, older_than: float = 86_400.0) -> int:
        """Remove temporary files that processes left behind when they were killed; how many.

        Only those: a blob is never removed here, for no table of this room knows all who name it.

        :param older_than: seconds since the last write, far beyond what any ``put`` takes
        """
        removed, limit = 0, time.time() - older_than
        for path in self.directory.glob("*/*/.*.tmp"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < limit:
                    path.unlink()
                    removed += 1
        return removed

    def _is_whole(self, target: Path, data: bytes) -> bool:
        """A damaged blob is written anew when its bytes come by again."""
        try:
            return target.stat().st_size == len(data) and target.read_bytes() == data
        except FileNotFoundError:
            return False


def _write_flushed(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _missing(digest: str) -> BlobMissing:
    return BlobMissing(
        f"There is no stored document {digest[:12]}…; it was never stored here, or the blob directory is not the right one.",
        f"没有存储的文件 {digest[:12]}…；它从未存于此处，或文件目录配置有误。",
        digest=digest[:64],
    )
