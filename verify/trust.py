"""Whom to trust: signed trust lists (after ETSI TS 119 602), pinned by the fingerprint of their key, and plain anchors.

A list is a compact JWS (ES256) whose header carries the public key as ``jwk``; what makes it ours is that the SHA-256 of the
key's SubjectPublicKeyInfo is pinned. Reading is here, below the rooms that publish and import, because a verifier must be able
to judge a list without trusting anybody's database. The shapes that only we define (service types, region, domains) are the
constants below.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from crypto.errors import BadInput, XinyinError
from formats.dates import shown_time
from formats.x509 import Certificate

MAX_LIST_BYTES = 16 * 1024 * 1024
MAX_SERVICES = 20_000
LIST_TYPE = "urn:xinyin:trust-list:region"
SERVICE_TYPE_PREFIX = "urn:xinyin:service:"
STATUS_PREFIX = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/"
EXTENSION = "urn:xinyin:region"
REGION = re.compile(r"[0-9]{6}")


class _ListRegistry(jws.JWSRegistry):
    """joserfc's bounds, widened to what a list with its key in the header and thousands of certificates needs."""

    max_header_length = 8192
    max_payload_length = MAX_LIST_BYTES


_LIST_REGISTRY = _ListRegistry(algorithms=["ES256"], strict_check_header=False)


class ServiceType(StrEnum):
    """What an entity is listed for; ``ANY`` is what a plain anchor is good for."""

    CA_ROOT = "ca/root"
    CA_ISSUING = "ca/issuing"
    TSA = "tsa"
    SEAL_MAKER = "seal-maker"
    LICENCE_ISSUER = "licence-issuer"
    CREDENTIAL_ISSUER = "credential-issuer"
    STATUS_LIST = "status-list"
    RECEIPT = "receipt"
    AUDIT = "audit"
    ANY = "any"


SIGNER_SERVICES = frozenset({ServiceType.CA_ROOT, ServiceType.CA_ISSUING, ServiceType.ANY})
TIMESTAMP_SERVICES = frozenset({ServiceType.TSA, ServiceType.ANY})


class TrustListRefused(BadInput):
    """A trust list that must not be used; the message says why and what to do."""

    code = "trust-list-refused"


@dataclass(frozen=True)
class TrustedService:
    """One service of one listed entity, its key as ``certificate`` or ``jwk``; granted or withdrawn since ``since``."""

    type: ServiceType
    name: str
    region: str
    certificate: Certificate | None = None
    jwk: Mapping[str, Any] | None = None
    status: str = "granted"
    since: datetime | None = None

    def withdrawn_at(self, moment: datetime) -> bool:
        """Whether the service had been withdrawn at that time."""
        return self.status != "granted" and (self.since is None or moment >= self.since)


@dataclass(frozen=True)
class TrustList:
    """A list whose signature and pin were checked. ``fingerprint`` is the pinned one; ``next_update`` None means closed;
    ``next_keys`` are the fingerprints that it announces for later lists."""

    region: str
    name: str
    sequence: int
    issued: datetime
    next_update: datetime | None
    services: tuple[TrustedService, ...]
    domains: tuple[str, ...]
    status_lists: tuple[str, ...]
    fingerprint: str
    jws: str = field(repr=False, default="")
    next_keys: tuple[str, ...] = ()

    def state(self, at: datetime) -> str:
        """``current``, ``stale`` (past its next update) or ``closed`` (the region publishes no more)."""
        if self.next_update is None:
            return "closed"
        return "stale" if at > self.next_update else "current"


def spki_fingerprint(spki: bytes) -> str:
    """What is pinned: SHA-256 of the DER SubjectPublicKeyInfo, lower-case hex."""
    return sha256(spki).hexdigest()


