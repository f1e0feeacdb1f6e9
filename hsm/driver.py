"""From a message to a token's signature: digests, mechanisms, encodings, as the vendor profile says."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from asn1crypto.algos import DigestInfo
from asn1crypto.keys import PublicKeyInfo, RSAPublicKey
from pkcs11 import MGF, Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11 import exceptions as p11

from crypto import sm2
from crypto.errors import MalformedSignature
from crypto.keys import PublicKey, digest
from crypto.suites import DigestAlgorithm, Scheme, Suite, default_scheme
from hsm.errors import FaultySignature, KeyMissing, ProfileMismatch
from hsm.pkcs11lib import vendor_key_type, vendor_mechanism
from hsm.profile import Profile, Sm2Profile

_P256 = bytes.fromhex("06082a8648ce3d030107")
_SM2 = bytes.fromhex("06082a811ccf5501822d")
_SIGNING = MechanismFlag.SIGN | MechanismFlag.VERIFY

_PKCS1 = {
    DigestAlgorithm.SHA256: Mechanism.SHA256_RSA_PKCS,
    DigestAlgorithm.SHA384: Mechanism.SHA384_RSA_PKCS,
    DigestAlgorithm.SHA512: Mechanism.SHA512_RSA_PKCS,
}
_PSS = {
    DigestAlgorithm.SHA256: (Mechanism.SHA256_RSA_PKCS_PSS, Mechanism.SHA256, MGF.SHA256, 32),
    DigestAlgorithm.SHA384: (Mechanism.SHA384_RSA_PKCS_PSS, Mechanism.SHA384, MGF.SHA384, 48),
    DigestAlgorithm.SHA512: (Mechanism.SHA512_RSA_PKCS_PSS, Mechanism.SHA512, MGF.SHA512, 64),
}


class NoSm2(ProfileMismatch):
    """This token has no SM2 according to its profile."""

    code = "no-sm2"


def sign(key: Any, public: PublicKey, message: bytes, scheme: Scheme, profile: Profile) -> bytes:
    """The token's signature over ``message``, encoded as :class:`crypto.suites.Scheme` says; not yet verified.

    :param key: python-pkcs11's private key of a session that no other thread uses now
    :raises FaultySignature: the token returned something that is no signature
    """
    if public.suite is Suite.RSA:
        return _sign_rsa(key, message, scheme, profile)
    if public.suite is Suite.P256:
        return _sign_p256(key, message, profile)
    return _encode_sm2(sign_sm2_as_is(key, public, message, _sm2_profile(profile)), _sm2_profile(profile))


def _sign_rsa(key: Any, message: bytes, scheme: Scheme, profile: Profile) -> bytes:
    in_token = profile.rsa_hash == "token"
    data = message if in_token else digest(scheme.digest, message)
    if scheme.padding == "pss":
        mechanism, *parameter = _PSS[scheme.digest]
        return bytes(
            key.sign(data, mechanism=mechanism if in_token else Mechanism.RSA_PKCS_PSS, mechanism_param=tuple(parameter))
        )
    if in_token:
        return bytes(key.sign(data, mechanism=_PKCS1[scheme.digest]))
    info = DigestInfo({"digest_algorithm": {"algorithm": scheme.digest.value}, "digest": data})
    return bytes(key.sign(info.dump(), mechanism=Mechanism.RSA_PKCS))


def _sign_p256(key: Any, message: bytes, profile: Profile) -> bytes:
    if profile.p256_hash == "token":
        raw = bytes(key.sign(message, mechanism=Mechanism.ECDSA_SHA256))
    else:
        raw = bytes(key.sign(digest(DigestAlgorithm.SHA256, message), mechanism=Mechanism.ECDSA))
    return _ecdsa_der(raw)


def sign_sm2_as_is(key: Any, public: PublicKey, message: bytes, profile: Sm2Profile) -> bytes:
    """What the token returns for SM2, in the token's own encoding."""
    point = _sm2_point(public.spki)
    data = message
    if profile.input == "e":
        data = sm2.digest_e(point, message)
    elif profile.input == "z-message":
        data = sm2.za(point) + message
    return bytes(key.sign(data, mechanism=vendor_mechanism(profile.sign)))


def _encode_sm2(signature: bytes, profile: Sm2Profile) -> bytes:
    try:
        return sm2.raw_to_der(signature if profile.encoding == "raw" else sm2.der_to_raw(signature))
    except MalformedSignature as exc:
        raise faulty("SM2") from exc


def faulty(algorithm: str) -> FaultySignature:
    """The error for a signature that must not leave."""
    return FaultySignature(
        f"The token returned a wrong {algorithm} signature; it was discarded. Take the token out of "
        "service and run xinyin doctor.",
        f"令牌返回了错误的 {algorithm} 签名，已丢弃。请停用该令牌并执行 xinyin doctor。",
        algorithm=algorithm,
    )


