"""Signed messages: CMS SignedData (RFC 5652, CAdES attributes of RFC 5035) and its Chinese sibling (GB/T 35275-2017).

Written for speed: the parts that never change for a certificate are encoded once and joined as bytes, because
re-dumping object trees is what costs (a signature takes 0.24 ms, a dumped SignedData several). Read with care: any
input gives a view or a named error, values are slices of the original bytes, and verification runs over those bytes,
never over a re-encoding.

Two dialects differ only in identifiers: RFC 5652 content types (PDF ``gm`` signatures too), and those of GB/T 35275
(``gm35275=True``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Protocol

from crypto import algorithms, der, foreign, keys, sm2
from crypto.der import NotDer, Tlv
from crypto.errors import XinyinError
from crypto.keys import PublicKey
from crypto.suites import DigestAlgorithm, Scheme, Suite
from formats import ber
from formats.asn1 import MalformedDer, malformed
from formats.x509 import Certificate

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
TST_INFO = "1.2.840.113549.1.9.16.1.4"
GM_DATA = "1.2.156.10197.6.1.4.2.1"
GM_SIGNED_DATA = "1.2.156.10197.6.1.4.2.2"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
SIGNATURE_TIMESTAMP = "1.2.840.113549.1.9.16.2.14"

_SHA1 = "1.3.14.3.2.26"
_MAX_SIGNERS, _MAX_CERTIFICATES, _MAX_ATTRIBUTES = 50, 200, 200


class SigningCertificate(Protocol):
    """What a builder needs of a certificate; :class:`formats.x509.Certificate` has it."""

    @property
    def der(self) -> bytes: ...
    @property
    def issuer_der(self) -> bytes: ...
    @property
    def serial(self) -> int: ...


# --- building ---------------------------------------------------------------------------------------------------------------


def attribute(oid: str, *values: bytes) -> bytes:
    """``Attribute ::= SEQUENCE {attrType, attrValues SET OF}`` around values that are DER already."""
    return der.sequence(der.oid(oid), der.set_of(*values))


@lru_cache(maxsize=512)
def _signing_certificate(certificate: bytes, digest: DigestAlgorithm) -> bytes:
    """signing-certificate-v2 (RFC 5035 §3): hashAlgorithm is left out for SHA-256, its DEFAULT, which DER forbids to encode."""
    named = b"" if digest is DigestAlgorithm.SHA256 else algorithms.digest_identifier(digest)
    entry = der.sequence(named, der.octet_string(keys.digest(digest, certificate)))
    return attribute(SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(entry)))


@lru_cache(maxsize=64)
def _content_type(oid: str) -> bytes:
    return attribute(CONTENT_TYPE, der.oid(oid))


_MESSAGE_DIGEST_OID = der.oid(MESSAGE_DIGEST)


def signed_attributes(
    *,
    content_digest: bytes,
    digest: DigestAlgorithm,
    signing_certificate: SigningCertificate,
    signing_time: datetime | None = None,
    content_type: str = DATA,
    gm35275: bool = False,
    extra: Sequence[bytes] = (),
) -> bytes:
    """DER ``SET OF Attribute``: the message for :meth:`crypto.keys.Signer.sign` (RFC 5652 §5.4).

    Holds contentType, messageDigest and signing-certificate-v2. ``signing_time`` is for plain CMS only: in a PDF the
    time belongs in /M and the attribute is forbidden (EN 319 142-1 §6.3).

    :param content_digest: digest of the content (in a PDF, of the bytes that /ByteRange names) under ``digest``
    :param content_type: dotted OID of the content; with ``gm35275`` and the default it becomes GB/T 35275's data type
    :param extra: further attributes, DER, as :func:`attribute` makes them
    """
    if gm35275 and content_type == DATA:
        content_type = GM_DATA
    parts = [
        _content_type(content_type),
        der.tlv(der.SEQUENCE, _MESSAGE_DIGEST_OID + der.tlv(der.SET, der.octet_string(content_digest))),
        _signing_certificate(signing_certificate.der, digest),
        *extra,
    ]
    if signing_time is not None:
        parts.append(attribute(SIGNING_TIME, time(signing_time)))
    return der.set_of(*parts)


def time(when: datetime) -> bytes:
    """``Time``: UTCTime from 1950 to 2049, GeneralizedTime otherwise (RFC 5652 §11.3)."""
    when = when.astimezone(UTC)
    if 1950 <= when.year < 2050:
        return der.tlv(der.UTC_TIME, when.strftime("%y%m%d%H%M%SZ").encode())
    return der.tlv(der.GENERALIZED_TIME, when.strftime("%Y%m%d%H%M%SZ").encode())


def timestamp_attribute(token: bytes) -> bytes:
    """Unsigned attribute signature-time-stamp (RFC 3161 App. A, EN 319 122-1 §5.3) around a token's DER."""
    return attribute(SIGNATURE_TIMESTAMP, token)