def read_list(text: str | bytes, pins: Iterable[str]) -> TrustList:
    """Check the signature of a list.jws, its key against ``pins``, and its shape.

    :param pins: fingerprints (lower-case hex) of list keys that are trusted
    :raises TrustListRefused: not a list, a bad signature, a key that is not pinned, or a body that makes no sense
    """
    compact = (text.decode("ascii", "replace") if isinstance(text, bytes) else text).strip()
    if len(compact) > MAX_LIST_BYTES:
        raise _refuse("it is too large", "文件过大")
    key, fingerprint = _header_key(compact)
    if fingerprint not in {p.strip().lower() for p in pins}:
        raise TrustListRefused(
            f"The trust list's key is not pinned. Compare its fingerprint {fingerprint} with what the region publishes, then "
            "give it with --pin or import the list.",
            f"该信任列表的密钥未被固定。请将其指纹 {fingerprint} 与该地区公布的指纹核对，然后使用 --pin 指定或导入该列表。",
            fingerprint=fingerprint,
        )
    try:
        payload = jws.deserialize_compact(compact, key, registry=_LIST_REGISTRY).payload
        body = json.loads(payload)
    except (JoseError, ValueError) as exc:
        raise _refuse("its signature does not verify", "其签名无效") from exc
    return _body(body, fingerprint, compact)


def key_fingerprint(text: str | bytes) -> str:
    """Fingerprint of the key that a list.jws says it is signed with. :raises TrustListRefused: not a list"""
    return _header_key((text.decode("ascii", "replace") if isinstance(text, bytes) else text).strip())[1]


def _header_key(compact: str) -> tuple[ECKey, str]:
    try:
        header = json.loads(_unbase64url(compact.split(".", 1)[0]))
        if header.get("alg") != "ES256" or header.get("crit"):
            raise _refuse("it is not signed with ES256", "未使用 ES256 签名")
        jwk = header["jwk"]
        key = ECKey.import_key({name: jwk[name] for name in ("kty", "crv", "x", "y")})
        if jwk["crv"] != "P-256":
            raise _refuse("its key is not on P-256", "其密钥不在 P-256 曲线上")
        spki = key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if not _certificate_fits(header, spki):
            raise _refuse("its certificate is that of another key", "其证书属于另一密钥")
    except TrustListRefused:
        raise
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, JoseError, XinyinError) as exc:
        raise _refuse("it is not a signed list", "不是经签名的列表") from exc
    return key, spki_fingerprint(spki)


def _certificate_fits(header: Mapping[str, Any], spki: bytes) -> bool:
    """Whether the certificate of a JAdES header (``x5c``, ``x5t#S256``), where there is one, is that of the signing key."""
    if "x5c" not in header and "x5t#S256" not in header:
        return True
    der = base64.b64decode(header["x5c"][0], validate=True)
    digest = base64.urlsafe_b64encode(sha256(der).digest()).rstrip(b"=").decode("ascii")
    return header.get("x5t#S256") == digest and Certificate.parse(der).spki == spki


def _body(body: Any, fingerprint: str, compact: str) -> TrustList:
    """Turn the JSON of TS 119 602 §6 into a :class:`TrustList`."""
    try:
        info = body["LoTE"]["ListAndSchemeInformation"]
        extension = next(e[EXTENSION] for e in info["SchemeExtensions"] if EXTENSION in e)
        region = extension["region"]
        if not REGION.fullmatch(region):
            raise ValueError("region")
        services: list[TrustedService] = []
        for entity in body["LoTE"].get("TrustedEntitiesList", []):
            for service in entity["TrustedEntityServices"]:
                services += _services(service["ServiceInformation"], region)
                if len(services) > MAX_SERVICES:
                    raise ValueError("too many services")
        next_update = info.get("NextUpdate")
        return TrustList(
            region=region,
            name=_text(info["SchemeOperatorName"]),
            sequence=int(info["LoTESequenceNumber"]),
            issued=_time(info["ListIssueDateTime"]),
            next_update=_time(next_update) if next_update is not None else None,
            services=tuple(services),
            domains=tuple(str(d) for d in extension.get("domains", [])),
            status_lists=tuple(str(s) for s in extension.get("status_lists", [])),
            fingerprint=fingerprint,
            jws=compact,
            next_keys=tuple(str(k) for k in extension.get("next_keys", []) if re.fullmatch(r"[0-9a-f]{64}", str(k))),
        )
    except (KeyError, TypeError, ValueError, StopIteration, AttributeError, XinyinError) as exc:
        raise _refuse(f"its content cannot be read ({type(exc).__name__})", f"其内容无法读取（{type(exc).__name__}）") from exc


