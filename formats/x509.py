"""X.509 certificates (RFC 5280, GB/T 20518): a view over the original bytes, and a builder that signs through the seam."""

from __future__ import annotations

import hashlib
import unicodedata
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from asn1crypto import core, keys
from asn1crypto import x509 as ax

from crypto.errors import Unprocessable
from crypto.keys import PublicKey, Signer
from crypto.suites import Scheme, default_scheme
from formats.asn1 import (
    OID_ES_ID,
    MalformedDer,
    check_der,
    children,
    header,
    lazy,
    malformed,
    pem_blocks,
    scheme_of,
    signature_algorithm,
)

MAX_CERTIFICATE = 128 * 1024
"""Bytes of DER that are read as one certificate; real ones stay below 16 KiB."""

KEY_USAGE_BITS = {
    "digitalSignature": 0,
    "nonRepudiation": 1,
    "keyEncipherment": 2,
    "dataEncipherment": 3,
    "keyAgreement": 4,
    "keyCertSign": 5,
    "cRLSign": 6,
    "encipherOnly": 7,
    "decipherOnly": 8,
}
"""Names and bit numbers of RFC 5280 §4.2.1.3."""

EKU_TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
EKU_OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"
EKU_DOCUMENT_SIGNING = "1.3.6.1.5.5.7.3.36"
EKU_ANY = "2.5.29.37.0"

_UNDERSTOOD = {
    "2.5.29.15",  # key usage
    "2.5.29.17",  # subject alternative name
    "2.5.29.19",  # basic constraints
    "2.5.29.30",  # name constraints
    "2.5.29.31",  # CRL distribution points
    "2.5.29.32",  # certificate policies
    "2.5.29.36",  # policy constraints
    "2.5.29.37",  # extended key usage
    "2.5.29.54",  # inhibit any policy
}

_SHORT = {
    "2.5.4.3": "CN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.97": "organizationIdentifier",
    "1.2.840.113549.1.9.1": "emailAddress",
    "0.9.2342.19200300.100.1.25": "DC",
}

# OpenSSL 1.1.1 and Tongsuo write SM2 keys as algorithm {SM2 curve, SM2 curve} instead of GM/T 0006's {ecPublicKey, SM2 curve}.
_SM2_CURVE = bytes.fromhex("06082a811ccf5501822d")
_SM2_ODD = bytes.fromhex("305a3014") + _SM2_CURVE * 2
_SM2_USUAL = bytes.fromhex("305930130607" + "2a8648ce3d0201") + _SM2_CURVE


def _usual_spki(spki: bytes) -> bytes:
    """The same key in the spelling of GM/T 0006."""
    return _SM2_USUAL + spki[len(_SM2_ODD) :] if spki.startswith(_SM2_ODD) else spki


_SUBJECT_PARTS = (
    ("2.5.4.6", "country", 2),
    ("2.5.4.8", "province", 128),
    ("2.5.4.7", "locality", 128),
    ("2.5.4.10", "organization", 64),
    ("2.5.4.97", "organization_identifier", 64),
    ("2.5.4.11", "unit", 64),
    ("2.5.4.3", "common_name", 64),
)
"""Type, field of :class:`Subject` and upper bound (RFC 5280 appendix A), in the order of GB/T 20518."""