@lru_cache(maxsize=256)
def _certificate_set(certificates: tuple[bytes, ...]) -> bytes:
    """``[0] IMPLICIT CertificateSet``, once each, in DER order."""
    return der.tlv(0xA0, b"".join(sorted(set(certificates))))


@lru_cache(maxsize=256)
def _signer_identifier(certificate: bytes, issuer_der: bytes, serial: int) -> bytes:
    return der.sequence(issuer_der, der.integer(serial))


def signed_data(
    *,
    signed_attrs: bytes,
    signature: bytes,
    scheme: Scheme,
    certificates: Sequence[SigningCertificate],
    unsigned_attrs: Sequence[bytes] = (),
    gm35275: bool = False,
    content_type: str = DATA,
    content: bytes | None = None,
    embed_certificates: bool = True,
) -> bytes:
    """ContentInfo around a SignedData with one signer, DER; detached unless ``content`` is given.

    :param signed_attrs: what :func:`signed_attributes` gave, the very bytes that were signed
    :param signature: over ``signed_attrs``, encoded as :class:`crypto.suites.Scheme` says
    :param certificates: the signer's first, then its issuers as far as they are to travel along
    :param embed_certificates: False leaves the certificates out (a timestamp whose request did not ask for them)
    :param unsigned_attrs: DER attributes, for example :func:`timestamp_attribute`
    """
    if gm35275 and content_type == DATA:
        content_type = GM_DATA
    signer = certificates[0]
    digest = algorithms.digest_identifier(scheme.digest)
    signer_info = der.sequence(
        b"\x02\x01\x01",
        _signer_identifier(signer.der, signer.issuer_der, signer.serial),
        digest,
        b"\xa0" + signed_attrs[1:],
        algorithms.signature_identifier(scheme, gm35275=gm35275),
        der.octet_string(signature),
        der.tlv(0xA1, b"".join(sorted(unsigned_attrs))) if unsigned_attrs else b"",
    )
    encapsulated = b"" if content is None else der.tlv(0xA0, der.octet_string(content))
    body = der.sequence(
        b"\x02\x01\x01" if content_type in (DATA, GM_DATA) else b"\x02\x01\x03",  # RFC 5652 §5.1
        der.tlv(der.SET, digest),
        der.sequence(der.oid(content_type), encapsulated),
        _certificate_set(tuple(certificate.der for certificate in certificates)) if embed_certificates else b"",
        der.tlv(der.SET, signer_info),
    )
    return der.sequence(der.oid(GM_SIGNED_DATA if gm35275 else SIGNED_DATA), der.tlv(0xA0, body))


# --- reading ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SignerCheck:
    """What arithmetic says about one signer; trust is somebody else's question.

    ``digest_matches``: the content is what was signed. ``signature_valid``: the value over the signed attributes (or
    the content) is the certificate key's. ``bound``: the signed attributes name this certificate (None: they name
    none). ``accepted_algorithm``: False where an algorithm is outside our suites (its value was still computed where
    possible). ``problems`` are codes for reports.
    """

    digest_matches: bool
    signature_valid: bool
    bound: bool | None
    accepted_algorithm: bool
    problems: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        """Digest and signature value are right, and the attributes do not contradict the certificate."""
        return self.digest_matches and self.signature_valid and self.bound is not False


@dataclass(frozen=True)
class CertificateReference:
    """One entry of signing-certificate (v1: SHA-1, v2: any digest)."""

    digest_oid: str
    digest: bytes

    def names(self, certificate: bytes) -> bool:
        """Whether it is the DER ``certificate`` that is meant."""
        return digest_by_oid(self.digest_oid, (certificate,)) == self.digest


