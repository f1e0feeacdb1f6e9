"""SD-JWT (RFC 9901) and SD-JWT VC (draft-ietf-oauth-sd-jwt-vc-24): signed claims of which the holder shows only some.

*Issuing* replaces each claim marked :class:`Hidden` by the digest of a salted *disclosure* (§4.2); *presenting* leaves out the
disclosures of what is not shown (§7.2) and lets the holder's key sign over the rest (§4.3); :func:`verify` makes every check
that §7.1 and §7.3 demand. Texts are ``<JWT>~<disclosure>~…~[<KB-JWT>]``. Nothing here asks the time or opens a file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto.errors import BadInput
from crypto.keys import PublicKey, Signer
from formats import jose

VC_TYPE = "dc+sd-jwt"
KB_TYPE = "kb+jwt"
MAX_BYTES = 256 * 1024
MAX_DISCLOSURES = 512
MAX_DEPTH = 24
CLOCK_ALLOWANCE = timedelta(seconds=60)
BINDING_AGE = timedelta(minutes=10)
"""How old a key-binding JWT may be, unless the verifier says otherwise: a nonce is drawn, shown and answered."""

# What the holder may not leave out, nor the issuer hide (SD-JWT VC §2.2.2.2).
ALWAYS_SHOWN = frozenset({"iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "status", "_sd_alg"})
_RESERVED = frozenset({"_sd", "...", "_sd_alg"})
_DIGESTS = {"sha-256": hashlib.sha256, "sha-384": hashlib.sha384, "sha-512": hashlib.sha512}
_DISCLOSURE = re.compile(r"[A-Za-z0-9_-]{1,65536}")
Path = tuple[str | int, ...]


class BadSdJwt(BadInput):
    """An SD-JWT that is none, breaks a rule of RFC 9901, or is over its limits."""

    code = "bad-sd-jwt"


class NotBound(BadSdJwt):
    """The holder's own signature is missing, is another's, or was made for somebody else or for other disclosures."""

    code = "sd-jwt-not-bound"


class OutOfTime(BadSdJwt):
    """Not yet valid, or no more."""

    code = "sd-jwt-out-of-time"


@dataclass(frozen=True)
class Hidden:
    """Marks a member's value or an array's element that the holder may leave out."""

    value: Any


@dataclass(frozen=True)
class Disclosure:
    """One disclosure as sent (§4.2): an object's member has a ``name``, an array's element has none."""

    text: str
    name: str | None
    value: Any

    def digest(self, algorithm: str) -> str:
        """What stands for it in the signed claims: base64url of the hash over its own text."""
        return _b64(_DIGESTS[algorithm](self.text.encode("ascii")).digest())


# --- issuing -------------------------------------------------------------------------------------------------------------


def issue(
    claims: Mapping[str, Any],
    signer: Signer,
    *,
    header: Mapping[str, Any],
    holder: PublicKey | None = None,
    decoys: int = 0,
    salt: Callable[[], str] | None = None,
) -> str:
    """Sign claims, those marked :class:`Hidden` as digests. One signature.

    :param header: beside ``alg``: ``typ``, ``kid`` or ``x5c``
    :param holder: the key that must sign presentations (``cnf``, RFC 7800)
    :param decoys: digests of nothing that are put beside the real ones in every object that hides something (§4.2.5)
    :param salt: makes a salt of 128 bits in base64url; for repeatable tests
    :raises BadSdJwt: a claim of a name that the format needs itself
    """
    issuing = _Issuing(decoys, salt or (lambda: _b64(secrets.token_bytes(16))))
    body = issuing.conceal(dict(claims), ())
    if issuing.disclosures or decoys:
        body["_sd_alg"] = "sha-256"
    if holder is not None:
        body["cnf"] = {"jwk": jose.public_jwk(holder)}
    return "~".join([jose.sign(header, body, signer), *(d.text for d in issuing.disclosures), ""])


class _Issuing:
    def __init__(self, decoys: int, salt: Callable[[], str]) -> None:
        self.decoys = decoys
        self.salt = salt
        self.disclosures: list[Disclosure] = []

    def conceal(self, value: Any, path: Path) -> Any:
        """The value with every hidden part replaced by its digest, innermost first (§4.2.6)."""
        if isinstance(value, Mapping):
            return self._object(value, path)
        if isinstance(value, list | tuple):
            return [self._element(item, (*path, index)) for index, item in enumerate(value)]
        return value

    def _object(self, value: Mapping[str, Any], path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        digests: list[str] = []
        for name, member in value.items():
            if name in _RESERVED or not isinstance(name, str):
                raise BadSdJwt(f"A claim may not be called {name!r}.", f"声明不得命名为 {name!r}。")
            if isinstance(member, Hidden):
                digests.append(self._disclose([name, self.conceal(member.value, (*path, name))]))
            else:
                out[name] = self.conceal(member, (*path, name))
        if digests:
            # Sorted, so that the order of the claims is not told by the order of the digests (§4.2.4.1).
            out["_sd"] = sorted(
                [*digests, *(_b64(hashlib.sha256(secrets.token_bytes(32)).digest()) for _ in range(self.decoys))]
            )
        return out

    def _element(self, item: Any, path: Path) -> Any:
        if isinstance(item, Hidden):
            return {"...": self._disclose([self.conceal(item.value, path)])}
        return self.conceal(item, path)

    def _disclose(self, content: list[Any]) -> str:
        text = _b64(json.dumps([self.salt(), *content], ensure_ascii=False, separators=(",", ":")).encode())
        self.disclosures.append(Disclosure(text, content[0] if len(content) == 2 else None, content[-1]))
        return self.disclosures[-1].digest("sha-256")


# --- reading -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SdJwt:
    """An SD-JWT taken apart and put together (§7.1 steps 2–5); its signatures are not checked yet.

    :ivar jwt: the issuer-signed JWT
    :ivar payload: the signed claims as they stand in it, digests and all
    :ivar claims: the claims that are disclosed, without digests; not to be believed before :meth:`issuer` finds a key
    :ivar paths: where each disclosure belongs, in the order of ``disclosures``
    :ivar binding: the KB-JWT, None where there is none
    """

    jwt: str
    header: Mapping[str, Any]
    payload: Mapping[str, Any]
    disclosures: tuple[Disclosure, ...]
    claims: Mapping[str, Any]
    paths: tuple[Path, ...]
    binding: str | None = field(default=None, repr=False)

    @property
    def algorithm(self) -> str:
        """Hash of digests and of ``sd_hash``."""
        return str(self.payload.get("_sd_alg", "sha-256"))

    def text(self, *, bound: bool = True) -> str:
        """As it is sent; ``bound=False``: without the KB-JWT, which is what that signs."""
        return "~".join([self.jwt, *(d.text for d in self.disclosures), (self.binding or "") if bound else ""])

    def issuer(self, keys: Iterable[PublicKey]) -> PublicKey | None:
        """Which of ``keys`` made the issuer's signature."""
        try:
            return jose.verify(self.jwt, keys, max_payload=MAX_BYTES)[2]
        except jose.BadJws:
            return None

    def time(self, claim: str) -> datetime | None:
        """A time in the signed part (``iat``, ``nbf``, ``exp``). :raises BadSdJwt: it is none"""
        return _moment(self.payload.get(claim))

    def check_time(self, at: datetime) -> None:
        """:raises OutOfTime: before ``nbf``, or at ``exp`` or after (a minute is allowed for clocks)"""
        starts, ends = self.time("nbf"), self.time("exp")
        if starts is not None and at < starts - CLOCK_ALLOWANCE:
            raise OutOfTime("The credential is not valid yet.", "凭证尚未生效。")
        if ends is not None and at >= ends + CLOCK_ALLOWANCE:
            raise OutOfTime("The credential has expired.", "凭证已过有效期。")

    def check_binding(self, *, audience: str, nonce: str, at: datetime, max_age: timedelta = BINDING_AGE) -> datetime:
        """When the holder's key signed this very presentation for this verifier (§7.3).

        :param audience: who asks, as the holder was told; :param nonce: what was drawn for this one asking
        :raises NotBound: no KB-JWT, another's key, or made for another audience, nonce, time or set of disclosures
        """
        if self.binding is None:
            raise NotBound("The holder's signature over what is shown is missing.", "缺少持有人对所出示内容的签名。")
        try:
            key = jose.public_key(_mapping(self.payload.get("cnf")).get("jwk") or {})
            header, claims, _ = jose.verify(self.binding, [key], max_payload=MAX_BYTES)
        except BadInput as exc:
            raise NotBound(
                "What is shown was not signed with the key that the credential belongs to: it may be copied.",
                "所出示内容不是由凭证所属密钥签名，可能系复制。",
            ) from exc
        made = _moment(claims.get("iat"))
        digest = _b64(_DIGESTS[self.algorithm](self.text(bound=False).encode("ascii")).digest())
        if header.get("typ") != KB_TYPE or made is None or not _equal(claims.get("sd_hash"), digest):
            raise NotBound("The holder signed something else than what is shown.", "持有人所签内容与所出示内容不一致。")
        if not _equal(claims.get("aud"), audience) or not _equal(claims.get("nonce"), nonce):
            raise NotBound(
                "The holder's signature was made for somebody else's question.", "持有人的签名是为其他验证方作出的。"
            )
        if not at - max_age - CLOCK_ALLOWANCE <= made <= at + CLOCK_ALLOWANCE:
            raise NotBound(
                "The holder's signature is too old; have the credential shown again.", "持有人签名已过时；请重新出示。"
            )
        return made