@dataclass(frozen=True)
class Subject:
    """A distinguished name in the order of GB/T 20518: C, ST, L, O, organizationIdentifier, OU, CN. All but C is UTF8String.

    ``organization_identifier`` holds the unified social credit code of an organ (X.520 2.5.4.97). Empty parts are left out.
    """

    common_name: str
    organization: str = ""
    unit: str = ""
    organization_identifier: str = ""
    province: str = ""
    locality: str = ""
    country: str = "CN"

    @classmethod
    def of(cls, certificate: Certificate) -> Subject:
        """The subject of a certificate that was built from one. :raises NameRefused: it holds other parts, or one twice"""
        fields = {oid: field for oid, field, _ in _SUBJECT_PARTS}
        found: dict[str, str] = {}
        for rdn in certificate.asn1.subject.chosen:
            for attribute in rdn:
                part = fields.get(attribute["type"].dotted)
                if part is None or part in found:
                    raise NameRefused(
                        "The certificate's name has parts that our names have not; give the new name in full.",
                        "证书名称含有本系统不使用的项；请完整填写新名称。",
                        part=attribute["type"].dotted,
                    )
                found[part] = attribute["value"].native
        return cls(**{"common_name": "", "country": "", **found})

    def name(self) -> ax.Name:
        """:raises NameRefused: a part that is blank, over the upper bounds of RFC 5280 appendix A, or has control characters"""
        rdns = []
        for oid, field_name, limit in _SUBJECT_PARTS:
            text = getattr(self, field_name)
            if not text and oid != "2.5.4.3":
                continue
            _check_text(text, limit)
            value: Any = core.PrintableString(text) if oid == "2.5.4.6" else core.UTF8String(text)
            kind = ax.NameType(oid)
            if oid != "2.5.4.6" and ax.NameTypeAndValue._oid_specs.get(kind.native) is ax.DirectoryString:
                value = ax.DirectoryString(name="utf8_string", value=value)
            rdns.append(ax.RelativeDistinguishedName([ax.NameTypeAndValue({"type": kind, "value": value})]))
        return ax.Name(name="", value=ax.RDNSequence(rdns))


class NameRefused(Unprocessable):
    """A name that cannot go into a certificate."""

    code = "name-refused"


def _check_text(text: str, limit: int) -> None:
    blank = not text.strip() or text != text.strip()
    if blank or len(text) > limit or any(unicodedata.category(c).startswith("C") for c in text):
        raise NameRefused(
            f"A part of the certificate name is empty, longer than {limit} characters, or has blanks at its ends or control "
            "characters; shorten or mend it.",
            f"证书名称中某一项为空、超过 {limit} 个字符，或首尾有空格、含控制字符；请修改。",
            part=text[:80],
        )