def mechanisms_of(profile: Profile) -> dict[str, int]:
    """Every mechanism that this profile will ask a token for, by name."""
    rsa = [*_PKCS1.values(), *(pss[0] for pss in _PSS.values())] if profile.rsa_hash == "token" else []
    rsa = rsa or [Mechanism.RSA_PKCS, Mechanism.RSA_PKCS_PSS]
    p256 = Mechanism.ECDSA_SHA256 if profile.p256_hash == "token" else Mechanism.ECDSA
    wanted = [Mechanism.RSA_PKCS_KEY_PAIR_GEN, *rsa, Mechanism.EC_KEY_PAIR_GEN, p256]
    named = {m.name: int(m) for m in wanted}
    if profile.sm2 is not None:
        named |= {f"SM2 0x{value:08X}": value for value in (profile.sm2.generate, profile.sm2.sign)}
    return named


def _ecdsa_der(raw: bytes) -> bytes:
    if len(raw) != 64:
        raise faulty("ECDSA")
    parts = b""
    for number in (raw[:32], raw[32:]):
        body = number.lstrip(b"\0") or b"\0"
        body = b"\0" + body if body[0] & 0x80 else body
        parts += bytes((2, len(body))) + body
    return bytes((0x30, len(parts))) + parts


def _sm2_profile(profile: Profile) -> Sm2Profile:
    if profile.sm2 is None:
        raise NoSm2(
            f"Tokens of the profile {profile.name} have no SM2; use the development token (profile devtoken) "
            "or an HSM with SM2.",
            f"配置 {profile.name} 的令牌不支持 SM2；请使用开发令牌（配置 devtoken）或支持 SM2 的密码机。",
            profile=profile.name,
        )
    return profile.sm2


@lru_cache(maxsize=4096)
def _sm2_point(spki: bytes) -> Any:
    return sm2.load_public_key(spki)


# -- keys ---------------------------------------------------------------------------------------------------------------------


def generate(
    session: Any, suite: Suite, *, bits: int, key_id: bytes, label: str, profile: Profile, store: bool = True
) -> PublicKey:
    """Make a key pair in the token and return its public half.

    :param session: read/write and logged in
    :param bits: RSA modulus length; ignored for the others
    :param store: False makes keys that end with the session (for probing)
    """
    return public_of(make_pair(session, suite, bits=bits, key_id=key_id, label=label, profile=profile, store=store)[0], suite)


def make_pair(
    session: Any, suite: Suite, *, bits: int, key_id: bytes, label: str, profile: Profile, store: bool
) -> tuple[Any, Any]:
    """As :func:`generate`, giving python-pkcs11's public and private key."""
    private = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}
    common: dict[str, Any] = {
        "id": key_id,
        "label": label,
        "store": store,
        "capabilities": _SIGNING,
        "private_template": private,
    }
    if suite is Suite.RSA:
        return tuple(session.generate_keypair(KeyType.RSA, bits, **common))
    if suite is Suite.P256:
        template = {Attribute.EC_PARAMS: _P256}
        return tuple(
            session.generate_keypair(KeyType.EC, mechanism=Mechanism.EC_KEY_PAIR_GEN, public_template=template, **common)
        )
    vendor = _sm2_profile(profile)
    key_type = vendor_key_type(vendor.key_type)
    template = {Attribute.KEY_TYPE: key_type, Attribute.EC_PARAMS: _SM2}
    private[Attribute.KEY_TYPE] = key_type
    return tuple(
        session.generate_keypair(key_type, mechanism=vendor_mechanism(vendor.generate), public_template=template, **common)
    )


def find_public(session: Any, suite: Suite, key_id: bytes) -> PublicKey | None:
    """The public half of a stored pair, or None."""
    for found in session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: key_id}):
        return public_of(found, suite)
    return None


def public_of(key: Any, suite: Suite) -> PublicKey:
    """SubjectPublicKeyInfo from a token's public key object.

    :raises KeyMissing: the object holds no key of this suite
    """
    if suite is Suite.RSA:
        numbers = {
            "modulus": int.from_bytes(key[Attribute.MODULUS], "big"),
            "public_exponent": int.from_bytes(key[Attribute.PUBLIC_EXPONENT], "big"),
        }
        spki = PublicKeyInfo.wrap(RSAPublicKey(numbers), "rsa").dump()
    else:
        spki = _ec_spki(_P256 if suite is Suite.P256 else _SM2, bytes(key[Attribute.EC_POINT]))
    public = PublicKey.from_spki(spki)
    if public.suite is not suite:
        raise KeyMissing(
            f"The token's key is a {public.suite} key where the database says {suite}; restore the token or retire this key.",
            f"令牌中的密钥为 {public.suite}，与数据库记录的 {suite} 不符；请恢复令牌或停用该密钥。",
        )
    return public


