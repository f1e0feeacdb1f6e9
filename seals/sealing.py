"""Document in, sealed document out: a visible seal with a PAdES signature at B-B, B-T, B-LT or B-LTA, in any suite.

No database, no HSM, no network: the key, the timestamps and the revocation answers arrive through Protocols. The document is
never re-written: a seal is one incremental update behind it, validation material and the document timestamp another (ETSI EN
319 142-1; ISO 32000-2 §12.8).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any, BinaryIO, Literal

from crypto.errors import BadInput
from crypto.keys import Signer, digest
from crypto.suites import DigestAlgorithm, Scheme, Suite
from formats import cms
from formats.pdf import appearance
from formats.pdf.errors import OutsideCommonCase, PdfTooLarge
from formats.pdf.geometry import Box
from formats.pdf.objects import Buffer
from formats.pdf.reader import Page, PdfFile
from formats.pdf.signing import (
    FieldSpec,
    Prepared,
    ValidationMaterial,
    Widget,
    add_signature_field,
    add_validation_material,
    existing_signatures,
)
from formats.pdf.writer import Appender
from formats.tsp import TimestampToken
from formats.x509 import Certificate
from seals import pyhanko_path
from seals.evidence import NoEvidence, RevocationSource, Timestamper, TimestampSource, gather_evidence
from seals.picture import Picture
from seals.placement import (
    AnyPlacement,
    CentrePlacement,
    KeywordNotFound,
    KeywordPlacement,
    PagePlacement,
    Placement,
    PointPlacement,
    StraddleImpossible,
    StraddlePlacement,
    find_keyword,
    place,
    straddle,
)

__all__ = [
    "AnyPlacement",
    "CentrePlacement",
    "KeywordNotFound",
    "KeywordPlacement",
    "NoEvidence",
    "Placement",
    "RevocationSource",
    "SealedPdf",
    "SealingMaterial",
    "SealingRefused",
    "StraddleImpossible",
    "StraddlePlacement",
    "TimestampSource",
    "seal_pdf",
]

Format = Literal["pades", "gm", "gm35275"]
Level = Literal["B", "T", "LT", "LTA"]
_RANK = {"B": 0, "T": 1, "LT": 2, "LTA": 3}

MAX_DOCUMENT = 1 << 30
"""Bytes of a document that is sealed in memory or through a memory map."""

_SLACK = 64


class SealingRefused(BadInput):
    """The combination of format, suite and level makes no sense."""

    code = "sealing-refused"


@dataclass(frozen=True)
class SealingMaterial:
    """What seals: a key behind its signing seam, its certificate and chain, and the picture that shows.

    :param chain: issuer first, root last
    """

    signer: Signer
    scheme: Scheme
    certificate: Certificate
    chain: list[Certificate]
    picture: Picture
    es_id: str
    seal_name: str


@dataclass
class SealedPdf:
    """A sealed document, kept as the pieces it consists of.

    :param pieces: the document as it came, then each revision behind it
    :param writer: who wrote: ``fast`` (ours) or ``pyhanko``; ``+repaired`` where the damaged file had to be re-written first
    :param rect: the seal's rectangle in user space of ``page``
    """

    pieces: Sequence[Buffer]
    field_name: str
    writer: str
    page: int
    rect: Box

    @cached_property
    def data(self) -> bytes:
        """The whole file."""
        return b"".join(self.pieces)

    def write_to(self, stream: BinaryIO) -> None:
        """Write the file without joining it in memory first."""
        for piece in self.pieces:
            stream.write(piece)


def seal_pdf(
    data: Buffer,
    material: SealingMaterial,
    placement: AnyPlacement,
    *,
    when: datetime,
    format: Format = "pades",
    level: Level = "B",
    reason: str | None = None,
    location: str | None = None,
    timestamps: TimestampSource | None = None,
    revocation: RevocationSource | None = None,
) -> SealedPdf:
    """Seal a PDF. ``signer.sign`` is called exactly once.

    :param data: the document: bytes, or a memory map for large ones
    :param when: the claimed time (/M); a proven one comes with level T and above
    :param format: ``pades`` (RSA, P-256), ``gm`` (SM2/SM3, standard content types), ``gm35275`` (content types of GB/T 35275)
    :raises XinyinError: by name, whatever is wrong with the document, the place or the sources
    """
    _check(data, material, format, level, timestamps, revocation)
    job = _Job(material, format, level, when, _texts(material, reason, location), timestamps, revocation)
    if isinstance(placement, KeywordPlacement):
        placement = find_keyword(data, placement)
    return job.seal(data, placement)


def _check(
    data: Buffer,
    material: SealingMaterial,
    format: Format,
    level: Level,
    timestamps: TimestampSource | None,
    revocation: RevocationSource | None,
) -> None:
    if len(data) > MAX_DOCUMENT:
        raise PdfTooLarge("size in bytes", MAX_DOCUMENT)
    if level not in _RANK or format not in ("pades", "gm", "gm35275"):
        raise SealingRefused(
            "Choose level B, T, LT or LTA and format pades, gm or gm35275.",
            "级别须为 B、T、LT 或 LTA，格式须为 pades、gm 或 gm35275。",
        )
    if (material.scheme.suite is Suite.SM2) != (format != "pades"):
        raise SealingRefused(
            "Format pades takes an RSA or P-256 key, gm and gm35275 take an SM2 key; choose another suite or format.",
            "pades 格式使用 RSA 或 P-256 密钥，gm 与 gm35275 格式使用 SM2 密钥；请更换算法套件或格式。",
        )
    if material.certificate.spki != material.signer.public_key.spki:
        raise SealingRefused(
            "The seal's certificate belongs to another key; renew the seal's certificate.",
            "印章证书与签名密钥不匹配；请更新印章证书。",
        )
    if _RANK[level] >= 1 and timestamps is None:
        raise SealingRefused(f"Level {level} needs a timestamp service.", f"{level} 级需要时间戳服务。")
    if _RANK[level] >= 2 and revocation is None:
        raise SealingRefused(f"Level {level} needs OCSP or CRL answers.", f"{level} 级需要 OCSP 或 CRL 应答。")


def _texts(material: SealingMaterial, reason: str | None, location: str | None) -> tuple[tuple[bytes, str], ...]:
    entries = [(b"/Name", material.seal_name)]
    if reason:
        entries.append((b"/Reason", reason))
    if location:
        entries.append((b"/Location", location))
    return tuple(entries)


@dataclass
class _Job:
    """One sealing: what does not change while ways to write are tried."""

    material: SealingMaterial
    format: Format
    level: Level
    when: datetime
    texts: tuple[tuple[bytes, str], ...]
    timestamps: TimestampSource | None
    revocation: RevocationSource | None
    _evidence: dict[frozenset[Certificate], ValidationMaterial] = field(default_factory=dict)

    def seal(self, data: Buffer, placement: PagePlacement | StraddlePlacement, *, repaired: bool = False) -> SealedPdf:
        """Our own writer first; what it leaves goes to pyHanko; what that cannot read is repaired if unsigned."""
        try:
            return self._seal_fast(data, placement, repaired)
        except OutsideCommonCase as exc:
            if isinstance(placement, StraddlePlacement):
                raise StraddleImpossible(
                    "A seal cannot be set across the pages of this PDF, for it is built in an unusual way or encrypted; "
                    "export it again, or seal one page.",
                    "该 PDF 结构不常见或已加密，无法加盖骑缝章；请重新导出，或改盖单页印章。",
                ) from exc
            outcome = pyhanko_path.prepare(data, self._request(placement), self.material.picture.pdf, may_repair=not repaired)
        if outcome.prepared is None:
            return self.seal(outcome.document, placement, repaired=True)
        tokens = self.sign(outcome.prepared)
        pieces = self._archive_anyhow([data, *outcome.prepared.tails], outcome.page, tokens)
        return SealedPdf(pieces, outcome.field, _writer("pyhanko", repaired), outcome.page, outcome.rect)

    def _seal_fast(self, data: Buffer, placement: PagePlacement | StraddlePlacement, repaired: bool) -> SealedPdf:
        pdf = PdfFile(data)
        existing = existing_signatures(pdf)
        if not existing.signatures and not pdf.references.is_tidy():
            # May be repaired, as there is no signature to lose; then every reader can follow it.
            raise OutsideCommonCase("its cross-references are untidy")
        appender = Appender(pdf)
        widgets = self._widgets(pdf, placement)
        spec = self.field_spec(existing.names, widgets)
        prepared = add_signature_field(appender, spec)
        tokens = self.sign(prepared)
        pieces: Sequence[Buffer] = [data, *appender.tails]
        if _RANK[self.level] >= 2:
            try:
                self._archive(appender, widgets[0].page, self.evidence(tokens))
                pieces = [data, *appender.tails]
            except OutsideCommonCase:
                pieces = self._archive_anyhow(pieces, widgets[0].page.number, tokens)
        return SealedPdf(pieces, spec.name, _writer("fast", repaired), widgets[0].page.number, widgets[0].box)

    def _widgets(self, pdf: PdfFile, placement: PagePlacement | StraddlePlacement) -> tuple[Widget, ...]:
        """Where the seal shows; its rectangle, or that of its slices together, has the picture's true size."""
        picture = self.material.picture
        drawn = appearance.from_pdf(picture.pdf)
        if isinstance(placement, StraddlePlacement):
            return tuple(straddle(pdf, placement, picture, drawn))
        page = pdf.page(placement.page)
        return (Widget(page, place(page, placement, picture), drawn),)

    def field_spec(self, taken: Iterable[str], widgets: tuple[Widget, ...]) -> FieldSpec:
        """The field to add."""
        return FieldSpec(
            name=fresh_name("Seal", taken),
            subfilter=b"/ETSI.CAdES.detached",
            reserved=self.reserved(),
            widgets=widgets,
            when=self.when,
            texts=self.texts,
            tooltip=self.material.seal_name,
        )

    def _request(self, placement: PagePlacement) -> dict[str, Any]:
        """The same field, as pyHanko's child is asked for it."""
        picture = self.material.picture
        where: dict[str, Any] = {"page": placement.page, "width_mm": picture.width_mm, "height_mm": picture.height_mm}
        if isinstance(placement, Placement):
            where |= {"x_mm": placement.x_mm, "y_mm": placement.y_mm}
        elif isinstance(placement, PointPlacement):
            where["at"] = [placement.x, placement.y]
        return {
            "field": fresh_name("Seal", ()),
            "place": where,
            "reserved": self.reserved(),
            "timestamp": False,
            "when": self.when.astimezone(UTC).isoformat(),
            "texts": {key.decode("ascii"): text for key, text in self.texts},
            "tooltip": self.material.seal_name,
        }

    def reserved(self) -> int:
        """Bytes to keep for the signature: its exact size without a timestamp, and the size of this source's tokens."""
        material = self.material
        size = _cms_size(travelling(material), material.scheme, material.signer.public_key.bits, self.format == "gm35275")
        if self.level != "B":
            size += self.stamper.room
        if _RANK[self.level] >= 2:
            # Sources that are down are noticed here, before the key is used.
            self.evidence([self.stamper.probe])
        return size + _SLACK

    @cached_property
    def stamper(self) -> Timestamper:
        assert self.timestamps is not None
        return Timestamper(self.timestamps, DigestAlgorithm.SM3 if self.format != "pades" else DigestAlgorithm.SHA256)

    def sign(self, prepared: Prepared) -> list[TimestampToken]:
        """Sign a prepared document; returns the tokens that were put in."""
        material, gm35275 = self.material, self.format == "gm35275"
        attributes = cms.signed_attributes(
            content_digest=prepared.digest(material.scheme.digest),
            digest=material.scheme.digest,
            signing_certificate=material.certificate,
            gm35275=gm35275,
        )
        signature = material.signer.sign(attributes, material.scheme)
        tokens = [] if self.level == "B" else [self.stamper.over(digest(self.stamper.digest, signature))]
        value = cms.signed_data(
            signed_attrs=attributes,
            signature=signature,
            scheme=material.scheme,
            certificates=travelling(material),
            unsigned_attrs=[cms.timestamp_attribute(token.der) for token in tokens],
            gm35275=gm35275,
        )
        prepared.fill(value)
        return tokens

    def _archive(self, appender: Appender, page: Page, evidence: ValidationMaterial) -> None:
        """LT: validation material for both chains. LTA: a document timestamp in the same revision."""
        last = self.level == "LT"
        add_validation_material(appender, evidence, finish=last)
        if not last:
            widget = Widget(page, (0.0, 0.0, 0.0, 0.0), None)
            spec = FieldSpec(fresh_name("Timestamp", ()), b"/ETSI.RFC3161", self.stamper.room, (widget,))
            self._stamp(add_signature_field(appender, spec))

    def _stamp(self, prepared: Prepared) -> None:
        prepared.fill(self.stamper.over(prepared.digest(self.stamper.digest)).der)

    def _archive_anyhow(self, pieces: Sequence[Buffer], page: int, tokens: list[TimestampToken]) -> Sequence[Buffer]:
        """The same on a document that pyHanko had to write: our own way where it can be read now, else pyHanko's."""
        if _RANK[self.level] < 2:
            return pieces
        document, evidence = b"".join(pieces), self.evidence(tokens)
        try:
            pdf = PdfFile(document)
            appender = Appender(pdf)
            self._archive(appender, pdf.page(page), evidence)
            return [document, *appender.tails]
        except OutsideCommonCase:
            document = pyhanko_path.add_validation_material(document, evidence.certificates, evidence.ocsps, evidence.crls)
        if self.level == "LT":
            return [document]
        request = {
            "field": fresh_name("Timestamp", ()),
            "place": {"page": page},
            "reserved": self.stamper.room,
            "timestamp": True,
        }
        outcome = pyhanko_path.prepare(document, request, b"", may_repair=False)
        assert outcome.prepared is not None
        self._stamp(outcome.prepared)
        return [document, *outcome.prepared.tails]

    def evidence(self, tokens: Sequence[TimestampToken]) -> ValidationMaterial:
        """Certificates and revocation answers for the signer's chain and those of the timestamps' units; asked for once."""
        assert self.revocation is not None
        units = [token.certificate for token in tokens if token.certificate is not None]
        key = frozenset(units)
        if key not in self._evidence:
            own = [self.material.certificate, *self.material.chain]
            pool = [*own, *(cert for token in tokens for cert in token.view.certificates)]
            self._evidence[key] = gather_evidence([own[0], *units], pool, self.revocation)
        return self._evidence[key]


