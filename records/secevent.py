"""Notices as Security Event Tokens (RFC 8417): JWTs signed with ES256 by the node's receipt key, listed in a JWK set.

A receiver checks the signature against ``/.well-known/jwks.json``, that ``iss`` is the node and ``aud`` itself, and drops a
``jti`` that it knows: a notice may come twice, and then says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from crypto.keys import PublicKey, Signer
from formats import jose
from store.outbox import Event

EVENT_TYPE_PREFIX = "urn:xinyin:event:"
MEDIA_TYPE = "application/secevent+jwt"


def public_jwk(key: PublicKey) -> dict[str, str]:
    """A P-256 public key as a JWK for verifying ES256; ``kid`` is the SHA-256 of its SubjectPublicKeyInfo in hex.

    :raises BadInput: another suite
    """
    return {**jose.public_jwk(key), "kid": key.fingerprint, "use": "sig", "alg": "ES256"}


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
    return jose.sign({"typ": "secevent+jwt", "kid": signer.public_key.fingerprint}, claims, signer)


def _payload(event: Event) -> Mapping[str, Any]:
    shown = event.to_dict()
    return {key: shown[key] for key in ("id", "seq", "at", "department", "matter", "subject", "data")}


def _main_subject(event: Event) -> str:
    """The object whose change it is: that of the kind's room, else the first named, else the event itself."""
    room = event.kind.partition(".")[0]
    return event.subject.get(room) or next(iter(event.subject.values()), event.id)
