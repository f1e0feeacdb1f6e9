"""Notices as Security Event Tokens (RFC 8417): JWTs signed with ES256 by the node's receipt key, listed in a JWK set.

A receiver checks the signature against ``/.well-known/jwks.json``, that ``iss`` is the node and ``aud`` itself, and drops a
``jti`` that it knows: a notice may come twice, and then says the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from asn1crypto import keys as asn1_keys
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc import jws
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64encode

from crypto.errors import BadInput
from crypto.keys import PublicKey, Signer
from crypto.suites import ECDSA_P256_SHA256, Suite
from store.outbox import Event

EVENT_TYPE_PREFIX = "urn:xinyin:event:"
MEDIA_TYPE = "application/secevent+jwt"


class _TokenES256(JWSAlgModel):
    """ES256 (RFC 7518 §3.4) by a key that never leaves its token; joserfc's own takes a key in memory."""

    name = "ES256"
    key_type = "EC"
    description = "ECDSA with P-256 and SHA-256 in a token"
    recommended = True

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def sign(self, msg: bytes, key: Any) -> bytes:
        r, s = decode_dss_signature(self._signer.sign(msg, ECDSA_P256_SHA256))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def verify(self, msg: bytes, sig: bytes, key: Any) -> bool:
        raise NotImplementedError("verifying needs no token: joserfc's own ES256 does it")


def public_jwk(key: PublicKey) -> dict[str, str]:
    """A P-256 public key as a JWK for verifying ES256; ``kid`` is the SHA-256 of its SubjectPublicKeyInfo in hex.

    :raises BadInput: another suite
    """
    if key.suite is not Suite.P256:
        raise BadInput("Notices are signed with a P-256 key.", "通知须使用 P-256 密钥签名。")
    point = bytes(asn1_keys.PublicKeyInfo.load(key.spki)["public_key"].native)
    x, y = (urlsafe_b64encode(half).decode("ascii") for half in (point[1:33], point[33:65]))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": key.fingerprint, "use": "sig", "alg": "ES256"}


def event_token(event: Event, *, issuer: str, audience: str, token_id: str, now: datetime, signer: Signer) -> str:
    """One event as a signed token (RFC 8417 §2), compact. One signature.

    :param issuer: the node's address, ``iss``
    :param token_id: ``jti``; the same at every attempt of one delivery
    """
    claims = {
        "iss": issuer,
        "aud": audience,
        "iat": int(now.timestamp()),
        "jti": token_id,
        "toe": int(event.at.timestamp()),
        "txn": event.id,
        "sub_id": {"format": "opaque", "id": _main_subject(event)},
        "events": {EVENT_TYPE_PREFIX + event.kind: _payload(event)},
    }
    jwk = public_jwk(signer.public_key)
    header = {"typ": "secevent+jwt", "alg": "ES256", "kid": jwk["kid"]}
    registry = jws.JWSRegistry(algorithms=["ES256"])
    registry.algorithms = {"ES256": _TokenES256(signer)}
    body = json.dumps(claims, ensure_ascii=False, separators=(",", ":"))
    return jws.serialize_compact(header, body, ECKey.import_key(dict(jwk)), registry=registry)


def _payload(event: Event) -> Mapping[str, Any]:
    shown = event.to_dict()
    return {key: shown[key] for key in ("id", "seq", "at", "department", "matter", "subject", "data")}


def _main_subject(event: Event) -> str:
    """The object whose change it is: that of the kind's room, else the first named, else the event itself."""
    room = event.kind.partition(".")[0]
    return event.subject.get(room) or next(iter(event.subject.values()), event.id)
