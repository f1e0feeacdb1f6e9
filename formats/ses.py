"""Electronic seals and their signatures.

GB/T 38540-2020 (version 4), its successor's layout (5), and GM/T 0031-2014 (1; real files also say 2).

Building writes versions 4 and 5. Reading keeps slices of the original bytes, over which every signature is verified; a
re-encoding is never signed nor checked. Structures as found in nine vendors' files: an explicit ``critical FALSE``, r
without its leading zero, raw r‖s, UTCTime and GeneralizedTime, all are read.

What is checked here is arithmetic; chains, dates and revocation belong to the verifier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import TypedDict, TypeVar

from crypto import algorithms, der, sm2
from crypto.der import NotDer, Tlv
from crypto.errors import XinyinError
from crypto.keys import Signer
from crypto.suites import Scheme, Suite, default_scheme
from formats import ber, cms
from formats.asn1 import malformed
from formats.x509 import Certificate

MAX_BYTES = 8 << 20
_MAX_CERTIFICATES, _MAX_EXTENSIONS = 100, 100
_BOOLEAN = 0x01
_DEFAULT_VENDOR = "xinyin"
T = TypeVar("T")


class Layout(StrEnum):
    """Which standard's field order a structure has."""

    GMT_0031_2014 = "gmt0031-2014"
    GBT_38540_2020 = "gbt38540-2020"


@dataclass(frozen=True)
class SealPicture:
    """``SES_ESPictureInfo``: the file type as written (PNG, png, gif, bmp, ofd …), the file, and its size in millimetres."""

    kind: str
    data: bytes = field(repr=False)
    width_mm: int
    height_mm: int


@dataclass(frozen=True)
class ExtensionData:
    """``ExtData``: dotted OID, critical, value."""

    oid: str
    critical: bool
    value: bytes


@dataclass(frozen=True)
class SealInfo:
    """What goes into a seal to be made (``SES_SealInfo``, GB/T 38540-2020 §6.1).

    :ivar kind: 1 unit seal, 2 personal seal
    :ivar certificates: DER of the signers' certificates that may use the seal (certListType 1)
    """

    es_id: str
    name: str
    kind: int
    certificates: Sequence[bytes]
    created: datetime
    valid_from: datetime
    valid_to: datetime
    picture: SealPicture
    vendor: str = _DEFAULT_VENDOR
    extensions: Sequence[ExtensionData] = ()


# --- building ---------------------------------------------------------------------------------------------------------------


def build_seal_info(info: SealInfo, *, version: int = 4) -> bytes:
    """DER ``SES_SealInfo`` of version 4 or 5: what the seal maker signs."""
    header = der.sequence(_ia5("ES"), der.integer(version), _ia5(info.vendor))
    properties = der.sequence(
        der.integer(info.kind),
        der.tlv(der.UTF8_STRING, info.name.encode()),
        der.integer(1),
        der.sequence(*(der.octet_string(certificate) for certificate in info.certificates)),
        _generalized(info.created),
        _generalized(info.valid_from),
        _generalized(info.valid_to),
    )
    picture = der.sequence(
        _ia5(info.picture.kind),
        der.octet_string(info.picture.data),
        der.integer(info.picture.width_mm),
        der.integer(info.picture.height_mm),
    )
    return der.sequence(header, _ia5(info.es_id), properties, picture, _extensions(info.extensions))


def build_seal(
    seal_info: bytes, signer: Signer, maker: Certificate, *, scheme: Scheme | None = None, timestamp: bytes | None = None
) -> bytes:
    """DER ``SESeal`` around a ``SES_SealInfo``, signed by the seal maker.

    :param timestamp: DER of a timestamp token over the signature value, version 5 only
    """
    scheme = scheme or default_scheme(signer.public_key.suite)
    return der.sequence(
        seal_info,
        der.octet_string(maker.der),
        _algorithm_oid(scheme),
        der.bit_string(signer.sign(seal_info, scheme)),
        der.tlv(0xA0, der.bit_string(timestamp)) if timestamp is not None else b"",
    )


