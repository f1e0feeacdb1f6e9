"""Timestamps (RFC 3161, updated by RFC 5816; SM2/SM3 after GM/T 0033): requests, responses, tokens.

A token is a SignedData around a TSTInfo. Reading keeps the original bytes; a token says when something existed only if its own
signature, its unit's certificate and that certificate's trust hold, which :meth:`TimestampToken.check` (arithmetic) and the
verifier (trust) decide.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from functools import cached_property

from crypto import algorithms, der, keys
from crypto.der import NotDer, Tlv
from crypto.errors import BadInput, Unavailable, XinyinError
from crypto.keys import Signer
from crypto.suites import DigestAlgorithm, Scheme, default_scheme
from formats import cms
from formats.asn1 import MalformedDer, malformed
from formats.x509 import Certificate

TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
"""Extended key usage that a timestamp unit's certificate must carry, alone and critical (RFC 3161 §2.3)."""
MAX_REQUEST = 64 << 10
MAX_RESPONSE = 1 << 20
_BOOLEAN = 0x01
_GRANTED = (0, 1)  # granted, grantedWithMods


class Failure(IntEnum):
    """PKIFailureInfo bits (RFC 3161 §2.4.2)."""

    BAD_ALG = 0
    BAD_REQUEST = 2
    BAD_DATA_FORMAT = 5
    TIME_NOT_AVAILABLE = 14
    UNACCEPTED_POLICY = 15
    UNACCEPTED_EXTENSION = 16
    ADD_INFO_NOT_AVAILABLE = 17
    SYSTEM_FAILURE = 25


class RequestRefused(BadInput):
    """A timestamp request that is readable and cannot be granted; ``failure`` is what the response says."""

    code = "timestamp-request-refused"

    def __init__(self, message: str, message_zh: str, failure: Failure) -> None:
        super().__init__(message, message_zh, failure=failure.name.lower())
        self.failure = failure


class TimestampRefused(Unavailable):
    """The timestamp authority answered, and not with the token that was asked for."""

    code = "timestamp-refused"


@dataclass(frozen=True)
class TimestampRequest:
    """``TimeStampReq``: digest and imprint to stamp, wanted policy (dotted OID), nonce, whether to embed certificates."""

    digest: DigestAlgorithm
    imprint: bytes
    policy: str | None = None
    nonce: int | None = None
    certificates_wanted: bool = False


@dataclass(frozen=True)
class TimestampResponse:
    """``TimeStampResp``: PKIStatus, its free text, the first failure bit, and the token's DER when granted."""

    status: int
    text: str
    failure: int | None
    token: bytes | None = field(repr=False)

    @property
    def granted(self) -> bool:
        return self.status in _GRANTED and self.token is not None


# --- requests ---------------------------------------------------------------------------------------------------------------


def build_request(
    digest: DigestAlgorithm, imprint: bytes, *, nonce: int | None = None, policy: str | None = None, certificates: bool = True
) -> bytes:
    """DER ``TimeStampReq``; without ``nonce`` a random one of 64 bits is taken (0 is a nonce, use -1 for none)."""
    if nonce is None:
        nonce = secrets.randbits(64)
    return der.sequence(
        b"\x02\x01\x01",
        _imprint(digest, imprint),
        der.oid(policy) if policy else b"",
        der.integer(nonce) if nonce >= 0 else b"",
        b"\x01\x01\xff" if certificates else b"",
    )


def _imprint(digest: DigestAlgorithm, imprint: bytes) -> bytes:
    if len(imprint) != algorithms.DIGEST_SIZES[digest]:
        raise RequestRefused(
            f"The imprint has {len(imprint)} bytes, which no {digest} digest has; send the digest of the data.",
            f"时间戳请求的摘要长度为 {len(imprint)} 字节，与 {digest} 不符；请发送数据的摘要值。",
            Failure.BAD_DATA_FORMAT,
        )
    return der.sequence(algorithms.digest_identifier(digest), der.octet_string(imprint))


def parse_request(data: bytes) -> TimestampRequest:
    """Read a ``TimeStampReq``.

    :raises MalformedDer: not one
    :raises RequestRefused: readable, but with an unknown digest, a wrong length, or an extension
    """
    try:
        if len(data) > MAX_REQUEST:
            raise NotDer("too big for a request")
        return _parse_request(data)
    except NotDer as exc:
        raise malformed("timestamp request", "时间戳请求", str(exc)) from exc