@dataclass(frozen=True)
class SignerInfoView:
    """One SignerInfo over the original bytes (RFC 5652 §5.3, GB/T 35275-2017 §8.1).

    ``signed_attrs`` is re-tagged as SET with the order it has in the file; None where the content is signed directly.
    """

    issuer_der: bytes | None
    serial: int | None
    key_identifier: bytes | None
    digest_identifier: bytes
    signature_identifier: bytes
    signed_attrs: bytes | None
    signature: bytes
    attributes: dict[str, tuple[bytes, ...]]
    repeated_attributes: tuple[str, ...]
    unsigned_attributes: dict[str, tuple[bytes, ...]]
    content_type: str = field(repr=False)

    @cached_property
    def digest_oid(self) -> str:
        """OID of the digest algorithm; a signature algorithm written there (old signers do) is taken for its digest."""
        return algorithms.identifier_oid(self.digest_identifier)

    @cached_property
    def digest(self) -> DigestAlgorithm | None:
        """The digest, None for one outside our suites (SHA-1, SHA-3 …)."""
        return algorithms.read_digest(self.digest_identifier)

    @cached_property
    def scheme(self) -> Scheme | None:
        """How it was signed, None for what is outside our suites."""
        return algorithms.read_signature(self.signature_identifier, self.digest) if self.digest else None

    @cached_property
    def algorithm(self) -> str:
        """A readable name for reports: ``rsa-pkcs1v15-sha256``, or the OIDs."""
        if self.scheme is not None:
            return self.scheme.name
        return (
            f"{algorithms.identifier_oid(self.signature_identifier)}/{foreign.digest_name(self.digest_oid) or self.digest_oid}"
        )

    @cached_property
    def message_digest(self) -> bytes | None:
        """Value of the messageDigest attribute."""
        values = self.attributes.get(MESSAGE_DIGEST, ())
        return _octets(values[0], der.expect(values[0], der.OCTET_STRING)) if len(values) == 1 else None

    @cached_property
    def signing_time(self) -> datetime | None:
        """The claimed time: proves nothing. None where absent or unreadable."""
        values = self.attributes.get(SIGNING_TIME, ())
        try:
            return read_time(values[0]) if values else None
        except NotDer:
            return None

    @cached_property
    def signed_content_type(self) -> str | None:
        """Value of the contentType attribute."""
        values = self.attributes.get(CONTENT_TYPE, ())
        return der.read_oid(values[0], der.read(values[0])) if len(values) == 1 else None

    @cached_property
    def certificate_references(self) -> tuple[CertificateReference, ...]:
        """Entries of signing-certificate-v2, else of the old signing-certificate; the first names the signer (RFC 5035 §3)."""
        for oid, default in (
            (SIGNING_CERTIFICATE_V2, algorithms.DIGEST_OIDS[DigestAlgorithm.SHA256]),
            (SIGNING_CERTIFICATE, _SHA1),
        ):
            values = self.attributes.get(oid, ())
            if values:
                return tuple(_references(values[0], default))
        return ()

    @property
    def timestamp_tokens(self) -> tuple[bytes, ...]:
        """DER of the signature timestamps (ContentInfo each)."""
        return self.unsigned_attributes.get(SIGNATURE_TIMESTAMP, ())

    def identifies(self, certificate: Certificate) -> bool:
        """Whether the SignerIdentifier means this certificate."""
        try:
            if self.key_identifier is not None:
                return certificate.ski == self.key_identifier
            return certificate.issuer_der == self.issuer_der and certificate.serial == self.serial
        except XinyinError:
            return False

    def check(self, certificate: Certificate, content: Sequence[bytes | memoryview]) -> SignerCheck:
        """Arithmetic only: does this signer's value fit ``content`` and ``certificate``?

        :param content: the signed content in pieces (a PDF's two byte ranges), not its digest
        """
        problems: list[str] = []
        if self.signed_attrs is None:
            valid, accepted = self._value_holds(certificate, b"".join(content))
            if valid is None:
                problems.append("algorithm-unknown")
            return SignerCheck(bool(valid), bool(valid), None, accepted, tuple(problems))
        expected = digest_by_oid(self.digest_oid, content)
        digest_matches = expected is not None and expected == self.message_digest
        if expected is None:
            problems.append("digest-unknown")
        if self.message_digest is None:
            problems.append("message-digest-missing")
        if self.signed_content_type != self.content_type:
            problems.append("content-type-mismatch")
        problems += [f"attribute-repeated:{oid}" for oid in self.repeated_attributes]
        valid, accepted = self._value_holds(certificate, self.signed_attrs)
        if valid is False:
            resorted = _in_der_order(self.signed_attrs)
            if resorted != self.signed_attrs:
                valid, accepted = self._value_holds(certificate, resorted)
        if valid is None:
            problems.append("algorithm-unknown")
        bound = self._binds(certificate)
        if bound is False:
            problems.append("signing-certificate-mismatch")
        holds = bool(valid) and "content-type-mismatch" not in problems and not self.repeated_attributes
        return SignerCheck(digest_matches, holds, bound, accepted, tuple(problems))

    def _binds(self, certificate: Certificate) -> bool | None:
        references = self.certificate_references
        return references[0].names(certificate.der) if references else None

    def _value_holds(self, certificate: Certificate, message: bytes) -> tuple[bool | None, bool]:
        """(value is right, None if it cannot be told; algorithm is of our suites)"""
        scheme = self.scheme
        try:
            key: PublicKey | None = certificate.public_key
        except XinyinError:
            key = None
        if key is not None and scheme is not None and key.suite is scheme.suite:
            if scheme.suite is Suite.SM2:
                return _sm2_holds(key, message, self.signature), True
            return key.verify(message, self.signature, scheme), True
        try:
            return foreign.verify(certificate.spki, self.signature_identifier, self.digest_oid, message, self.signature), False
        except XinyinError:
            return None, False


