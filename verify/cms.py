"""What the signature value itself says: structure, digest, value, the certificate it is tied to. Trust is not asked here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from re import compile as regex
from typing import Any

from crypto.errors import XinyinError
from formats import cms, tsp
from formats.cms import SignedDataView, SignerInfoView
from formats.x509 import Certificate
from policies.verification import VerificationPolicy
from verify.chain import intern
from verify.pdf import PdfSignature, get
from verify.reasons import Reason, reason

_PDF_DATE = regex(r"D:(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:Z|([+-])(\d\d)'?(\d\d)?'?)?")
_SHA1 = "1.3.14.3.2.26"


@dataclass
class Examined:
    """One signature value looked at: certificate and signer if they could be told, and what was found."""

    intact: bool = False
    view: SignedDataView | None = None
    signer: SignerInfoView | None = None
    certificate: Certificate | None = None
    claimed_time: datetime | None = None
    algorithm: str = "unknown"
    reasons: list[Reason] = field(default_factory=list)

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """Certificates that came along."""
        return tuple(intern(c) for c in self.view.certificates) if self.view else ()


@dataclass
class Token:
    """One timestamp token: the time it states, and whether it is about the bytes that it is attached to."""

    examined: Examined
    gen_time: datetime | None = None
    fits: bool = False

    @property
    def name(self) -> str:
        """Who issued it."""
        certificate = self.examined.certificate
        try:
            return certificate.common_name if certificate else "?"
        except XinyinError:
            return "?"


def examine(signature: PdfSignature, data: bytes, policy: VerificationPolicy) -> Examined:
    """Check the arithmetic of one PDF signature over the bytes that it covers."""
    result = Examined(claimed_time=_pdf_date(get(signature.node, "/M")))
    if signature.byte_range is None:
        return result
    view = _parse(signature.contents, result)
    if view is None:
        return result
    if view.content is not None and signature.subfilter != "/adbe.pkcs7.sha1":
        result.reasons.append(reason("encapsulated-content", policy.level("encapsulated-content")))
    parts: tuple[bytes | memoryview, ...] = signature.signed_parts(data)
    if signature.subfilter == "/adbe.pkcs7.sha1":
        parts = _legacy_content(view, parts, result)
    _check(result, view, parts, policy)
    return result


def examine_token(der: bytes, message: list[bytes | memoryview], policy: VerificationPolicy) -> Token:
    """Check a timestamp token over ``message`` (RFC 3161 §2.4.2): its own signature, and that its imprint is of these bytes."""
    result = Examined()
    try:
        parsed = tsp.TimestampToken.parse(der)
    except XinyinError as exc:
        result.reasons.append(reason("cms-unreadable", detail=exc.message))
        return Token(result)
    result.view = parsed.view
    _check(result, parsed.view, (parsed.view.content or b"",), policy)
    fits = parsed.digest is not None and parsed.stamps(message)
    return Token(result, parsed.gen_time.astimezone(UTC), fits)


def _parse(contents: bytes, result: Examined) -> SignedDataView | None:
    try:
        result.view = cms.parse_signed_data(contents)
    except XinyinError as exc:
        result.reasons.append(reason("cms-unreadable", detail=exc.message))
    return result.view


def _check(result: Examined, view: SignedDataView, content: tuple[bytes | memoryview, ...], policy: VerificationPolicy) -> None:
    if len(view.signers) != 1:
        result.reasons.append(reason("signer-infos", policy.level("signer-infos"), count=len(view.signers)))
        if not view.signers:
            return
    signer = result.signer = view.signers[0]
    try:
        result.claimed_time = signer.signing_time or result.claimed_time
        result.algorithm = signer.algorithm
        found = view.certificate_of(signer)
        if found is None:
            result.reasons.append(reason("certificate-missing"))
            return
        result.certificate = intern(found)
        outcome = signer.check(result.certificate, content)
    except (XinyinError, ValueError) as exc:
        result.reasons.append(reason("cms-unreadable", detail=str(exc)))
        return
    unknown = {"digest-unknown", "algorithm-unknown"} & set(outcome.problems)
    if unknown:
        result.reasons.append(reason("algorithm-unknown", detail=result.algorithm))
    elif not outcome.digest_matches and signer.signed_attrs is not None:
        result.reasons.append(reason("HASH_FAILURE"))
    elif not outcome.signature_valid:
        bad_type = "content-type-mismatch" in outcome.problems
        code = "content-type-attribute" if bad_type else "HASH_FAILURE" if signer.signed_attrs is None else "SIG_CRYPTO_FAILURE"
        result.reasons.append(reason(code, policy.level(code) if bad_type else "FAIL"))
    if outcome.bound is False:
        result.reasons.append(reason("signing-certificate-mismatch"))
    elif outcome.bound is None and signer.signed_attrs is not None:
        result.reasons.append(reason("signing-certificate-attribute", policy.level("signing-certificate-attribute")))
    if signer.signed_attrs is None:
        result.reasons.append(reason("signed-attributes-missing", policy.level("signed-attributes-missing")))
    if not outcome.accepted_algorithm and not unknown:
        _judge_strength(result, policy)
    result.intact = outcome.intact


def _judge_strength(result: Examined, policy: VerificationPolicy) -> None:
    """An algorithm outside our suites: fine if the policy lists its digest and curve or key size, weak otherwise."""
    certificate, signer = result.certificate, result.signer
    assert certificate is not None
    assert signer is not None
    try:
        key = certificate.asn1["tbs_certificate"]["subject_public_key_info"]
        digest = result.algorithm.rsplit("/", 1)[-1].replace("-", "_").lower()
        if key.algorithm == "ec":
            strong_key = key.curve[0] == "named" and str(key.curve[1]) in policy.curves
        elif key.algorithm in ("ed25519", "ed448"):
            strong_key = key.algorithm in policy.curves
        else:
            strong_key = key.algorithm in ("rsa", "rsassa_pss") and int(key.bit_size) >= policy.rsa_bits
    except Exception:  # noqa: BLE001 - asn1crypto raises what it likes on hostile input
        strong_key, digest = False, "?"
    if not strong_key or digest not in policy.digests:
        result.reasons.append(reason("algorithm-weak", policy.level("algorithm-weak"), detail=result.algorithm))


def _legacy_content(
    view: SignedDataView, parts: tuple[bytes | memoryview, ...], result: Examined
) -> tuple[bytes | memoryview, ...]:
    """adbe.pkcs7.sha1 signs the SHA-1 of the ranges, carried inside (ISO 32000-1 §12.8.3.3.1)."""
    if view.content is None or cms.digest_by_oid(_SHA1, parts) != view.content:
        result.reasons.append(reason("HASH_FAILURE"))
    return (view.content or b"",)


def _pdf_date(value: Any) -> datetime | None:
    """A PDF date (ISO 32000-2 §7.9.4) in UTC; without a zone it counts as UTC."""
    match = _PDF_DATE.match(str(value)) if value is not None else None
    if match is None:
        return None
    year, month, day, hour, minute, second, sign, zone_hour, zone_minute = match.groups()
    try:
        offset = timedelta(hours=int(zone_hour or 0), minutes=int(zone_minute or 0))
        zone = timezone(-offset if sign == "-" else offset)
        moment = datetime(
            int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=zone
        )
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