def _parse_request(data: bytes) -> TimestampRequest:
    outer = der.expect(data, der.SEQUENCE)
    fields = der.children(data, outer, 6)
    if outer.end != len(data) or len(fields) < 2 or der.read_unsigned(data, fields[0]) != 1:
        raise NotDer("no TimeStampReq of version 1")
    oid, imprint = _read_imprint(data, fields[1])
    digest = next((d for d, o in algorithms.DIGEST_OIDS.items() if o == oid), None)
    if digest is None:
        raise RequestRefused(
            "The digest algorithm of the timestamp request is not offered; use SHA-256, SHA-384, SHA-512 or SM3.",
            "时间戳请求使用了不支持的摘要算法；请使用 SHA-256、SHA-384、SHA-512 或 SM3。",
            Failure.BAD_ALG,
        )
    _imprint(digest, imprint)
    rest = {f.tag: f for f in fields[2:]}
    if 0xA0 in rest:
        raise RequestRefused(
            "The timestamp request has extensions, and none is supported; send it without.",
            "时间戳请求带有不受支持的扩展；请去掉扩展后重发。",
            Failure.UNACCEPTED_EXTENSION,
        )
    if not set(rest) <= {der.OID, der.INTEGER, _BOOLEAN}:
        raise NotDer("an unknown field in a TimeStampReq")
    return TimestampRequest(
        digest=digest,
        imprint=imprint,
        policy=der.read_oid(data, rest[der.OID]) if der.OID in rest else None,
        nonce=_signed(data, rest.get(der.INTEGER)),
        certificates_wanted=_BOOLEAN in rest and data[rest[_BOOLEAN].body : rest[_BOOLEAN].end] != b"\0",
    )


def _signed(data: bytes, element: Tlv | None) -> int | None:
    """An INTEGER of either sign, at most 64 bytes (nonces are the client's affair)."""
    if element is None:
        return None
    if element.tag != der.INTEGER or not 1 <= element.end - element.body <= 64:
        raise NotDer("an INTEGER of an odd size")
    return int.from_bytes(data[element.body : element.end], "big", signed=True)


def _read_imprint(data: bytes, element: Tlv) -> tuple[str, bytes]:
    parts = der.children(data, der.expect(data, der.SEQUENCE, element.start, element.end), 2)
    if [p.tag for p in parts] != [der.SEQUENCE, der.OCTET_STRING]:
        raise NotDer("no MessageImprint")
    return algorithms.identifier_oid(data[parts[0].start : parts[0].end]), data[parts[1].body : parts[1].end]


# --- tokens and responses ---------------------------------------------------------------------------------------------------


def build_token(
    *,
    digest: DigestAlgorithm,
    imprint: bytes,
    serial: int,
    gen_time: datetime,
    policy: str,
    signer: Signer,
    certificate: Certificate,
    scheme: Scheme | None = None,
    chain: Sequence[Certificate] = (),
    nonce: int | None = None,
    accuracy_seconds: int = 1,
    embed_certificates: bool = True,
) -> bytes:
    """A TimeStampToken: DER ContentInfo around the signed TSTInfo (RFC 3161 §2.4.2, signing-certificate-v2 after RFC 5816).

    :param imprint: digest of the stamped data under ``digest``
    :param gen_time: kept to the millisecond
    :param policy: dotted OID of the timestamp policy
    :param chain: issuers to embed beside ``certificate``
    """
    scheme = scheme or default_scheme(signer.public_key.suite)
    info = der.sequence(
        b"\x02\x01\x01",
        der.oid(policy),
        _imprint(digest, imprint),
        der.integer(serial),
        _generalized_time(gen_time),
        der.sequence(der.integer(accuracy_seconds)),
        der.integer(nonce) if nonce is not None else b"",
    )
    attributes = cms.signed_attributes(
        content_digest=keys.digest(scheme.digest, info),
        digest=scheme.digest,
        signing_certificate=certificate,
        content_type=cms.TST_INFO,
    )
    return cms.signed_data(
        signed_attrs=attributes,
        signature=signer.sign(attributes, scheme),
        scheme=scheme,
        certificates=[certificate, *chain],
        content_type=cms.TST_INFO,
        content=info,
        embed_certificates=embed_certificates,
    )