def _sm2_holds(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """SM2 with the encodings that real files carry (facts: raw r‖s, r without its leading zero)."""
    try:
        return key.verify(message, sm2.normalise_signature(signature))
    except XinyinError:
        return False


@dataclass(frozen=True)
class SignedDataView:
    """A SignedData as found: every signer, every certificate, original bytes.

    ``der`` is the ContentInfo with definite lengths; ``trailing`` what followed it (a PDF's padding is zeros).
    ``content`` is the encapsulated content, None when detached.
    """

    der: bytes = field(repr=False)
    trailing: bytes = field(repr=False)
    gm35275: bool
    version: int
    content_type: str
    content: bytes | None = field(repr=False)
    certificate_ders: tuple[bytes, ...] = field(repr=False)
    crl_ders: tuple[bytes, ...] = field(repr=False)
    signers: tuple[SignerInfoView, ...]

    @cached_property
    def certificates(self) -> tuple[Certificate, ...]:
        """The certificates that can be read; unreadable ones are left out (they cannot be anybody's)."""
        found = []
        for encoded in self.certificate_ders:
            try:
                found.append(Certificate.parse(encoded))
            except XinyinError:
                continue
        return tuple(found)

    @property
    def padding_is_clean(self) -> bool:
        """Whether nothing but zeros follows the structure."""
        return not self.trailing.strip(b"\0")

    def certificate_of(self, signer: SignerInfoView) -> Certificate | None:
        """The signer's certificate among those that came along; with several of that name, the one that the attributes bind."""
        candidates = [c for c in self.certificates if signer.identifies(c)]
        for candidate in candidates:
            if signer._binds(candidate):
                return candidate
        return candidates[0] if candidates else None


def parse_signed_data(data: bytes) -> SignedDataView:
    """Read a ContentInfo with SignedData of either dialect, in BER or DER, with or without padding behind it.

    :raises MalformedDer: anything else, or beyond the limits of size, depth and count
    """
    try:
        try:
            end = der.read(data).end
            return _view(bytes(data[:end]), bytes(data[end:]))
        except NotDer:
            encoded, end = ber.first_element(data)
            return _view(encoded, bytes(data[end:]))
    except (NotDer, IndexError, RecursionError) as exc:
        raise _refusal(str(exc)) from exc


def _refusal(why: str) -> MalformedDer:
    return malformed("signature (CMS)", "签名（CMS）", why)


def _view(data: bytes, trailing: bytes) -> SignedDataView:
    if len(data) > ber.MAX_BYTES:
        raise NotDer(f"more than {ber.MAX_BYTES} bytes")
    info = der.children(data, der.expect(data, der.SEQUENCE), 2)
    kind = der.read_oid(data, info[0]) if len(info) == 2 else ""
    if kind not in (SIGNED_DATA, GM_SIGNED_DATA) or info[1].tag != 0xA0:
        raise NotDer("no SignedData")
    fields = der.children(data, der.expect(data, der.SEQUENCE, info[1].body, info[1].end), 6)
    if [f.tag for f in fields[:3]] != [der.INTEGER, der.SET, der.SEQUENCE] or len(fields) < 4 or fields[-1].tag != der.SET:
        raise NotDer("not the fields of a SignedData")
    middle = {f.tag: f for f in fields[3:-1]}
    if not set(middle) <= {0xA0, 0xA1}:
        raise NotDer("an unknown field in a SignedData")
    content_type, content = _encapsulated(data, fields[2])
    signers = der.children(data, fields[-1], _MAX_SIGNERS)
    return SignedDataView(
        der=data,
        trailing=trailing,
        gm35275=kind == GM_SIGNED_DATA,
        version=der.read_unsigned(data, fields[0]),
        content_type=content_type,
        content=content,
        certificate_ders=_elements(data, middle.get(0xA0), _MAX_CERTIFICATES),
        crl_ders=_elements(data, middle.get(0xA1), _MAX_CERTIFICATES),
        signers=tuple(_signer(data, signer, content_type) for signer in signers),
    )


def _elements(data: bytes, container: Tlv | None, limit: int) -> tuple[bytes, ...]:
    """The SEQUENCEs in a container (certificates or CRLs; other choices carry other tags)."""
    if container is None:
        return ()
    return tuple(data[e.start : e.end] for e in der.children(data, container, limit) if e.tag == der.SEQUENCE)


def _encapsulated(data: bytes, element: Tlv) -> tuple[str, bytes | None]:
    parts = der.children(data, element, 2)
    if not parts:
        raise NotDer("no content type")
    oid = der.read_oid(data, parts[0])
    if len(parts) == 1:
        return oid, None
    if parts[1].tag != 0xA0:
        raise NotDer("no [0] around the content")
    inner = der.read(data, parts[1].body, parts[1].end)
    if inner.tag in (der.OCTET_STRING, 0x24):
        return oid, _octets(data, inner)
    return oid, data[inner.start : inner.end]  # GB/T 35275 and PKCS #7 allow any type here


def _octets(data: bytes, element: Tlv) -> bytes:
    """Contents of an OCTET STRING, also of a constructed one (BER)."""
    if element.tag == der.OCTET_STRING:
        return data[element.body : element.end]
    if element.tag != 0x24:
        raise NotDer("no OCTET STRING where one belongs")
    return b"".join(_octets(data, part) for part in der.children(data, element))


def _signer(data: bytes, element: Tlv, content_type: str) -> SignerInfoView:
    fields = der.children(data, der.expect(data, der.SEQUENCE, element.start, element.end), 7)
    if len(fields) < 5 or fields[0].tag != der.INTEGER:
        raise NotDer("not the fields of a SignerInfo")
    issuer, serial, key_identifier = _identifier(data, fields[1])
    rest = fields[3:]
    signed = rest.pop(0) if rest[0].tag == 0xA0 else None
    unsigned = rest.pop() if rest[-1].tag == 0xA1 else None
    if [f.tag for f in rest] not in ([der.SEQUENCE, der.OCTET_STRING], [der.SEQUENCE, 0x24]):
        raise NotDer("not the fields of a SignerInfo")
    attributes, repeated = _attributes(data, signed)
    view = SignerInfoView(
        issuer_der=issuer,
        serial=serial,
        key_identifier=key_identifier,
        digest_identifier=data[fields[2].start : fields[2].end],
        signature_identifier=data[rest[0].start : rest[0].end],
        signed_attrs=None if signed is None else b"\x31" + data[signed.start + 1 : signed.end],
        signature=_octets(data, rest[1]),
        attributes=attributes,
        repeated_attributes=repeated,
        unsigned_attributes=_attributes(data, unsigned)[0],
        content_type=content_type,
    )
    # Decoded now, so that nothing that reads the view later can meet a malformed value.
    for value in (view.digest_oid, view.scheme, view.algorithm, view.message_digest, view.signed_content_type):
        del value
    view.certificate_references  # noqa: B018
    return view


def _identifier(data: bytes, element: Tlv) -> tuple[bytes | None, int | None, bytes | None]:
    """SignerIdentifier: (issuer, serial, None) or (None, None, key identifier)."""
    if element.tag == 0x80:
        return None, None, data[element.body : element.end]
    parts = der.children(data, der.expect(data, der.SEQUENCE, element.start, element.end), 2)
    if [p.tag for p in parts] != [der.SEQUENCE, der.INTEGER] or parts[1].end - parts[1].body > 128:
        raise NotDer("no signer identifier")
    serial = int.from_bytes(data[parts[1].body : parts[1].end], "big", signed=True)
    return data[parts[0].start : parts[0].end], serial, None


def _attributes(data: bytes, element: Tlv | None) -> tuple[dict[str, tuple[bytes, ...]], tuple[str, ...]]:
    """Values by OID, and the OIDs that occur twice (which RFC 5652 §5.3 forbids in signed attributes)."""
    found: dict[str, tuple[bytes, ...]] = {}
    repeated: list[str] = []
    for item in der.children(data, element, _MAX_ATTRIBUTES) if element is not None else ():
        parts = der.children(data, der.expect(data, der.SEQUENCE, item.start, item.end), 2)
        if len(parts) != 2 or parts[1].tag != der.SET:
            raise NotDer("no attribute")
        oid = der.read_oid(data, parts[0])
        if oid in found:
            repeated.append(oid)
            if oid not in (SIGNATURE_TIMESTAMP,):
                continue
        values = tuple(data[v.start : v.end] for v in der.children(data, parts[1], _MAX_ATTRIBUTES))
        found[oid] = (*found.get(oid, ()), *values)
    return found, tuple(repeated)


def _references(value: bytes, default_digest: str) -> Iterator[CertificateReference]:
    """ESSCertID and ESSCertIDv2 entries of a SigningCertificate value."""
    outer = der.children(value, der.expect(value, der.SEQUENCE), 2)
    if not outer:
        raise NotDer("an empty signing-certificate attribute")
    for entry in der.children(value, der.expect(value, der.SEQUENCE, outer[0].start, outer[0].end), _MAX_CERTIFICATES):
        parts = der.children(value, der.expect(value, der.SEQUENCE, entry.start, entry.end), 3)
        digest = default_digest
        if parts and parts[0].tag == der.SEQUENCE:
            digest = algorithms.identifier_oid(value[parts[0].start : parts[0].end])
            parts = parts[1:]
        if not parts or parts[0].tag != der.OCTET_STRING:
            raise NotDer("no certificate hash")
        yield CertificateReference(digest, value[parts[0].body : parts[0].end])


def digest_by_oid(oid: str, parts: Iterable[bytes | memoryview]) -> bytes | None:
    """Digest of the joined parts by OID; None for one unknown even to :mod:`crypto.foreign`."""
    known = next((d for d, o in algorithms.DIGEST_OIDS.items() if o == oid), None)
    if known is not None:
        return keys.digest(known, *parts)
    return foreign.digest(oid, *parts)


def _in_der_order(signed_attrs: bytes) -> bytes:
    """The same SET with its attributes sorted: some signers hash the sorted form and store another."""
    outer = der.expect(signed_attrs, der.SET)
    return der.set_of(*(signed_attrs[c.start : c.end] for c in der.children(signed_attrs, outer, _MAX_ATTRIBUTES)))


def read_time(value: bytes) -> datetime:
    """UTCTime or GeneralizedTime in UTC; two-digit years from 50 are 19xx (RFC 5280 §4.1.2.5.1).

    :raises crypto.der.NotDer: another tag, or no time
    """
    element = der.read(value)
    text = value[element.body : element.end].decode("ascii", "replace")
    try:
        if element.tag == der.UTC_TIME:
            year = int(text[:2])
            text = f"{1900 + year if year >= 50 else 2000 + year}{text[2:]}"
        elif element.tag != der.GENERALIZED_TIME:
            raise ValueError(text)
        form = "%Y%m%d%H%M%S.%f%z" if "." in text else "%Y%m%d%H%M%S%z"
        if len(text.split("Z")[0].split("+")[0].split("-")[0]) == 12:
            form = "%Y%m%d%H%M%z"
        return datetime.strptime(text.replace("Z", "+0000"), form).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise NotDer("no time where one belongs") from exc