class Certificate:
    """An immutable view over the DER of one certificate; make it with :meth:`parse`. Equal when the bytes are equal.

    Every property is decoded at first use, and what cannot be decoded raises :class:`formats.asn1.MalformedDer` then (an
    unsupported key raises :class:`crypto.keys.UnsupportedKey` at ``public_key``). :meth:`check` decodes all of it at once.
    Signatures are checked over the original bytes, never over a re-encoding.
    """

    _what = "certificate"
    _what_zh = "证书"

    def __init__(self, der: bytes) -> None:
        self.der = der

    @classmethod
    def parse(cls, data: bytes) -> Certificate:
        """One certificate from DER, or from PEM with exactly one CERTIFICATE block.

        :raises MalformedDer: neither of the two, trailing bytes, nested lengths that do not add up, or over 128 KiB
        """
        if _is_pem(data):
            blocks = pem_blocks(data[: 4 * MAX_CERTIFICATE], "CERTIFICATE")
            if len(blocks) != 1:
                raise malformed(cls._what, cls._what_zh, f"{len(blocks)} CERTIFICATE blocks in the PEM text, one is read")
            data = blocks[0]
        check_der(data, what=cls._what, what_zh=cls._what_zh, max_bytes=MAX_CERTIFICATE)
        certificate = cls(bytes(data))
        certificate._slices  # noqa: B018 - refuses what has not even the outline of a certificate
        return certificate

    @classmethod
    def parse_many(cls, data: bytes) -> list[Certificate]:
        """Every certificate in a PEM text, in order, or the one in DER bytes. :raises MalformedDer: as :meth:`parse`"""
        if _is_pem(data):
            return [cls.parse(block) for block in pem_blocks(data, "CERTIFICATE")]
        return [cls.parse(data)]

    def check(self) -> Certificate:
        """Decode everything now; returns self. :raises XinyinError: whatever does not decode"""
        for name, attribute in vars(Certificate).items():
            if isinstance(attribute, lazy):
                getattr(self, name)
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __repr__(self) -> str:
        try:
            return f"<Certificate {self.subject!r} serial {self.serial_hex}>"
        except MalformedDer:
            return f"<Certificate, damaged, {len(self.der)} bytes>"

    # --- original bytes ---

    @lazy
    def _slices(self) -> dict[str, bytes]:
        """The original bytes of tbs, outer and inner algorithm, signature value, issuer, subject, spki."""
        der = self.der
        _, start, end = header(der, 0, len(der))
        outer = [(tag, a, b, c) for tag, a, b, c in children(der, start, end)]
        if der[0] != 0x30 or [o[0] for o in outer] != [0x30, 0x30, 0x03]:
            raise ValueError("not SEQUENCE {tbs, algorithm, signature}")
        fields = list(children(der, outer[0][2], outer[0][3]))
        versioned = fields[0][0] == 0xA0
        tags = [f[0] for f in fields[versioned : versioned + 6]]
        if tags != [0x02, 0x30, 0x30, 0x30, 0x30, 0x30]:
            raise ValueError("not the fields of a TBSCertificate")
        part = [der[f[1] : f[3]] for f in fields[versioned : versioned + 6]]
        bits = der[outer[2][2] : outer[2][3]]
        if bits[:1] != b"\0":
            raise ValueError("signature value with unused bits")
        return {
            "tbs": der[outer[0][1] : outer[0][3]],
            "algorithm": der[outer[1][1] : outer[1][3]],
            "signature": bits[1:],
            "inner_algorithm": part[1],
            "issuer": part[2],
            "subject": part[4],
            "spki": part[5],
        }

    @property
    def tbs(self) -> bytes:
        """Original DER of the TBSCertificate: the signed bytes."""
        return self._slices["tbs"]

    @property
    def signature(self) -> bytes:
        """The signature value (contents of the BIT STRING)."""
        return self._slices["signature"]

    @property
    def subject_der(self) -> bytes:
        return self._slices["subject"]

    @property
    def issuer_der(self) -> bytes:
        return self._slices["issuer"]

    @property
    def spki(self) -> bytes:
        """DER SubjectPublicKeyInfo as it stands, also of keys that no suite covers."""
        return self._slices["spki"]

    # --- decoded ---

    @lazy
    def asn1(self) -> ax.Certificate:
        return ax.Certificate.load(self.der, strict=True)

    @lazy
    def subject(self) -> str:
        """Readable, most specific part first (RFC 4514)."""
        return readable_name(self.asn1.subject)

    @lazy
    def issuer(self) -> str:
        return readable_name(self.asn1.issuer)

    @lazy
    def common_name(self) -> str:
        """The last CN, else the whole subject: what a person reads."""
        native = self.asn1.subject.native.get("common_name")
        if isinstance(native, list):
            native = native[-1]
        return native or self.subject

    @lazy
    def serial(self) -> int:
        return int(self.asn1.serial_number)

    @lazy
    def serial_hex(self) -> str:
        """Lower-case hex without leading zeros beyond whole bytes; a negative serial (seen in the field) has a minus sign."""
        text = f"{abs(self.serial):x}"
        return ("-" if self.serial < 0 else "") + text.zfill(len(text) + len(text) % 2)

    @lazy
    def not_before(self) -> datetime:
        return _utc(self.asn1["tbs_certificate"]["validity"]["not_before"].native)

    @lazy
    def not_after(self) -> datetime:
        return _utc(self.asn1["tbs_certificate"]["validity"]["not_after"].native)

    @lazy
    def public_key(self) -> PublicKey:
        """:raises crypto.keys.UnsupportedKey: a key of a kind that no suite covers, or a point off the curve"""
        return PublicKey.from_spki(_usual_spki(self.spki))

    @lazy
    def sha256(self) -> str:
        """SHA-256 of the whole DER, lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()

    @lazy
    def _extensions(self) -> dict[str, tuple[bool, Any]]:
        """Dotted OID → (critical, parsed value). Two of one kind are refused (RFC 5280 §4.2): readers would take either."""
        found: dict[str, tuple[bool, Any]] = {}
        for extension in self.asn1["tbs_certificate"]["extensions"] or []:
            oid = extension["extn_id"].dotted
            if oid in found:
                raise ValueError(f"extension {oid} twice")
            value: Any = extension["extn_value"]
            if oid in ax.ExtensionId._map:
                value = value.parsed
            found[oid] = (bool(extension["critical"].native), value)
        return found

    def extension(self, oid: str) -> Any:
        """Parsed value of an extension (asn1crypto), or None."""
        return self._extensions.get(oid, (False, None))[1]

    @lazy
    def critical_extensions(self) -> frozenset[str]:
        return frozenset(oid for oid, (critical, _) in self._extensions.items() if critical)

    @lazy
    def unknown_critical(self) -> frozenset[str]:
        """Critical extensions that a verifier of ours does not understand: the certificate must not be used (RFC 5280 §4.2)."""
        return self.critical_extensions - _UNDERSTOOD

    @lazy
    def is_ca(self) -> bool:
        value = self.extension("2.5.29.19")
        return bool(value is not None and value["ca"].native)

    @lazy
    def path_len(self) -> int | None:
        value = self.extension("2.5.29.19")
        return value["path_len_constraint"].native if value is not None else None

    @lazy
    def key_usage(self) -> frozenset[str]:
        """Names of RFC 5280 (``digitalSignature``, ``nonRepudiation``, …); empty without the extension: see :meth:`allows`."""
        value = self.extension("2.5.29.15")
        if value is None:
            return frozenset()
        by_label = {label: bit for bit, label in ax.KeyUsage._map.items()}
        bits = {by_label[label] for label in value.native}
        return frozenset(name for name, bit in KEY_USAGE_BITS.items() if bit in bits)

    def allows(self, *usages: str) -> bool:
        """Whether the key may be used for any of these; without a key usage extension it may (RFC 5280 §4.2.1.3)."""
        return self.extension("2.5.29.15") is None or bool(self.key_usage & set(usages))

    @lazy
    def extended_key_usage(self) -> frozenset[str]:
        """Dotted OIDs; empty without the extension."""
        value = self.extension("2.5.29.37")
        return frozenset(item.dotted for item in value) if value is not None else frozenset()

    @lazy
    def es_id(self) -> str | None:
        """The seal this certificate belongs to."""
        value = self.extension(OID_ES_ID)
        return str(value.native) if value is not None else None

    @lazy
    def ski(self) -> bytes | None:
        value = self.extension("2.5.29.14")
        return value.native if value is not None else None

    @lazy
    def aki(self) -> bytes | None:
        value = self.extension("2.5.29.35")
        return value["key_identifier"].native if value is not None else None

    @lazy
    def policies(self) -> tuple[str, ...]:
        value = self.extension("2.5.29.32")
        return tuple(p["policy_identifier"].dotted for p in value) if value is not None else ()

    @lazy
    def ocsp_nocheck(self) -> bool:
        return self.extension("1.3.6.1.5.5.7.48.1.5") is not None

    @lazy
    def ocsp_urls(self) -> tuple[str, ...]:
        return self._access("1.3.6.1.5.5.7.48.1")

    @lazy
    def ca_issuer_urls(self) -> tuple[str, ...]:
        return self._access("1.3.6.1.5.5.7.48.2")

    def _access(self, method: str) -> tuple[str, ...]:
        value = self.extension("1.3.6.1.5.5.7.1.1")
        if value is None:
            return ()
        return tuple(
            str(d["access_location"].chosen.native)
            for d in value
            if d["access_method"].dotted == method and d["access_location"].name == "uniform_resource_identifier"
        )

    @lazy
    def crl_urls(self) -> tuple[str, ...]:
        value = self.extension("2.5.29.31")
        urls: list[str] = []
        for point in value if value is not None else ():
            name = point["distribution_point"]
            if isinstance(name, core.Void) or name.name != "full_name":
                continue
            urls += [str(g.chosen.native) for g in name.chosen if g.name == "uniform_resource_identifier"]
        return tuple(urls)

    @lazy
    def signature_scheme(self) -> Scheme | None:
        """How the issuer signed; None for algorithms that no suite covers (SHA-1, MD5, other curves, odd PSS parameters)."""
        return scheme_of(self.asn1["signature_algorithm"])

    @property
    def is_self_issued(self) -> bool:
        return self.subject_der == self.issuer_der

    def is_signed_by(self, issuer_key: PublicKey) -> bool:
        """Whether the signature value is this key's over the original tbs bytes, under an algorithm of our suites.

        The inner and the outer algorithm must be the same bytes (RFC 5280 §4.1.1.2). SM2 uses the default ID (GM/T 0009).
        """
        scheme = self.signature_scheme
        if scheme is None or self._slices["algorithm"] != self._slices["inner_algorithm"]:
            return False
        return issuer_key.verify(self.tbs, self.signature, scheme)

    def valid_at(self, when: datetime) -> bool:
        """Whether ``when`` lies within notBefore … notAfter, both inclusive."""
        return self.not_before <= when <= self.not_after

    def pem(self) -> str:
        return to_pem(self.der, "CERTIFICATE")


def _is_pem(data: bytes) -> bool:
    """PEM may have any text before it (RFC 7468 §2); DER of a certificate begins 30 8x, which no text does."""
    return not (data[:1] == b"0" and data[1:2] >= b"\x80") and b"-----BEGIN" in data[: 4 * MAX_CERTIFICATE]


def to_pem(der: bytes, label: str) -> str:
    """PEM text (RFC 7468), 64 characters a line, with a newline at the end."""
    text = b64encode(der).decode("ascii")
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


def readable_name(name: ax.Name) -> str:
    """RFC 4514 text, most specific part first: ``CN=样本印章,O=云江市…,C=CN``; unknown types as dotted OIDs."""
    parts = []
    for rdn in reversed(list(name.chosen)):
        parts.append("+".join(f"{_SHORT.get(a['type'].dotted, a['type'].dotted)}={_escape(a)}" for a in rdn))
    return ",".join(parts)


def _escape(attribute: Any) -> str:
    native = attribute["value"].native
    text = native if isinstance(native, str) else "#" + attribute["value"].dump().hex()
    for character in '\\,+"<>;':
        text = text.replace(character, "\\" + character)
    return "".join(f"\\{ord(c):02x}" if unicodedata.category(c) == "Cc" else c for c in text)


# --- building ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CertificateSpec:
    """What goes into a certificate. ``issuer`` None means self-signed; ``serial`` is positive and at most 20 bytes.

    ``extended_key_usage``, ``policies`` are dotted OIDs; URLs go out as they are; ``ski`` and ``aki`` follow from the keys.
    """

    subject: Subject
    public_key: PublicKey
    serial: int
    not_before: datetime
    not_after: datetime
    issuer: Certificate | None = None
    is_ca: bool = False
    path_len: int | None = None
    key_usage: Sequence[str] = ()
    extended_key_usage: Sequence[str] = ()
    extended_key_usage_critical: bool = False
    policies: Sequence[str] = ()
    cps_url: str | None = None
    ocsp_urls: Sequence[str] = ()
    ca_issuer_urls: Sequence[str] = ()
    crl_urls: Sequence[str] = ()
    ocsp_nocheck: bool = False
    es_id: str | None = None
    extra: Sequence[ax.Extension] = field(default=())


def key_identifier(public_key: PublicKey) -> bytes:
    """20 bytes: the first 160 bits of SHA-256 over the public key's BIT STRING (RFC 7093 §2 method 1; no SHA-1 anywhere)."""
    info = keys.PublicKeyInfo.load(public_key.spki)
    return hashlib.sha256(info["public_key"].contents[1:]).digest()[:20]


