"""Shared ASN.1 ground: the Chinese algorithms made known to asn1crypto, strict DER slicing, algorithm identifiers.

Importing this module registers, once and for the whole process (asn1crypto keeps its tables on its classes, and pyHanko reads
the same ones): the SM2 curve, SM3, SM2-with-SM3, the GB/T 35275 content types and our esID certificate extension.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, overload

from asn1crypto import algos, core, keys, x509

from crypto import algorithms
from crypto.der import NotDer
from crypto.errors import BadInput, XinyinError
from crypto.suites import DigestAlgorithm, Scheme

OID_SM2_CURVE = "1.2.156.10197.1.301"
OID_SM2_SIGN = "1.2.156.10197.1.301.1"
OID_SM3 = "1.2.156.10197.1.401"
OID_SM2_SM3 = "1.2.156.10197.1.501"
OID_ES_ID = "2.25.31013451988677632587949467029706391618"
"""esID of the seal a certificate belongs to: a non-critical extension holding an IA5String."""

MAX_DEPTH = 48
MAX_ELEMENTS = 200_000

T = TypeVar("T")


class MalformedDer(BadInput):
    """Bytes that are not the DER structure they are meant to be."""

    code = "malformed-der"


def malformed(what: str, what_zh: str, why: str = "") -> MalformedDer:
    """The refusal for ``what``, with the technical reason in ``detail``."""
    return MalformedDer(
        f"The {what} is damaged or is not what it says it is; ask its sender for it again.",
        f"{what_zh}已损坏或格式不符；请向提供方重新索取。",
        reason=why,
    )


def _register() -> None:
    """Teach asn1crypto the GM/T 0006 identifiers (idempotent)."""

    def name(table: Any, oid: str, label: str) -> None:
        table._map = {**table._map, oid: label}
        # Filled by asn1crypto at first use only: too late where another library was there before us.
        table._reverse_map = {known: dotted for dotted, known in table._map.items()}

    keys.NamedCurve.register("sm2p256v1", OID_SM2_CURVE, 32)
    name(algos.DigestAlgorithmId, OID_SM3, "sm3")
    name(algos.SignedDigestAlgorithmId, OID_SM2_SM3, "sm2_sm3")
    name(algos.SignedDigestAlgorithmId, OID_SM2_SIGN, "sm2")
    name(x509.ExtensionId, OID_ES_ID, "es_id")
    x509.Extension._oid_specs = {**x509.Extension._oid_specs, "es_id": core.IA5String}
    for attribute, answer in (("signature_algo", "sm2"), ("hash_algo", "sm3")):
        original = getattr(algos.SignedDigestAlgorithm, attribute).fget
        setattr(algos.SignedDigestAlgorithm, attribute, property(_with_sm2(original, answer)))


def _with_sm2(original: Callable[[Any], str], answer: str) -> Callable[[Any], str]:
    """asn1crypto keeps these two tables inside the property, so the property itself has to learn SM2."""

    def value(self: Any) -> str:
        return answer if self["algorithm"].native in ("sm2_sm3", "sm2") else original(self)

    return value


if "sm3" not in algos.DigestAlgorithmId._map.values():
    _register()


# --- DER ------------------------------------------------------------------------------------------------------------------


def header(data: bytes, offset: int, limit: int) -> tuple[int, int, int]:
    """One TLV header: (first tag byte, offset of the contents, offset behind the contents).

    :raises ValueError: cut off, indefinite length, or reaching over ``limit``
    """
    tag = data[offset] if offset < limit else -1
    if tag < 0:
        raise ValueError("cut off before a tag")
    position = offset + 1
    if tag & 0x1F == 0x1F:
        while position < limit and data[position] & 0x80:
            position += 1
        position += 1
    if position >= limit:
        raise ValueError("cut off before a length")
    length = data[position]
    position += 1
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or position + size > limit:
            raise ValueError("indefinite, oversized or cut off length")
        length = int.from_bytes(data[position : position + size], "big")
        position += size
    if position + length > limit:
        raise ValueError("contents reach beyond their container")
    return tag, position, position + length


def children(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(tag, offset, contents offset, end) of each element from ``start`` to ``end``. :raises ValueError: as :func:`header`"""
    while start < end:
        tag, inner, stop = header(data, start, end)
        yield tag, start, inner, stop
        start = stop