def read(text: str) -> SdJwt:
    """Take an SD-JWT apart, bounded, and put the disclosures in their places.

    :raises BadSdJwt: it breaks a rule of §7.1: a digest twice, a disclosure that belongs nowhere, a name that is taken …
    """
    if len(text) > MAX_BYTES or not text.isascii() or "~" not in text:
        raise _bad("it is no SD-JWT, or too large", "不是 SD-JWT 或内容过大")
    jwt, *disclosed, last = text.split("~")
    if len(disclosed) > MAX_DISCLOSURES or len(set(disclosed)) != len(disclosed):
        raise _bad("a disclosure comes twice, or there are too many", "披露项重复或过多")
    try:
        header, payload = jose.claimed(jwt, max_payload=MAX_BYTES)
        if last:
            jose.claimed(last, max_payload=MAX_BYTES)
    except BadInput as exc:
        raise _bad("its signed part cannot be read", "签名部分无法读取") from exc
    algorithm = payload.get("_sd_alg", "sha-256")
    if not isinstance(algorithm, str) or algorithm not in _DIGESTS:
        raise _bad("its digests are of an unknown kind", "摘要算法未知")
    disclosures = tuple(_disclosure(one) for one in disclosed)
    reading = _Reading({d.digest(algorithm): d for d in disclosures})
    claims = reading.restore({k: v for k, v in payload.items() if k != "_sd_alg"}, (), 0)
    if len(reading.paths) != len(disclosures):
        raise _bad("a disclosure belongs nowhere", "有披露项无对应摘要")
    paths = tuple(reading.paths[d.text] for d in disclosures)
    return SdJwt(jwt, header, payload, disclosures, claims, paths, last or None)