def build_tbs(spec: CertificateSpec, scheme: Scheme) -> bytes:
    """DER of the TBSCertificate (RFC 5280 §4.1.2), to be linted and then signed.

    :raises NameRefused: the subject cannot go into a certificate
    """
    subject = spec.subject.name()
    issuer = ax.Name.load(spec.issuer.subject_der) if spec.issuer is not None else subject
    tbs = ax.TbsCertificate(
        {
            "version": "v3",
            "serial_number": spec.serial,
            "signature": signature_algorithm(scheme),
            "issuer": issuer,
            "validity": {"not_before": time_of(spec.not_before), "not_after": time_of(spec.not_after)},
            "subject": subject,
            "subject_public_key_info": keys.PublicKeyInfo.load(spec.public_key.spki),
            "extensions": _extensions(spec),
        }
    )
    return bytes(tbs.dump())


def assemble(tbs: bytes, scheme: Scheme, signature: bytes) -> bytes:
    """DER SEQUENCE {tbs, algorithm, BIT STRING}: certificate, CRL and certification request share this outline."""
    return sequence(tbs, signature_algorithm(scheme).dump(), core.OctetBitString(signature).dump())


def sequence(*elements: bytes) -> bytes:
    """DER SEQUENCE around elements that are DER already, byte for byte."""
    body = b"".join(elements)
    size = len(body)
    if size < 0x80:
        return bytes([0x30, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x30, 0x80 | len(length)]) + length + body