def _services(information: Mapping[str, Any], region: str) -> list[TrustedService]:
    """One service for each certificate or key of its digital identity; types that we do not know are passed over."""
    kind = str(information["ServiceTypeIdentifier"]).removeprefix(SERVICE_TYPE_PREFIX)
    if kind not in set(ServiceType) or kind == ServiceType.ANY:
        return []
    identity = information["ServiceDigitalIdentity"]
    since = information.get("StatusStartingTime")
    common: dict[str, Any] = {
        "type": ServiceType(kind),
        "name": _text(information["ServiceName"]),
        "region": region,
        "status": "granted" if str(information["ServiceStatus"]) == STATUS_PREFIX + "granted" else "withdrawn",
        "since": _time(since) if since else None,
    }
    found = [
        TrustedService(certificate=Certificate.parse(base64.b64decode(c["val"], validate=True)), **common)
        for c in identity.get("X509Certificates", [])
    ]
    return found + [TrustedService(jwk=dict(j), **common) for j in identity.get("PublicKeyValues", [])]


class TrustStore:
    """All that one verifier trusts: lists and plain anchors, ready to be asked for the issuer of a certificate.

    ``problems`` are lists that could not be used; they are reported, never silently dropped.
    """

    def __init__(
        self, lists: Iterable[TrustList] = (), anchors: Iterable[Certificate] = (), problems: Iterable[XinyinError] = ()
    ) -> None:
        self.lists = list(lists)
        self.anchors = list(anchors)
        self.problems = list(problems)
        self._by_subject: dict[bytes, list[TrustedService]] = {}
        self._by_sha256: dict[str, list[TrustedService]] = {}
        for service in self.services():
            if service.certificate is not None:
                self._by_subject.setdefault(service.certificate.subject_der, []).append(service)
                self._by_sha256.setdefault(service.certificate.sha256, []).append(service)

    def services(self) -> list[TrustedService]:
        """Every listed service, and each plain anchor as one that is good for anything."""
        listed = [service for one in self.lists for service in one.services]
        return listed + [TrustedService(ServiceType.ANY, a.common_name, "", certificate=a) for a in self.anchors]

    def named(self, subject_der: bytes) -> list[TrustedService]:
        """Services whose certificate has this subject."""
        return self._by_subject.get(subject_der, [])

    def exactly(self, certificate: Certificate) -> list[TrustedService]:
        """Services that list this very certificate."""
        return self._by_sha256.get(certificate.sha256, [])

    def keys(self, kind: ServiceType, region: str | None = None) -> list[TrustedService]:
        """Services of a kind with a bare key (licence issuers, status lists …), of one region or of all."""
        return [s for s in self.services() if s.type is kind and s.jwk is not None and region in (None, s.region)]

    def list_of(self, region: str) -> TrustList | None:
        """The list of a region, if it is trusted."""
        return next((one for one in self.lists if one.region == region), None)

    def report(self, at: datetime) -> list[dict[str, Any]]:
        """``trust.lists`` of the verdict."""
        return [
            {
                "region": one.region,
                "sequence": one.sequence,
                "next_update": shown_time(one.next_update) if one.next_update else None,
                "state": one.state(at),
            }
            for one in self.lists
        ]

    # Where trust comes from

    @classmethod
    def from_folder(cls, folder: Path) -> TrustStore:
        """A node's ``trust`` folder: ``list.jws`` (its own), ``lists/*.jws`` (imported), ``pins.json``, ``anchors/*``.

        A list that cannot be used becomes a problem of the store; a folder that is not there gives an empty store.
        """
        pins = read_pins(folder / "pins.json")
        lists: list[TrustList] = []
        problems: list[XinyinError] = []
        for path in [folder / "list.jws", *sorted(folder.glob("lists/*.jws"))]:
            if path.is_file():
                try:
                    lists.append(read_list(path.read_bytes(), pins))
                except XinyinError as exc:
                    problems.append(exc)
        anchors = [a for path in sorted(folder.glob("anchors/*")) if path.is_file() for a in read_anchors(path.read_bytes())]
        return cls(_newest(lists), anchors, problems)

    @classmethod
    def from_paths(cls, paths: Iterable[Path], pins: Iterable[str] = (), *, known_pins: Iterable[str] = ()) -> TrustStore:
        """What ``--trust PATH`` (with ``--pin``) names: list.jws files, PEM or DER anchors, or folders of a node.

        :raises TrustListRefused: a list that is not pinned or does not verify
        :raises XinyinError: a file that is neither
        """
        trusted = {*pins, *known_pins}
        lists: list[TrustList] = []
        anchors: list[Certificate] = []
        problems: list[XinyinError] = []
        for path in paths:
            if path.is_dir():
                store = cls.from_folder(path / "trust" if (path / "trust").is_dir() else path)
                lists, anchors, problems = lists + store.lists, anchors + store.anchors, problems + store.problems
                continue
            data = _read_file(path)
            if looks_like_list(data):
                lists.append(read_list(data, trusted))  # never by pins that came along with the list
            else:
                anchors += read_anchors(data)
        return cls(_newest(lists), anchors, problems)

    def to_json(self) -> str:
        """All of it as text, for the worker process; :meth:`from_json` checks every signature and pin again."""
        return json.dumps(
            {
                "lists": [one.jws for one in self.lists],
                "pins": [one.fingerprint for one in self.lists],
                "anchors": [base64.b64encode(a.der).decode() for a in self.anchors],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> TrustStore:
        """:raises TrustListRefused: it was tampered with on the way"""
        raw = json.loads(text)
        return cls(
            [read_list(one, raw["pins"]) for one in raw["lists"]],
            [Certificate.parse(base64.b64decode(a)) for a in raw["anchors"]],
        )


def looks_like_list(data: bytes) -> bool:
    """Whether bytes are a compact JWS (three base64url parts whose first is a JSON object)."""
    return data.lstrip()[:3] == b"eyJ" and data.strip().count(b".") == 2


def read_anchors(data: bytes) -> list[Certificate]:
    """Certificates in PEM or DER. :raises XinyinError: none that can be read"""
    found = Certificate.parse_many(data)
    if not found:
        raise BadInput("The file holds no certificate; give PEM or DER.", "文件中没有证书；请提供 PEM 或 DER 格式。")
    return found


def read_pins(path: Path) -> dict[str, dict[str, Any]]:
    """``pins.json``: fingerprint → {region, name, sequence, since}; nothing where the file is absent or unreadable."""
    try:
        raw = json.loads(path.read_text("utf-8"))
        return {str(k).lower(): dict(v) for k, v in raw["pins"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _newest(lists: Iterable[TrustList]) -> list[TrustList]:
    """One list a region and key: that with the highest sequence number."""
    best: dict[tuple[str, str], TrustList] = {}
    for one in lists:
        known = best.get((one.region, one.fingerprint))
        if known is None or one.sequence > known.sequence:
            best[one.region, one.fingerprint] = one
    return list(best.values())


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise BadInput(f"{path} cannot be read ({exc.strerror}).", f"无法读取 {path}（{exc.strerror}）。") from exc


def _text(names: Any) -> str:
    """The Chinese text of a multilingual value, else the first."""
    by_language = {n["lang"]: str(n["value"]) for n in names}
    return next((by_language[lang] for lang in ("zh", "zh-CN") if lang in by_language), str(names[0]["value"]))


def _time(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC)


def _unbase64url(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as exc:
        raise ValueError("base64url") from exc


def _refuse(why: str, why_zh: str) -> TrustListRefused:
    return TrustListRefused(
        f"The trust list cannot be used: {why}. Fetch it again from the region's own service.",
        f"信任列表无法使用：{why_zh}。请从该地区的官方服务重新获取。",
    )