class _Reading:
    """Puts disclosures where their digests stand (§7.1 step 3)."""

    def __init__(self, by_digest: dict[str, Disclosure]) -> None:
        self.by_digest = by_digest
        self.seen: set[str] = set()
        self.paths: dict[str, Path] = {}

    def restore(self, value: Any, path: Path, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise _bad("it is nested too deep", "嵌套过深")
        if isinstance(value, dict):
            return self._object(value, path, depth)
        if isinstance(value, list):
            return self._array(value, path, depth)
        return value

    def _object(self, value: dict[str, Any], path: Path, depth: int) -> dict[str, Any]:
        if "..." in value or (path and "_sd_alg" in value):
            raise _bad("a reserved name stands where it may not", "保留名称出现在不允许的位置")
        out = {name: self.restore(member, (*path, name), depth + 1) for name, member in value.items() if name != "_sd"}
        digests = value.get("_sd", [])
        if not isinstance(digests, list):
            raise _bad("its digests are no list", "摘要不是列表")
        for digest in digests:
            found = self._found(digest)
            if found is None:
                continue
            if found.name is None or found.name in _RESERVED or found.name in out or found.name in value:
                raise _bad("a disclosure's name may not stand there", "披露项名称冲突或不允许")
            self.paths[found.text] = (*path, found.name)
            out[found.name] = self.restore(found.value, (*path, found.name), depth + 1)
        return out

    def _array(self, value: list[Any], path: Path, depth: int) -> list[Any]:
        out: list[Any] = []
        for index, item in enumerate(value):
            if not (isinstance(item, dict) and "..." in item):
                out.append(self.restore(item, (*path, index), depth + 1))
                continue
            if len(item) != 1:
                raise _bad("a digest in an array has company", "数组摘要格式不正确")
            found = self._found(item["..."])
            if found is None:
                continue
            if found.name is not None:
                raise _bad("a disclosure is of the wrong kind", "披露项类型不正确")
            # Places count as the issuer gave them, whatever is left out before.
            self.paths[found.text] = (*path, index)
            out.append(self.restore(found.value, (*path, index), depth + 1))
        return out

    def _found(self, digest: Any) -> Disclosure | None:
        if not isinstance(digest, str) or digest in self.seen:
            raise _bad("a digest stands twice, or is none", "摘要重复或无效")
        self.seen.add(digest)
        return self.by_digest.get(digest)


def _disclosure(text: str) -> Disclosure:
    try:
        if not _DISCLOSURE.fullmatch(text):
            raise ValueError("form")
        content = jose.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError) as exc:
        raise _bad("a disclosure cannot be read", "披露项无法读取") from exc
    if not isinstance(content, list) or len(content) not in (2, 3) or not isinstance(content[0], str):
        raise _bad("a disclosure cannot be read", "披露项无法读取")
    if len(content) == 3 and not isinstance(content[1], str):
        raise _bad("a disclosure cannot be read", "披露项无法读取")
    return Disclosure(text, content[1] if len(content) == 3 else None, content[-1])


