"""A phone's proof that it holds a key: the ``jwt`` proof type of OpenID4VCI 1.0 (appendix F.1).

A compact JWS with ``typ`` openid4vci-proof+jwt whose header carries the public key (``jwk``) that signed it, over ``aud`` (this
node), ``nonce`` (a challenge of this node, good once) and ``iat``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto.errors import BadInput, XinyinError
from crypto.keys import PublicKey
from formats import jose

TYPE = "openid4vci-proof+jwt"
MAX_BYTES = 4096
CLOCK = timedelta(minutes=10)
"""How far a phone's clock may be off: people set them by hand, and the nonce is what makes a proof fresh."""
_HEADER = frozenset({"alg", "typ", "jwk", "kid"})
_PUBLIC = frozenset({"kty", "crv", "x", "y", "alg", "use", "kid", "ext", "key_ops"})


class BadProof(BadInput):
    """A phone's proof that cannot be used; nothing was downloaded."""

    code = "bad-proof"


@dataclass(frozen=True)
class Proof:
    """What a proof that holds says.

    :ivar key: the phone's public key
    :ivar nonce: the challenge that it answers; whether that is alive is for the caller to say
    """

    key: PublicKey
    nonce: str

    @property
    def jwk(self) -> dict[str, str]:
        """The key as JWK: kty, crv, x, y."""
        return jose.public_jwk(self.key)


def read(text: str, *, audience: str, now: datetime) -> Proof:
    """Check a proof's form, signature, address and time.

    :raises BadProof: each with what the phone has to do about it
    """
    try:
        header, _ = jose.claimed(text, max_payload=MAX_BYTES)
        key = jose.public_key(_public_half(header))
        header, claims, _ = jose.verify(text, [key], max_payload=MAX_BYTES)
    except BadProof:
        raise
    except XinyinError as exc:
        raise _bad("its signature does not hold", "签名无效") from exc
    if header.get("typ") != TYPE or not header.keys() <= _HEADER:
        raise _bad(f"its type is not {TYPE}", "类型不符")
    audiences = claims.get("aud")
    if audiences not in (audience, [audience]):
        raise _bad(f"it is meant for another service than {audience}", "不是为本服务签署的")
    issued, nonce = claims.get("iat"), claims.get("nonce")
    if type(issued) is not int or not isinstance(nonce, str) or not 1 <= len(nonce) <= 200:
        raise _bad("time or nonce are missing", "缺少时间或一次性口令")
    if abs(now.timestamp() - issued) > CLOCK.total_seconds():
        shown = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
        raise BadProof(
            f"The phone's clock is off by more than ten minutes; set it (it is {shown} UTC) and try again.",
            "手机时间误差超过十分钟；请校准手机时间后重试。",
        )
    return Proof(key, nonce)


def _public_half(header: dict[str, Any]) -> dict[str, Any]:
    """The header's key. :raises BadProof: none, or one with its private half, which must never leave a phone"""
    jwk = header.get("jwk")
    if not isinstance(jwk, dict):
        raise _bad("its header has no key (jwk)", "头部缺少公钥")
    if not jwk.keys() <= _PUBLIC:
        raise _bad(
            "it carries more than a public key; make a new key that stays on the phone", "含有公钥以外的内容；请重新生成密钥"
        )
    return jwk


def _bad(why: str, why_zh: str) -> BadProof:
    return BadProof(
        f"The phone's proof cannot be used: {why}. Ask for a new challenge and try again.",
        f"手机提交的密钥证明无法使用：{why_zh}。请重新获取后再试。",
    )
