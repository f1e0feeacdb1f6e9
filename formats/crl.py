"""Certificate revocation lists (RFC 5280 §5): a reader that stays cheap on long lists, and a builder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asn1crypto import core
from asn1crypto import crl as acrl
from asn1crypto import x509 as ax
from asn1crypto.algos import SignedDigestAlgorithm

from crypto.keys import PublicKey, Signer
from crypto.suites import Scheme, default_scheme
from formats.asn1 import MalformedDer, check_der, children, header, lazy, malformed, pem_blocks, scheme_of, signature_algorithm
from formats.x509 import Certificate, assemble, key_identifier, readable_name, time_of, url_name

MAX_CRL = 64 * 1024 * 1024
"""Bytes of DER that are read as one CRL: about a million entries."""

REASONS = (
    "unspecified",
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "certificateHold",
    "removeFromCRL",
    "privilegeWithdrawn",
    "aACompromise",
)
"""CRLReason in the spelling of RFC 5280 §5.3.1 (value 7 is not used)."""
_REASON_VALUES = dict(zip(REASONS, (0, 1, 2, 3, 4, 5, 6, 8, 9, 10), strict=True))
_REASON_NAMES = {value: name for name, value in _REASON_VALUES.items()}

_UNDERSTOOD = {"2.5.29.20", "2.5.29.28", "2.5.29.35"}


def reason_value(name: str) -> acrl.CRLReason:
    """CRLReason ENUMERATED of a name in :data:`REASONS`."""
    return acrl.CRLReason(_REASON_VALUES[name])


def reason_name(value: Any) -> str:
    """Name of a decoded CRLReason; ``unspecified`` for values that RFC 5280 does not know."""
    number = int.from_bytes(value.contents, "big")
    return _REASON_NAMES.get(number, "unspecified")


@dataclass(frozen=True)
class RevokedEntry:
    """One line of a CRL. ``reason`` is a name in :data:`REASONS` (``unspecified`` when the entry gives none)."""

    serial: int
    revoked_at: datetime
    reason: str = "unspecified"
    invalidity_at: datetime | None = None


class RevocationList:
    """An immutable view over the DER of one CRL; entries are found by their original bytes and decoded when asked for."""

    _what = "certificate revocation list"
    _what_zh = "证书吊销列表"

    def __init__(self, der: bytes) -> None:
        self.der = der

    @classmethod
    def parse(cls, data: bytes) -> RevocationList:
        """From DER, or PEM with one X509 CRL block. :raises MalformedDer: neither, cut off, trailing bytes or over 64 MiB"""
        if data[:1] != b"0" and b"-----BEGIN" in data[:65536]:
            blocks = pem_blocks(data[: 2 * MAX_CRL], "X509 CRL")
            if len(blocks) != 1:
                raise malformed(cls._what, cls._what_zh, f"{len(blocks)} X509 CRL blocks in the PEM text, one is read")
            data = blocks[0]
        if len(data) > MAX_CRL:
            raise malformed(cls._what, cls._what_zh, f"{len(data)} bytes, at most {MAX_CRL} are read")
        found = cls(bytes(data))
        found._slices  # noqa: B018 - refuses what has not even the outline of a CRL
        return found

    def check(self) -> RevocationList:
        """Decode everything but the entries now; returns self. :raises MalformedDer: whatever does not decode"""
        for name, attribute in vars(RevocationList).items():
            if isinstance(attribute, lazy):
                getattr(self, name)
        return self

    @lazy
    def _slices(self) -> dict[str, bytes]:
        """Original bytes of tbs, algorithms, signature, issuer, times, entries ("" without) and extensions ("" without)."""
        der = self.der
        _, start, end = header(der, 0, len(der))
        outer = list(children(der, start, end))
        if end != len(der) or der[0] != 0x30 or [o[0] for o in outer] != [0x30, 0x30, 0x03]:
            raise ValueError("not SEQUENCE {tbs, algorithm, signature}, or trailing bytes")
        fields = list(children(der, outer[0][2], outer[0][3]))
        if fields and fields[0][0] == 0x02:
            fields = fields[1:]
        if len(fields) < 3 or [f[0] for f in fields[:2]] != [0x30, 0x30]:
            raise ValueError("not the fields of a TBSCertList")
        times = [f for f in fields[2:4] if f[0] in (0x17, 0x18)]
        rest = {f[0]: der[f[2] : f[3]] for f in fields[2 + len(times) :]}
        bits = der[outer[2][2] : outer[2][3]]
        if not times or bits[:1] != b"\0":
            raise ValueError("no thisUpdate, or a signature value with unused bits")
        return {
            "tbs": der[outer[0][1] : outer[0][3]],
            "algorithm": der[outer[1][1] : outer[1][3]],
            "signature": bits[1:],
            "inner_algorithm": der[fields[0][1] : fields[0][3]],
            "issuer": der[fields[1][1] : fields[1][3]],
            "this_update": der[times[0][1] : times[0][3]],
            "next_update": der[times[1][1] : times[1][3]] if len(times) == 2 else b"",
            "entries": rest.get(0x30, b""),
            "extensions": rest.get(0xA0, b""),
        }

    @property
    def issuer_der(self) -> bytes:
        return self._slices["issuer"]

    @lazy
    def issuer(self) -> str:
        return readable_name(ax.Name.load(_small(self.issuer_der)))

    @lazy
    def this_update(self) -> datetime:
        return _time(self._slices["this_update"])

    @lazy
    def next_update(self) -> datetime | None:
        """None where the issuer promises none; RFC 5280 §5.1.2.5 wants one."""
        return _time(self._slices["next_update"]) if self._slices["next_update"] else None

    @lazy
    def _extensions(self) -> dict[str, tuple[bool, Any]]:
        if not self._slices["extensions"]:
            return {}
        found: dict[str, tuple[bool, Any]] = {}
        for extension in acrl.TBSCertListExtensions.load(_small(self._slices["extensions"]), strict=True):
            oid = extension["extn_id"].dotted
            if oid in found:
                raise ValueError(f"extension {oid} twice")
            known = oid in acrl.TBSCertListExtensionId._map
            found[oid] = (bool(extension["critical"].native), extension["extn_value"].parsed if known else None)
        return found

    @lazy
    def number(self) -> int | None:
        value = self._extensions.get("2.5.29.20", (False, None))[1]
        return int(value.native) if value is not None else None

    @lazy
    def aki(self) -> bytes | None:
        value = self._extensions.get("2.5.29.35", (False, None))[1]
        return value["key_identifier"].native if value is not None else None

    @lazy
    def unknown_critical(self) -> frozenset[str]:
        """Critical extensions we do not understand (a delta CRL indicator among them): the list must not be used alone."""
        return frozenset(o for o, (critical, _) in self._extensions.items() if critical) - _UNDERSTOOD

    @lazy
    def scope(self) -> dict[str, Any]:
        """Issuing distribution point (§5.2.5): ``users_only``, ``cas_only``, ``indirect``, ``some_reasons``, ``urls``."""
        value = self._extensions.get("2.5.29.28", (False, None))[1]
        if value is None:
            return {"users_only": False, "cas_only": False, "indirect": False, "some_reasons": False, "urls": ()}
        name = value["distribution_point"]
        full = name.chosen if not isinstance(name, core.Void) and name.name == "full_name" else ()
        return {
            "users_only": bool(value["only_contains_user_certs"].native),
            "cas_only": bool(value["only_contains_ca_certs"].native),
            "indirect": bool(value["indirect_crl"].native) or bool(value["only_contains_attribute_certs"].native),
            "some_reasons": value["only_some_reasons"].native is not None,
            "urls": tuple(str(g.chosen.native) for g in full if g.name == "uniform_resource_identifier"),
        }

    def covers(self, certificate: Certificate) -> bool:
        """Whether silence about this certificate means "not revoked": same issuer, and nothing in the scope leaves it out."""
        scope = self.scope
        return (
            self.issuer_der == certificate.issuer_der
            and not self.unknown_critical
            and not scope["indirect"]
            and not scope["some_reasons"]
            and not (scope["users_only"] and certificate.is_ca)
            and not (scope["cas_only"] and not certificate.is_ca)
            and (not scope["urls"] or not certificate.crl_urls or bool(set(scope["urls"]) & set(certificate.crl_urls)))
        )

    @lazy
    def _index(self) -> dict[bytes, tuple[int, int]]:
        """Contents of the serial INTEGER → (start, end) of its entry within the entries."""
        entries = self._slices["entries"]
        found: dict[bytes, tuple[int, int]] = {}
        for tag, start, inner, end in children(entries, 0, len(entries)):
            serial_tag, at, stop = header(entries, inner, end)
            if tag != 0x30 or serial_tag != 0x02:
                raise ValueError("not a revoked certificate entry")
            found[entries[at:stop].lstrip(b"\0")] = (start, end)
        return found

    def __len__(self) -> int:
        return len(self._index)

    def entry(self, serial: int) -> RevokedEntry | None:
        """The entry for a serial number; None if it is not on the list. :raises MalformedDer: an entry that does not decode"""
        wanted = serial.to_bytes((serial.bit_length() + 8) // 8, "big", signed=True).lstrip(b"\0")
        place = self._index.get(wanted)
        return self._decode(self._slices["entries"][place[0] : place[1]]) if place is not None else None

    def entries(self) -> Iterator[RevokedEntry]:
        """All entries in order. :raises MalformedDer: an entry that does not decode"""
        for start, end in self._index.values():
            yield self._decode(self._slices["entries"][start:end])

    def _decode(self, data: bytes) -> RevokedEntry:
        try:
            entry = acrl.RevokedCertificate.load(_small(data), strict=True)
            reason, invalidity = "unspecified", None
            for extension in entry["crl_entry_extensions"] or []:
                oid = extension["extn_id"].dotted
                if oid == "2.5.29.21":
                    reason = reason_name(extension["extn_value"].parsed)
                elif oid == "2.5.29.24":
                    invalidity = extension["extn_value"].parsed.native.astimezone(UTC)
                elif extension["critical"].native:
                    raise ValueError(f"critical entry extension {oid} is not understood")
            revoked_at = entry["revocation_date"].native.astimezone(UTC)
            return RevokedEntry(entry["user_certificate"].native, revoked_at, reason, invalidity)
        except MalformedDer:
            raise
        except Exception as exc:  # asn1crypto raises ValueError, TypeError, KeyError, OverflowError …
            raise malformed(self._what, self._what_zh, f"entry: {exc}"[:300]) from exc

    @lazy
    def signature_scheme(self) -> Scheme | None:
        return scheme_of(SignedDigestAlgorithm.load(_small(self._slices["algorithm"])))

    def is_signed_by(self, issuer_key: PublicKey) -> bool:
        """Whether the signature is this key's over the original tbs bytes, under an algorithm of our suites."""
        scheme = self.signature_scheme
        if scheme is None or self._slices["algorithm"] != self._slices["inner_algorithm"]:
            return False
        return issuer_key.verify(self._slices["tbs"], self._slices["signature"], scheme)