def build_tbs_sign(
    *,
    seal: bytes,
    when: datetime,
    data_hash: bytes,
    property_info: str,
    extensions: Sequence[ExtensionData] = (),
    version: int = 4,
) -> bytes:
    """DER ``TBS_Sign`` (GB/T 38540-2020 §7.1): the message for :meth:`crypto.keys.Signer.sign`.

    :param seal: DER ``SESeal``
    :param data_hash: digest of what is sealed (OFD: of Signature.xml; PDF: of the bytes that /ByteRange names)
    :param property_info: what was sealed, by the format's rules (OFD: the absolute path of Signature.xml)
    """
    return der.sequence(
        der.integer(version),
        seal,
        _generalized(when),
        der.bit_string(data_hash),
        _ia5(property_info),
        der.tlv(0xA0, _extensions(extensions)) if extensions else b"",
    )


def build_signature(
    tbs: bytes, signature: bytes, certificate: Certificate, scheme: Scheme, *, timestamp: bytes | None = None
) -> bytes:
    """DER ``SES_Signature`` around a signed ``TBS_Sign``.

    :param timestamp: DER of a timestamp token over the signature value
    """
    return der.sequence(
        tbs,
        der.octet_string(certificate.der),
        _algorithm_oid(scheme),
        der.bit_string(signature),
        der.tlv(0xA0, der.bit_string(timestamp)) if timestamp is not None else b"",
    )


def _algorithm_oid(scheme: Scheme) -> bytes:
    identifier = algorithms.signature_identifier(scheme)
    return der.oid(algorithms.identifier_oid(identifier))


def _ia5(text: str) -> bytes:
    return der.tlv(der.IA5_STRING, text.encode("ascii"))


def _generalized(when: datetime) -> bytes:
    return der.tlv(der.GENERALIZED_TIME, when.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode())


def _extensions(extensions: Sequence[ExtensionData]) -> bytes:
    if not extensions:
        return b""
    return der.sequence(
        *(
            der.sequence(der.oid(e.oid), b"\x01\x01\xff" if e.critical else b"", der.octet_string(e.value))
            for e in extensions
        )
    )  # fmt: skip


# --- reading ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SealView:
    """A ``SESeal`` over its original bytes; make it with :func:`parse_seal`.

    ``certificates`` are those that may use the seal; ``certificate_digests`` (type name, digest) stand in for them when
    certListType is 2. ``signed_bytes`` is what the maker signed.
    """

    der: bytes = field(repr=False)
    layout: Layout
    version: int
    vendor: str
    es_id: str
    name: str
    kind: int
    certificates: tuple[bytes, ...] = field(repr=False)
    certificate_digests: tuple[tuple[str, bytes], ...] = field(repr=False)
    created: datetime
    valid_from: datetime
    valid_to: datetime
    picture: SealPicture
    extensions: tuple[ExtensionData, ...]
    maker_certificate_der: bytes = field(repr=False)
    algorithm_oid: str
    signature: bytes = field(repr=False)
    signed_bytes: bytes = field(repr=False)
    timestamp: bytes | None = field(repr=False)

    @cached_property
    def maker_certificate(self) -> Certificate:
        """:raises MalformedDer: unreadable"""
        return Certificate.parse(self.maker_certificate_der)

    def maker_signature_holds(self) -> bool:
        """Whether the maker certificate's key signed this seal (its trust is another question)."""
        return _holds(self.maker_certificate_der, self.algorithm_oid, self.signed_bytes, self.signature)

    def lists(self, certificate: bytes) -> bool:
        """Whether the DER certificate is one of those that may use the seal."""
        if self.certificates:
            return certificate in self.certificates
        for kind, value in self.certificate_digests:
            oid = _DIGEST_TYPES.get(kind.lower().replace("-", ""), kind)
            if cms.digest_by_oid(oid, (certificate,)) == value:
                return True
        return False

    def valid_at(self, when: datetime) -> bool:
        """Whether ``when`` lies in the seal's own validity."""
        return self.valid_from <= when <= self.valid_to