def _generalized_time(when: datetime) -> bytes:
    """GeneralizedTime in UTC; DER wants fractions without trailing zeros and none at all for whole seconds."""
    when = when.astimezone(UTC)
    text = when.strftime("%Y%m%d%H%M%S")
    milliseconds = when.microsecond // 1000
    if milliseconds:
        text += f".{milliseconds:03d}".rstrip("0")
    return der.tlv(der.GENERALIZED_TIME, text.encode() + b"Z")


def build_response(token: bytes) -> bytes:
    """``TimeStampResp`` with status granted."""
    return der.sequence(b"\x30\x03\x02\x01\x00", token)


def build_rejection(failure: Failure, text: str) -> bytes:
    """``TimeStampResp`` with status rejection, a sentence, and one failure bit."""
    octets = bytearray(failure // 8 + 1)
    octets[failure // 8] = 0x80 >> (failure % 8)
    unused = 7 - failure % 8
    status = der.sequence(
        der.integer(2),
        der.sequence(der.tlv(der.UTF8_STRING, text.encode())),
        der.tlv(der.BIT_STRING, bytes([unused]) + bytes(octets)),
    )
    return der.sequence(status)


def parse_response(data: bytes) -> TimestampResponse:
    """Read a ``TimeStampResp``. :raises MalformedDer: not one"""
    try:
        if len(data) > MAX_RESPONSE:
            raise NotDer("too big for a response")
        outer = der.children(data, der.expect(data, der.SEQUENCE), 2)
        if not outer or outer[0].tag != der.SEQUENCE:
            raise NotDer("no PKIStatusInfo")
        status = der.children(data, outer[0], 3)
        if not status:
            raise NotDer("no PKIStatus")
        rest = {f.tag: f for f in status[1:]}
        return TimestampResponse(
            status=der.read_unsigned(data, status[0]),
            text=_free_text(data, rest.get(der.SEQUENCE)),
            failure=_first_bit(data, rest.get(der.BIT_STRING)),
            token=data[outer[1].start : outer[1].end] if len(outer) == 2 else None,
        )
    except NotDer as exc:
        raise malformed("timestamp response", "时间戳响应", str(exc)) from exc


def _free_text(data: bytes, element: Tlv | None) -> str:
    if element is None:
        return ""
    texts = (data[t.body : t.end].decode("utf-8", "replace") for t in der.children(data, element, 20))
    return "; ".join(texts)[:500]


def _first_bit(data: bytes, element: Tlv | None) -> int | None:
    bits = data[element.body + 1 : element.end] if element is not None else b""
    return next((i for i in range(min(len(bits), 8) * 8) if bits[i // 8] & 0x80 >> i % 8), None)


def token_of(response: bytes, request: bytes) -> bytes:
    """The token of a response, after checking that it answers this request: imprint, nonce, policy.

    :raises TimestampRefused: rejected, or an answer to something else
    :raises MalformedDer: no response
    """
    answer, asked = parse_response(response), parse_request(request)
    if not answer.granted or answer.token is None:
        raise TimestampRefused(
            f"The timestamp authority refused (status {answer.status}): {answer.text or 'no reason given'}. Try again later.",
            f"时间戳服务拒绝了请求（状态 {answer.status}）：{answer.text or '未说明原因'}。请稍后重试。",
            failure=answer.failure,
        )
    token = TimestampToken.parse(answer.token)
    same = token.digest is asked.digest and token.imprint == asked.imprint and token.nonce == asked.nonce
    if not same or (asked.policy is not None and token.policy != asked.policy):
        raise TimestampRefused(
            "The timestamp authority's answer belongs to another request; try again, and report it if it recurs.",
            "时间戳服务返回的时间戳与请求不符；请重试，如再次出现请报告管理员。",
        )
    return answer.token


@dataclass(frozen=True)
class TimestampToken:
    """A TimeStampToken over its original bytes; make it with :meth:`parse`.

    ``imprint`` is what was stamped, under ``digest_oid``; ``accuracy_seconds`` is None when the unit states none.
    """

    view: cms.SignedDataView = field(repr=False)
    gen_time: datetime
    policy: str
    digest_oid: str
    imprint: bytes
    serial: int
    nonce: int | None
    accuracy_seconds: float | None

    @classmethod
    def parse(cls, data: bytes) -> TimestampToken:
        """Read a token. :raises MalformedDer: no SignedData, not exactly one signer, or no TSTInfo in it"""
        view = cms.parse_signed_data(data)
        if view.content is None or view.content_type != cms.TST_INFO or len(view.signers) != 1:
            raise _malformed_token("no SignedData of one signer around a TSTInfo")
        try:
            return cls(view, *_tst_info(view.content))
        except NotDer as exc:
            raise _malformed_token(str(exc)) from exc

    @property
    def der(self) -> bytes:
        return self.view.der

    @property
    def digest(self) -> DigestAlgorithm | None:
        """The imprint's digest, None for one that our suites do not accept (SHA-1 …)."""
        return next((d for d, o in algorithms.DIGEST_OIDS.items() if o == self.digest_oid), None)

    @property
    def signer(self) -> cms.SignerInfoView:
        return self.view.signers[0]

    @cached_property
    def certificate(self) -> Certificate | None:
        """The unit's certificate, if the token carries it."""
        return self.view.certificate_of(self.signer)

    def stamps(self, content: Sequence[bytes | memoryview]) -> bool:
        """Whether it is this content (in pieces) that was stamped."""
        return cms.digest_by_oid(self.digest_oid, content) == self.imprint

    def check(self, certificate: Certificate | None = None) -> cms.SignerCheck:
        """Arithmetic of the token's own signature; ``problems`` says when the certificate is no timestamp unit's.

        :param certificate: the unit's, where the token does not carry it
        """
        unit = certificate or self.certificate
        if unit is None:
            return cms.SignerCheck(False, False, None, False, ("certificate-missing",))
        result = self.signer.check(unit, (self.view.content or b"",))
        problems = list(result.problems)
        if result.bound is None:  # RFC 3161 §2.4.2: the attribute is mandatory in a token
            problems.append("signing-certificate-missing")
        try:
            if unit.extended_key_usage != frozenset({TIME_STAMPING}):
                problems.append("not-a-timestamp-certificate")
        except XinyinError:
            problems.append("certificate-unreadable")
        return cms.SignerCheck(
            result.digest_matches, result.signature_valid, bool(result.bound), result.accepted_algorithm, tuple(problems)
        )


def _malformed_token(why: str) -> MalformedDer:
    return malformed("timestamp token", "时间戳", why)


def _tst_info(data: bytes) -> tuple[datetime, str, str, bytes, int, int | None, float | None]:
    """(gen_time, policy, digest OID, imprint, serial, nonce, accuracy in seconds) of a TSTInfo."""
    outer = der.expect(data, der.SEQUENCE)
    fields = der.children(data, outer, 10)
    if outer.end != len(data) or len(fields) < 5 or der.read_unsigned(data, fields[0]) != 1:
        raise NotDer("no TSTInfo of version 1")
    digest_oid, imprint = _read_imprint(data, fields[2])
    serial = _signed(data, fields[3])
    assert serial is not None
    rest = {f.tag: f for f in fields[5:]}
    return (
        cms.read_time(data[fields[4].start : fields[4].end]),
        der.read_oid(data, fields[1]),
        digest_oid,
        imprint,
        serial,
        _signed(data, rest.get(der.INTEGER)),
        _accuracy(data, rest[der.SEQUENCE]) if der.SEQUENCE in rest else None,
    )


def _accuracy(data: bytes, element: Tlv) -> float:
    """``Accuracy``: seconds, milliseconds [0], microseconds [1], each optional."""
    scale = {der.INTEGER: 1.0, 0x80: 1e-3, 0x81: 1e-6}
    total = 0.0
    for part in der.children(data, element, 3):
        if part.tag not in scale or part.end - part.body > 4:
            raise NotDer("no Accuracy")
        total += int.from_bytes(data[part.body : part.end], "big") * scale[part.tag]
    return total