def _small(data: bytes) -> bytes:
    """The bytes, once their nesting is known to be harmless."""
    check_der(data, what=RevocationList._what, what_zh=RevocationList._what_zh, max_bytes=1024 * 1024)
    return data


def _time(data: bytes) -> datetime:
    value: datetime = ax.Time.load(data, strict=True).native
    return value.astimezone(UTC)


@dataclass(frozen=True)
class CrlSpec:
    """What goes into a full CRL. ``url`` is the distribution point that its certificates name."""

    issuer: Certificate
    number: int
    this_update: datetime
    next_update: datetime
    entries: Sequence[RevokedEntry] = ()
    url: str | None = None
    cas_only: bool = False
    users_only: bool = False


def build_crl(spec: CrlSpec, signer: Signer, scheme: Scheme | None = None) -> bytes:
    """DER of a v2 CRL signed with the issuer's key. One signature.

    A reason of ``unspecified`` is left out (RFC 5280 §5.3.1). The issuing distribution point is critical and says what the list
    is for, so that a root's list cannot stand in for an issuing CA's.
    """
    scheme = scheme or default_scheme(signer.public_key.suite)
    tbs: dict[str, Any] = {
        "version": "v2",
        "signature": signature_algorithm(scheme),
        "issuer": ax.Name.load(spec.issuer.subject_der),
        "this_update": time_of(spec.this_update),
        "next_update": time_of(spec.next_update),
        "crl_extensions": acrl.TBSCertListExtensions(_list_extensions(spec)),
    }
    if spec.entries:  # RFC 5280 §5.1.2.6: the field is absent from an empty list
        tbs["revoked_certificates"] = acrl.RevokedCertificates([_entry(e) for e in spec.entries])
    body = acrl.TbsCertList(tbs).dump()
    return assemble(body, scheme, signer.sign(body, scheme))