_DIGEST_TYPES = {digest.value: oid for digest, oid in algorithms.DIGEST_OIDS.items()} | {"sha1": "1.3.14.3.2.26"}


@dataclass(frozen=True)
class SealSignatureCheck:
    """Arithmetic of one SES signature: document hash, signature value, the maker's signature, is the signer listed."""

    hash_matches: bool
    signature_valid: bool
    seal_signature_valid: bool
    signer_listed: bool

    @property
    def intact(self) -> bool:
        """Document hash and signature value are right."""
        return self.hash_matches and self.signature_valid


@dataclass(frozen=True)
class SealSignatureView:
    """A ``SES_Signature`` over its original bytes; make it with :func:`parse_signature`.

    ``claimed_time`` proves nothing; None where the field holds no readable time. ``timestamp`` is a token's DER.
    """

    der: bytes = field(repr=False)
    layout: Layout
    version: int
    seal: SealView
    claimed_time: datetime | None
    data_hash: bytes
    property_info: str
    extensions: tuple[ExtensionData, ...]
    certificate_der: bytes = field(repr=False)
    algorithm_oid: str
    signature: bytes = field(repr=False)
    tbs: bytes = field(repr=False)
    timestamp: bytes | None = field(repr=False)

    @cached_property
    def certificate(self) -> Certificate:
        """:raises MalformedDer: unreadable"""
        return Certificate.parse(self.certificate_der)

    def signature_holds(self) -> bool:
        """Whether the signer certificate's key signed TBS_Sign."""
        return _holds(self.certificate_der, self.algorithm_oid, self.tbs, self.signature)

    def hash_matches(self, data: Sequence[bytes | memoryview]) -> bool:
        """Whether dataHash is the digest of ``data`` (in pieces) under the signature's own digest algorithm."""
        scheme = _scheme(self.algorithm_oid)
        if scheme is None:
            return False
        return cms.digest_by_oid(algorithms.DIGEST_OIDS[scheme.digest], data) == self.data_hash

    def check(self, data: Sequence[bytes | memoryview]) -> SealSignatureCheck:
        """All the arithmetic at once."""
        return SealSignatureCheck(
            hash_matches=self.hash_matches(data),
            signature_valid=self.signature_holds(),
            seal_signature_valid=self.seal.maker_signature_holds(),
            signer_listed=self.seal.lists(self.certificate_der),
        )


def _scheme(oid: str) -> Scheme | None:
    return algorithms.read_signature(der.sequence(der.oid(oid)))


def _holds(certificate: bytes, oid: str, message: bytes, signature: bytes) -> bool:
    """Whether the certificate's key signed ``message``; False too for keys and algorithms outside our suites."""
    try:
        key = Certificate.parse(certificate).public_key
        scheme = _scheme(oid)
        if scheme is None or scheme.suite is not key.suite:
            return False
        return key.verify(message, sm2.normalise_signature(signature) if scheme.suite is Suite.SM2 else signature, scheme)
    except XinyinError:
        return False


def parse_seal(data: bytes) -> SealView:
    """Read a ``SESeal`` of any generation.

    :raises MalformedDer: not one, or beyond the limits
    """
    return _guarded(data, _seal, "electronic seal", "电子印章")


def parse_signature(data: bytes) -> SealSignatureView:
    """Read a ``SES_Signature`` of any generation; zeros may follow it (a PDF's padding).

    :raises MalformedDer: not one, or beyond the limits
    """
    return _guarded(data, _signature, "seal signature", "电子签章")


def _guarded(data: bytes, reader: Callable[[bytes], T], what: str, what_zh: str) -> T:
    try:
        if len(data) > MAX_BYTES:
            raise NotDer(f"more than {MAX_BYTES} bytes")
        try:
            outer = der.expect(data, der.SEQUENCE)
            encoded, end = bytes(data[: outer.end]), outer.end
            read = reader(encoded)
        except NotDer:
            encoded, end = ber.first_element(bytes(data))
            read = reader(encoded)
        if data[end:].strip(b"\0"):
            raise NotDer("bytes after the structure")
    except (NotDer, IndexError, UnicodeDecodeError) as exc:
        raise malformed(what, what_zh, str(exc)) from exc
    return read