def travelling(material: SealingMaterial) -> tuple[Certificate, ...]:
    """The certificates that travel in the signature: the signer's and its issuers, without the root."""
    return (material.certificate, *(cert for cert in material.chain if not cert.is_self_issued))


def _writer(writer: str, repaired: bool) -> str:
    return writer + "+repaired" if repaired else writer


def fresh_name(stem: str, taken: Iterable[str]) -> str:
    """A field name that is not taken; random, for names of fields further down are not known."""
    used = set(taken)
    while (name := f"{stem}-{secrets.token_hex(4)}") in used:
        continue
    return name


@lru_cache(maxsize=1024)
def _cms_size(chain: tuple[Certificate, ...], scheme: Scheme, bits: int, gm35275: bool) -> int:
    """Bytes of the CMS with the longest signature value that the scheme gives."""
    digest = bytes(48 if scheme.digest is DigestAlgorithm.SHA384 else 64 if scheme.digest is DigestAlgorithm.SHA512 else 32)
    attributes = cms.signed_attributes(
        content_digest=digest, digest=scheme.digest, signing_certificate=chain[0], gm35275=gm35275
    )
    longest = bytes((bits + 7) // 8 if scheme.suite is Suite.RSA else 72)
    return len(cms.signed_data(signed_attrs=attributes, signature=longest, scheme=scheme, certificates=chain, gm35275=gm35275))