def _list_extensions(spec: CrlSpec) -> list[acrl.TBSCertListExtension]:
    def extension(name: str, value: Any, *, critical: bool = False) -> acrl.TBSCertListExtension:
        octets = core.ParsableOctetString(value.dump())
        return acrl.TBSCertListExtension({"extn_id": name, "critical": critical, "extn_value": octets})

    identifier = spec.issuer.ski or key_identifier(spec.issuer.public_key)
    made = [
        extension("authority_key_identifier", ax.AuthorityKeyIdentifier({"key_identifier": identifier})),
        extension("crl_number", core.Integer(spec.number)),
    ]
    point: dict[str, Any] = {}
    if spec.url is not None:
        point["distribution_point"] = ax.DistributionPointName(name="full_name", value=[url_name(spec.url)])
    if spec.cas_only:
        point["only_contains_ca_certs"] = True
    if spec.users_only:
        point["only_contains_user_certs"] = True
    if point:
        made.append(extension("issuing_distribution_point", acrl.IssuingDistributionPoint(point), critical=True))
    return made


def _entry(entry: RevokedEntry) -> acrl.RevokedCertificate:
    extensions = []
    if entry.reason != "unspecified":
        extensions.append(("crl_reason", reason_value(entry.reason)))
    if entry.invalidity_at is not None:
        moment = entry.invalidity_at.astimezone(UTC).replace(microsecond=0)
        extensions.append(("invalidity_date", core.GeneralizedTime(moment)))
    made: dict[str, Any] = {"user_certificate": entry.serial, "revocation_date": time_of(entry.revoked_at)}
    if extensions:
        made["crl_entry_extensions"] = acrl.CRLEntryExtensions(
            [
                acrl.CRLEntryExtension(
                    {"extn_id": name, "critical": False, "extn_value": core.ParsableOctetString(value.dump())}
                )
                for name, value in extensions
            ]
        )
    return acrl.RevokedCertificate(made)
