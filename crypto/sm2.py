"""SM2 signatures and SM3 through the system's libcrypto 3.x (GB/T 32918.2-2016, GB/T 32905-2016)."""

from __future__ import annotations

import hashlib
from typing import Any

DEFAULT_ID = b"1234567812345678"
_SM2_OID = bytes.fromhex("06082a811ccf5501822d")


def is_sm2_spki(spki: bytes) -> bool:
    """Whether DER SubjectPublicKeyInfo names the SM2 curve (1.2.156.10197.1.301)."""
    return _SM2_OID in spki[:40]


def sm3(data: bytes) -> bytes:
    """SM3 digest, 32 bytes."""
    return hashlib.new("sm3", data).digest()


def load_public_key(spki: bytes) -> Any:
    raise NotImplementedError


def verify(key: Any, message: bytes, signature: bytes, *, user_id: bytes = DEFAULT_ID) -> bool:
    raise NotImplementedError


def generate_private_key() -> Any:
    raise NotImplementedError


def public_spki(private: Any) -> bytes:
    raise NotImplementedError


def sign(private: Any, message: bytes, *, user_id: bytes = DEFAULT_ID) -> bytes:
    raise NotImplementedError


def normalise_signature(signature: bytes) -> bytes:
    raise NotImplementedError