def _ec_spki(curve: bytes, point: bytes) -> bytes:
    if len(point) == 67 and point[:2] == b"\x04\x41":  # the standard's OCTET STRING; some vendors leave it away
        point = point[2:]
    elif len(point) == 64:
        point = b"\x04" + point
    algorithm = bytes.fromhex("06072a8648ce3d0201") + curve
    body = bytes((0x30, len(algorithm))) + algorithm + bytes((0x03, len(point) + 1, 0)) + point
    return bytes((0x30, len(body))) + body


def destroy(session: Any, key_id: bytes) -> int:
    """Destroy both halves; the number of objects that went."""
    count = 0
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
        for found in list(session.get_objects({Attribute.CLASS: kind, Attribute.ID: key_id})):
            found.destroy()
            count += 1
    return count


# -- the probe ----------------------------------------------------------------------------------------------------------------

_MESSAGE = b"Xinyin probe: does this token sign as its profile says?"


def probe(session: Any, profile: Profile, suites: tuple[Suite, ...] = (Suite.P256, Suite.SM2)) -> None:
    """Sign and verify once with a fresh session key of each suite.

    :raises ProfileMismatch: with the one sentence that says what differs
    """
    for suite in suites:
        if suite is Suite.SM2 and profile.sm2 is None:
            continue
        try:
            pair = make_pair(
                session, suite, bits=2048, key_id=b"xinyin-probe", label="xinyin-probe", profile=profile, store=False
            )
            public = public_of(pair[0], suite)
            _probe_one(pair[1], public, profile)
        except (p11.MechanismInvalid, p11.TemplateInconsistent, p11.AttributeValueInvalid) as exc:
            raise _mismatch(profile, suite, f"it answers {type(exc).__name__}, so it knows other constants") from exc
        except p11.PKCS11Error as exc:
            raise _mismatch(profile, suite, f"it answers {type(exc).__name__}, so it wants other input") from exc


def _probe_one(key: Any, public: PublicKey, profile: Profile) -> None:
    if public.suite is not Suite.SM2:
        scheme = default_scheme(public.suite)
        if not public.verify(_MESSAGE, sign(key, public, _MESSAGE, scheme, profile), scheme):
            raise _mismatch(profile, public.suite, "its signature does not verify")
        return
    vendor = _sm2_profile(profile)
    signature = sign_sm2_as_is(key, public, _MESSAGE, vendor)
    wrong = diagnose_sm2(public, signature, vendor)
    if wrong:
        raise _mismatch(profile, Suite.SM2, wrong)


def diagnose_sm2(public: PublicKey, signature: bytes, profile: Sm2Profile) -> str | None:
    """What is wrong with a probe signature, in words that name the line of the profile to change; None if nothing is."""
    found: str | None = None
    raw = None
    if len(signature) == 64:
        found, raw = "raw", signature
    else:
        try:
            found, raw = "der", sm2.der_to_raw(sm2.normalise_signature(signature))
        except MalformedSignature:
            return f"it returned {len(signature)} bytes that are neither raw r‖s nor DER"
    try:
        der = sm2.raw_to_der(raw)
    except MalformedSignature:
        return "its r or s is out of range"
    point = _sm2_point(public.spki)
    handed = {"e": sm2.digest_e(point, _MESSAGE), "z-message": sm2.za(point) + _MESSAGE, "message": _MESSAGE}[profile.input]
    meant = sm2.digest_e(point, _MESSAGE)
    readings = {
        "": meant,
        "it hashes what it is given: set input to z-message": sm2.sm3(handed),
        "it computes Z and hashes by itself: set input to message": sm2.digest_e(point, handed),
    }
    for reading, e in readings.items():
        if sm2.verify_e(point, e, der):
            if found != profile.encoding:
                words = {"raw": "raw r‖s", "der": "DER"}
                said = f"it returns {words[found]}: set encoding to {found}"
                return f"{said}; {reading}" if reading else said
            return reading or None
    return "its signature verifies under no reading of its input"


def _mismatch(profile: Profile, suite: Suite, why: str) -> ProfileMismatch:
    return ProfileMismatch(
        f"The token does not sign {suite} as the profile {profile.name} says: {why}.",
        f"令牌的 {suite} 签名与厂商配置 {profile.name} 不符（{why}）；请更正配置文件或选择正确的厂商配置。",
        profile=profile.name,
        suite=str(suite),
        why=why,
    )