def build_certificate(spec: CertificateSpec, signer: Signer, scheme: Scheme | None = None) -> Certificate:
    """Sign a certificate with the issuer's key (the subject's own when ``spec.issuer`` is None). One signature.

    :raises NameRefused: the subject cannot go into a certificate
    """
    scheme = scheme or default_scheme(signer.public_key.suite)
    tbs = build_tbs(spec, scheme)
    return Certificate.parse(assemble(tbs, scheme, signer.sign(tbs, scheme)))


def time_of(value: datetime) -> ax.Time:
    """UTCTime up to 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5), whole seconds."""
    value = value.astimezone(UTC).replace(microsecond=0)
    if value.year < 2050:
        return ax.Time(name="utc_time", value=core.UTCTime(value))
    return ax.Time(name="general_time", value=core.GeneralizedTime(value))


def _extension(name: str, value: Any, *, critical: bool = False) -> ax.Extension:
    return ax.Extension({"extn_id": name, "critical": critical, "extn_value": core.ParsableOctetString(value.dump())})


def _extensions(spec: CertificateSpec) -> ax.Extensions:
    own = key_identifier(spec.public_key)
    authority = own if spec.issuer is None else (spec.issuer.ski or key_identifier(spec.issuer.public_key))
    made = [
        _extension("authority_key_identifier", ax.AuthorityKeyIdentifier({"key_identifier": authority})),
        _extension("key_identifier", core.OctetString(own)),
        _basic_constraints(spec),
        _extension("key_usage", key_usage(spec.key_usage), critical=True),
    ]
    if spec.extended_key_usage:
        usages = ax.ExtKeyUsageSyntax(list(spec.extended_key_usage))
        made.append(_extension("extended_key_usage", usages, critical=spec.extended_key_usage_critical))
    if spec.policies:
        made.append(_extension("certificate_policies", _policies(spec)))
    if spec.crl_urls:
        made.append(_extension("crl_distribution_points", distribution_points(spec.crl_urls)))
    if spec.ocsp_urls or spec.ca_issuer_urls:
        made.append(_extension("authority_information_access", _access(spec)))
    if spec.ocsp_nocheck:
        made.append(_extension("ocsp_no_check", core.Null()))
    if spec.es_id is not None:
        made.append(_extension("es_id", core.IA5String(spec.es_id)))
    return ax.Extensions([*made, *spec.extra])


