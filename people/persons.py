"""Person keys: how licences and authorisations name people without keeping their identity numbers.

A person key is HMAC-SHA256 over the normalised number (GB 11643-1999) under a secret of the node. Identity numbers are few
enough to be tried one by one, so a plain digest would hide nothing; the secret lies beside the database, not in it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import unicodedata
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from crypto.errors import Misconfigured
from formats.identifiers import resident_id_check
from people.errors import BadIdentityNumber, PersonKeyMissing

FILE = "person.key"
_BYTES = 32


def normalised(id_number: str) -> str:
    """A resident identity number as it is compared: half-width, without blanks, capital X.

    :raises BadIdentityNumber: form, date of birth or check character do not fit; the number is not in the message
    """
    text = "".join(unicodedata.normalize("NFKC", id_number).split()).upper()
    remarks = resident_id_check(text)
    if remarks:
        raise BadIdentityNumber(remarks[0].message, remarks[0].message_zh)
    return text


class PersonKeys:
    """Turns identity numbers into person keys.

    :param path: of the secret (32 bytes in hex, mode 0600); made at the first use of a node that knows nobody yet
    :param known: whether the node knows people already: then a secret that is gone is not replaced by another
    """

    def __init__(self, path: Path, known: Callable[[], bool]) -> None:
        self._path = path
        self._known = known

    def key(self, id_number: str) -> str:
        """The person key, 64 characters in hex. :raises BadIdentityNumber: this is no identity number"""
        return hmac.new(self._secret, normalised(id_number).encode("ascii"), hashlib.sha256).hexdigest()

    @cached_property
    def _secret(self) -> bytes:
        if not self._path.exists():
            if self._known():
                raise PersonKeyMissing(
                    f"{self._path} is gone, and without it nobody's licences are found; restore it from the backup.",
                    f"{self._path} 缺失，无法识别持证人；请从备份中恢复该文件。",
                )
            write_once(self._path, secrets.token_hex(_BYTES) + "\n")
        text = self._path.read_text("ascii", "replace").strip()
        try:
            found = bytes.fromhex(text)
        except ValueError:
            found = b""
        if len(found) < _BYTES:
            raise Misconfigured(
                f"{self._path} does not hold {_BYTES} bytes in hex; restore it from the backup.",
                f"{self._path} 内容无效；请从备份中恢复该文件。",
            )
        return found


def write_once(path: Path, text: str) -> None:
    """A new secret (mode 0600), whole or not at all; of two processes that make one at the same moment the first counts."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
