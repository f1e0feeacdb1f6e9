"""What all our JOSE has in common: compact JWS with ES256 by a key that never leaves its token, and P-256 keys as JWK.

RFC 7515 (JWS), RFC 7517 and 7518 §6.2 (JWK). The parsing and the checking are joserfc's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from asn1crypto import keys as asn1_keys
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64encode

from crypto.errors import BadInput
from crypto.keys import PublicKey, Signer
from crypto.suites import ECDSA_P256_SHA256, Suite

MAX_HEADER = 16 * 1024


class BadJws(BadInput):
    """Not a compact JWS with ES256, or none of the keys made its signature."""

    code = "bad-jws"


class _TokenES256(JWSAlgModel):
    """ES256 (RFC 7518 §3.4) by a :class:`crypto.keys.Signer`; joserfc's own wants the private key in memory."""

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


def public_jwk(key: PublicKey) -> dict[str, Any]:
    """A P-256 public key as JWK (RFC 7518 §6.2), without ``kid``. :raises BadInput: another suite"""
    if key.suite is not Suite.P256:
        raise BadInput("Only P-256 keys sign with ES256.", "只有 P-256 密钥可用于 ES256 签名。")
    point = bytes(asn1_keys.PublicKeyInfo.load(key.spki)["public_key"].native)
    x, y = (urlsafe_b64encode(half).decode("ascii") for half in (point[1:33], point[33:65]))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def public_key(jwk: Mapping[str, Any]) -> PublicKey:
    """The key of a P-256 JWK; members besides ``kty``, ``crv``, ``x`` and ``y`` are passed over.

    :raises BadInput: no such key, or a point that is not on the curve
    """
    try:
        if (jwk["kty"], jwk["crv"]) != ("EC", "P-256"):
            raise ValueError("curve")
        key = ECKey.import_key({name: str(jwk[name]) for name in ("kty", "crv", "x", "y")})
        return PublicKey.from_spki(key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    except (KeyError, ValueError, TypeError, JoseError) as exc:
        raise BadInput("This is no P-256 key (JWK).", "这不是 P-256 密钥（JWK）。") from exc


def sign(header: Mapping[str, Any], claims: Mapping[str, Any], signer: Signer) -> str:
    """Compact JWS with ES256 over JSON (RFC 7515 §3.1); ``header`` beside ``alg``. One signature."""
    registry = _registry(1)
    registry.algorithms = {"ES256": _TokenES256(signer)}
    body = json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()
    key = ECKey.import_key(public_jwk(signer.public_key))
    return jws.serialize_compact({"alg": "ES256", **header}, body, key, registry=registry)


def verify(compact: str, keys: Iterable[PublicKey], *, max_payload: int) -> tuple[dict[str, Any], dict[str, Any], PublicKey]:
    """Header, claims and which of ``keys`` signed.

    :param max_payload: bytes, before anything is decoded
    :raises BadJws: too large, no JSON object, not ES256, a critical header that nobody here knows, or none of the keys
    """
    if len(compact) > max_payload * 4 // 3 + MAX_HEADER:
        raise _bad("it is too large", "内容过大")
    for key in keys:
        if key.suite is not Suite.P256:
            continue
        try:
            found = jws.deserialize_compact(compact, ECKey.import_key(public_jwk(key)), registry=_registry(max_payload))
            claims = loads(found.payload)
        except (JoseError, ValueError, RecursionError):
            continue
        if isinstance(claims, dict):
            return dict(found.headers()), claims, key
    raise _bad("no key that is known here signed it", "未由此处已知的密钥签署")


def claimed(compact: str, *, max_payload: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a compact JWS whose signature nobody has checked yet: to look up whose key would have to sign.

    :raises BadJws: not a compact JWS over a JSON object
    """
    if len(compact) > max_payload * 4 // 3 + MAX_HEADER:
        raise _bad("it is too large", "内容过大")
    try:
        found = jws.extract_compact(compact.encode("ascii"), registry=_registry(max_payload))
        claims = loads(found.payload)
        header = dict(found.headers())
    except (JoseError, ValueError, RecursionError, TypeError, AttributeError) as exc:
        raise _bad("it is no signed JSON", "不是经签名的 JSON") from exc
    if not isinstance(claims, dict) or header.get("alg") != "ES256" or header.keys() & {"crit", "b64"}:
        raise _bad("it is no signed JSON", "不是经签名的 JSON")
    return header, claims


def loads(raw: bytes | str) -> Any:
    """JSON in which every name of an object occurs once, so that no two readers see two things (RFC 7519 §4).

    :raises ValueError: it is none, a name occurs twice, or a number is none that JSON knows
    """
    return json.loads(raw, object_pairs_hook=_once, parse_constant=_no_number)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name occurs twice")
    return out


def _no_number(name: str) -> Any:
    raise ValueError(name)


class _Registry(jws.JWSRegistry):
    """joserfc's bounds, set by the caller."""

    max_header_length = MAX_HEADER


def _registry(max_payload: int) -> jws.JWSRegistry:
    registry = _Registry(algorithms=["ES256"], strict_check_header=False)
    registry.max_payload_length = max_payload * 4 // 3 + 4  # it counts the characters of base64url
    return registry


def _bad(why: str, why_zh: str) -> BadJws:
    return BadJws(
        f"The signed data cannot be used: {why}. Get them again from where they came.",
        f"签名数据无法使用：{why_zh}。请从来源重新获取。",
    )