def _basic_constraints(spec: CertificateSpec) -> ax.Extension:
    value: dict[str, Any] = {"ca": spec.is_ca}
    if spec.is_ca and spec.path_len is not None:
        value["path_len_constraint"] = spec.path_len
    return _extension("basic_constraints", ax.BasicConstraints(value), critical=True)


def key_usage(names: Sequence[str]) -> ax.KeyUsage:
    """KeyUsage with trailing zero bits removed, as DER wants of named bits (X.690 §11.2.2)."""
    bits = [KEY_USAGE_BITS[name] for name in names]
    return ax.KeyUsage(tuple(int(i in bits) for i in range(max(bits) + 1)))


def _policies(spec: CertificateSpec) -> ax.CertificatePolicies:
    qualifiers = (
        [
            ax.PolicyQualifierInfo(
                {"policy_qualifier_id": "certification_practice_statement", "qualifier": core.IA5String(spec.cps_url)}
            )
        ]
        if spec.cps_url
        else None
    )
    made = []
    for oid in spec.policies:
        information: dict[str, Any] = {"policy_identifier": oid}
        if qualifiers:
            information["policy_qualifiers"] = qualifiers
        made.append(ax.PolicyInformation(information))
    return ax.CertificatePolicies(made)


def distribution_points(urls: Sequence[str]) -> ax.CRLDistributionPoints:
    """One distribution point a URL, for all reasons."""
    return ax.CRLDistributionPoints(
        [{"distribution_point": ax.DistributionPointName(name="full_name", value=[url_name(url)])} for url in urls]
    )


def url_name(url: str) -> ax.GeneralName:
    """GeneralName uniformResourceIdentifier with exactly these characters (they must be ASCII)."""
    value = ax.URI()
    value.contents = url.encode("ascii")
    value._unicode = url
    value._header = None
    return ax.GeneralName(name="uniform_resource_identifier", value=value)


def _access(spec: CertificateSpec) -> ax.AuthorityInfoAccessSyntax:
    rows = [("ocsp", url) for url in spec.ocsp_urls] + [("ca_issuers", url) for url in spec.ca_issuer_urls]
    return ax.AuthorityInfoAccessSyntax([{"access_method": method, "access_location": url_name(url)} for method, url in rows])