# --- presenting ----------------------------------------------------------------------------------------------------------


def present(text: str, wanted: Callable[[Path], bool]) -> str:
    """Only those disclosures whose place the holder wants to show, and what they stand in (§7.2), without a KB-JWT.

    :param wanted: asked for the path of each, such as ``("address", "locality")`` or ``("scope", 0)``
    :raises BadSdJwt: not an SD-JWT
    """
    whole = read(text)
    chosen = {path for path in whole.paths if wanted(path)}
    kept = [
        disclosure.text
        for disclosure, path in zip(whole.disclosures, whole.paths, strict=True)
        if any(one[: len(path)] == path for one in chosen)
    ]
    return "~".join([whole.jwt, *kept, ""])


def bind(text: str, signer: Signer, *, audience: str, nonce: str, at: datetime) -> str:
    """Add the holder's signature over this very presentation (§4.3): the KB-JWT. One signature.

    :raises BadSdJwt: not an SD-JWT, or bound already
    """
    whole = read(text)
    if whole.binding is not None:
        raise _bad("it is bound already", "已附持有人签名")
    digest = _b64(_DIGESTS[whole.algorithm](text.encode("ascii")).digest())
    claims = {"iat": int(at.timestamp()), "aud": audience, "nonce": nonce, "sd_hash": digest}
    return text + jose.sign({"typ": KB_TYPE}, claims, signer)


# --- verifying -----------------------------------------------------------------------------------------------------------


def verify(
    text: str, keys: Iterable[PublicKey], *, at: datetime, audience: str | None = None, nonce: str | None = None
) -> SdJwt:
    """All checks of §7.1 and, where ``audience`` and ``nonce`` are given, of §7.3 (key binding is then demanded).

    :param keys: the issuer's
    :raises NotBound: the key binding; :raises OutOfTime: the credential's own time; :raises BadSdJwt: anything else
    """
    found = read(text)
    if found.issuer(keys) is None:
        raise _bad("no key that is known here signed it", "未由此处已知的密钥签署")
    found.check_time(at)
    if audience is not None or nonce is not None:
        found.check_binding(audience=audience or "", nonce=nonce or "", at=at)
    return found


def check_vc(found: SdJwt) -> str:
    """What SD-JWT VC demands beyond SD-JWT: its type, ``vct``, and nothing hidden that must be seen. The ``vct``.

    :raises BadSdJwt: it is no SD-JWT VC
    """
    if found.header.get("typ") not in (VC_TYPE, "vc+sd-jwt"):
        raise _bad("it is no verifiable credential (typ)", "不是可验证凭证（typ）")
    if any(path[0] in ALWAYS_SHOWN for path in found.paths):
        raise _bad("a claim is hidden that must be seen", "不允许隐藏的声明被隐藏")
    vct = found.payload.get("vct")
    if not isinstance(vct, str) or not vct:
        raise _bad("it does not say of which type it is (vct)", "未说明凭证类型（vct）")
    return vct


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _moment(value: Any) -> datetime | None:
    """NumericDate; None where there is none. :raises BadSdJwt: it is no time"""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 253402300800:
        raise _bad("a time in it is none", "时间格式不正确")
    return datetime.fromtimestamp(value, UTC)


def _equal(found: Any, expected: str) -> bool:
    return isinstance(found, str) and hmac.compare_digest(found.encode(), expected.encode())


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _bad(why: str, why_zh: str) -> BadSdJwt:
    return BadSdJwt(f"The credential cannot be used: {why}.", f"凭证无法使用：{why_zh}。")