def _fields(data: bytes, element: Tlv, least: int, most: int) -> list[Tlv]:
    if element.tag != der.SEQUENCE:
        raise NotDer("no SEQUENCE where one belongs")
    fields = der.children(data, element, most)
    if len(fields) < least:
        raise NotDer("fields are missing")
    return fields


def _content(data: bytes, element: Tlv) -> bytes:
    return data[element.body : element.end]


def _text(data: bytes, element: Tlv) -> str:
    """Any of the string types; vendors differ."""
    if element.tag not in (der.UTF8_STRING, der.PRINTABLE_STRING, der.IA5_STRING, 0x14, 0x1A):
        raise NotDer("no text where some belongs")
    return _content(data, element).decode("utf-8")


def _time(data: bytes, element: Tlv) -> datetime:
    return cms.read_time(data[element.start : element.end])


def _octets(data: bytes, element: Tlv) -> bytes:
    if element.tag != der.OCTET_STRING:
        raise NotDer("no OCTET STRING where one belongs")
    return _content(data, element)


def _bits(data: bytes, element: Tlv) -> bytes:
    """A BIT STRING of whole octets; an OCTET STRING in its place is read too."""
    if element.tag == der.OCTET_STRING:
        return _content(data, element)
    if element.tag != der.BIT_STRING or data[element.body : element.body + 1] != b"\0" or element.end == element.body:
        raise NotDer("no BIT STRING where one belongs")
    return data[element.body + 1 : element.end]


def _oid(data: bytes, element: Tlv) -> str:
    """An OBJECT IDENTIFIER, or an AlgorithmIdentifier in its place."""
    if element.tag == der.SEQUENCE:
        return algorithms.identifier_oid(data[element.start : element.end])
    return der.read_oid(data, element)


def _explicit(data: bytes, fields: list[Tlv], tag: int = 0xA0) -> Tlv | None:
    """What is inside the [0] at the end of ``fields``, if there is one."""
    if not fields or fields[-1].tag != tag:
        return None
    return der.read(data, fields[-1].body, fields[-1].end)


def _read_extensions(data: bytes, element: Tlv | None) -> tuple[ExtensionData, ...]:
    found = []
    for item in der.children(data, element, _MAX_EXTENSIONS) if element is not None else ():
        fields = _fields(data, item, 2, 3)
        critical = len(fields) == 3 and fields[1].tag == _BOOLEAN and _content(data, fields[1]) != b"\0"
        found.append(ExtensionData(der.read_oid(data, fields[0]), critical, _octets(data, fields[-1])))
    return tuple(found)


def _seal(data: bytes) -> SealView:
    """SESeal: 2014 has two elements {info, signInfo}, the later ones four or five {info, cert, alg, value, [0] timestamp}."""
    outer = _fields(data, der.expect(data, der.SEQUENCE), 2, 5)
    info = outer[0]
    parts = _fields(data, info, 4, 5)
    header = _fields(data, parts[0], 3, 3)
    version = der.read_unsigned(data, header[1])
    old = len(outer) == 2
    maker = _fields(data, outer[1], 3, 3) if old else outer[1:]
    if len(maker) < 3:
        raise NotDer("not the fields of a SESeal")
    info_bytes = data[info.start : info.end]
    timestamp = _explicit(data, outer) if not old else None
    signed = der.sequence(info_bytes, data[maker[0].start : maker[1].end]) if old else info_bytes
    return SealView(
        der=data,
        layout=Layout.GMT_0031_2014 if old else Layout.GBT_38540_2020,
        version=version,
        vendor=_text(data, header[2]),
        es_id=_text(data, parts[1]),
        **_properties(data, parts[2]),
        picture=_picture(data, parts[3]),
        extensions=_read_extensions(data, parts[4] if len(parts) == 5 else None),
        maker_certificate_der=_octets(data, maker[0]),
        algorithm_oid=_oid(data, maker[1]),
        signature=_bits(data, maker[2]),
        signed_bytes=signed,
        timestamp=_bits(data, timestamp) if timestamp is not None else None,
    )