def check_der(data: bytes, *, what: str, what_zh: str, max_bytes: int) -> None:
    """Bounded structural check before asn1crypto sees hostile bytes: exactly one element, definite lengths that nest.

    :raises MalformedDer: too big, too deep, too many elements, trailing bytes, indefinite or overreaching lengths
    """
    if len(data) > max_bytes:
        raise malformed(what, what_zh, f"{len(data)} bytes, at most {max_bytes} are read")
    try:
        _, _, end = header(data, 0, len(data))
        if end != len(data):
            raise ValueError("trailing bytes")
        stack = [children(data, 0, len(data))]
        count = 0
        while stack:
            element = next(stack[-1], None)
            if element is None:
                stack.pop()
                continue
            count += 1
            if count > MAX_ELEMENTS:
                raise ValueError("too many elements")
            tag, _, inner, stop = element
            if tag & 0x20:
                if len(stack) >= MAX_DEPTH:
                    raise ValueError("nested too deeply")
                stack.append(children(data, inner, stop))
    except ValueError as exc:
        raise malformed(what, what_zh, str(exc)) from exc


_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\s+(.*?)-----END \1-----", re.DOTALL)


def pem_blocks(data: bytes, label: str) -> list[bytes]:
    """DER of every PEM block (RFC 7468) with this label, in order; [] if there is none.

    :raises MalformedDer: a block that is not base64
    """
    try:
        return [
            b64decode(b"".join(body.split()), validate=True)
            for found, body in _PEM.findall(data)
            if found == label.encode("ascii")
        ]
    except Base64Error as exc:
        raise malformed("PEM text", "PEM 文本", str(exc)) from exc


class lazy(Generic[T]):  # noqa: N801 - a decorator
    """A property computed once; whatever goes wrong while decoding comes out as :class:`MalformedDer`.

    The owner says what it is in ``_what`` and ``_what_zh``, and has a ``__dict__``.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: Any, owner: type) -> T | lazy[T]:
        if instance is None:
            return self
        try:
            value = self.function(instance)
        except XinyinError:
            raise
        except Exception as exc:  # asn1crypto raises ValueError, TypeError, KeyError, IndexError, OverflowError …
            raise malformed(instance._what, instance._what_zh, f"{self.name}: {type(exc).__name__}: {exc}"[:300]) from exc
        instance.__dict__[self.name] = value
        return value


# --- algorithm identifiers --------------------------------------------------------------------------------------------------


def signature_algorithm(scheme: Scheme) -> algos.SignedDigestAlgorithm:
    """AlgorithmIdentifier of a scheme: RSA with NULL parameters (RFC 4055), PSS with explicit ones, ECDSA and SM2 without."""
    return algos.SignedDigestAlgorithm.load(algorithms.signature_identifier(scheme))


def scheme_of(identifier: algos.SignedDigestAlgorithm) -> Scheme | None:
    """The scheme an AlgorithmIdentifier names; None for one that no suite covers (SHA-1, odd PSS parameters, other curves).

    ``ecdsa-with-SHA256`` means P-256 here, because the suites have no other curve; the key decides.
    """
    try:
        return algorithms.read_signature(identifier.dump())
    except NotDer:
        return None


def digest_algorithm(digest: DigestAlgorithm) -> algos.DigestAlgorithm:
    """AlgorithmIdentifier of a digest: NULL parameters with SHA-2 (which every reader accepts, RFC 5754 §2), none with SM3."""
    return algos.DigestAlgorithm({"algorithm": digest.value})