class _Properties(TypedDict):
    kind: int
    name: str
    certificates: tuple[bytes, ...]
    certificate_digests: tuple[tuple[str, bytes], ...]
    created: datetime
    valid_from: datetime
    valid_to: datetime


def _properties(data: bytes, element: Tlv) -> _Properties:
    """SES_ESPropertyInfo: seven fields, or six in 2014 (no certListType)."""
    fields = _fields(data, element, 6, 7)
    kind = der.read_unsigned(data, fields[0])
    name = _text(data, fields[1])
    list_type = der.read_unsigned(data, fields[2]) if len(fields) == 7 else 1
    entries = der.children(data, fields[-4], _MAX_CERTIFICATES)
    digests: tuple[tuple[str, bytes], ...] = ()
    certificates: tuple[bytes, ...] = ()
    if list_type == 2:
        pairs = [_fields(data, entry, 2, 2) for entry in entries]
        digests = tuple((_text(data, pair[0]), _octets(data, pair[1])) for pair in pairs)
    else:
        certificates = tuple(_octets(data, entry) for entry in entries)
    created, valid_from, valid_to = (_time(data, f) for f in fields[-3:])
    return {
        "kind": kind,
        "name": name,
        "certificates": certificates,
        "certificate_digests": digests,
        "created": created,
        "valid_from": valid_from,
        "valid_to": valid_to,
    }


def _picture(data: bytes, element: Tlv) -> SealPicture:
    fields = _fields(data, element, 4, 4)
    width, height = (der.read_unsigned(data, f) for f in fields[2:])
    return SealPicture(_text(data, fields[0]), _octets(data, fields[1]), width, height)


def _signature(data: bytes) -> SealSignatureView:
    """SES_Signature: 2014 has two elements {toSign, signature}, the later ones four or five."""
    outer = _fields(data, der.expect(data, der.SEQUENCE), 2, 5)
    old = len(outer) == 2
    tbs = outer[0]
    fields = _fields(data, tbs, 5, 7)
    signer = fields[5:7] if old else outer[1:3]
    if len(signer) != 2 or (not old and len(outer) < 4):
        raise NotDer("not the fields of a SES_Signature")
    timestamp = _explicit(data, outer) if not old else None
    extensions = _explicit(data, fields[5:]) if not old else None
    return SealSignatureView(
        der=data,
        layout=Layout.GMT_0031_2014 if old else Layout.GBT_38540_2020,
        version=der.read_unsigned(data, fields[0]),
        seal=_seal(data[fields[1].start : fields[1].end]),
        claimed_time=_claimed_time(data, fields[2]),
        data_hash=_bits(data, fields[3]),
        property_info=_text(data, fields[4]),
        extensions=_read_extensions(data, extensions),
        certificate_der=_octets(data, signer[0]),
        algorithm_oid=_oid(data, signer[1]),
        signature=_bits(data, outer[1] if old else outer[3]),
        tbs=data[tbs.start : tbs.end],
        timestamp=_old_timestamp(data, fields[2]) if old else _bits(data, timestamp) if timestamp is not None else None,
    )


def _claimed_time(data: bytes, element: Tlv) -> datetime | None:
    """timeInfo: GeneralizedTime; in 2014 a BIT STRING around a time in DER or in plain text, or around a timestamp token."""
    if element.tag != der.BIT_STRING:
        try:
            return _time(data, element)
        except NotDer:
            return None
    inner = _bits(data, element)
    for candidate in (inner, der.tlv(der.GENERALIZED_TIME, inner), der.tlv(der.UTC_TIME, inner)):
        try:
            return cms.read_time(candidate)
        except NotDer:
            continue
    return None


def _old_timestamp(data: bytes, element: Tlv) -> bytes | None:
    """The timestamp token that a 2014 timeInfo may hold instead of a time."""
    inner = _bits(data, element) if element.tag == der.BIT_STRING else b""
    return inner if inner[:1] == b"\x30" else None
