"""Our own lint: a certificate is checked before it is signed, so that a mistake never gets a signature.

``pkilint`` checks the same certificates in the tests; this one runs in production, and it knows our profiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from ca.profiles import Profile
from crypto.errors import Misconfigured
from formats.asn1 import OID_ES_ID
from formats.x509 import Certificate, key_identifier

SAMPLE_MARK = "样本"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong; ``severity`` is error (never signed) or warning."""

    code: str
    severity: str
    message: str
    message_zh: str


class LintRefused(Misconfigured):
    """The certificate about to be signed breaks its profile or RFC 5280."""

    code = "lint-refused"


@dataclass(frozen=True)
class Subjected:
    """What is linted: the certificate, its issuer (itself for a root), its profile, and whether names must say 样本."""

    certificate: Certificate
    issuer: Certificate
    profile: Profile
    sample: bool


Check = Callable[[Subjected], Iterator[Finding]]


def lint(certificate: Certificate, issuer: Certificate | None, profile: Profile, *, sample: bool) -> list[Finding]:
    """Everything wrong with ``certificate``, [] when it is fit. The signature value is not looked at.

    :param issuer: None for a self-signed certificate
    :param sample: outside production every name carries 样本
    """
    subjected = Subjected(certificate, issuer or certificate, profile, sample)
    return [finding for check in _CHECKS for finding in check(subjected)]


def refuse(findings: list[Finding]) -> None:
    """:raises LintRefused: one of the findings is an error"""
    errors = [f for f in findings if f.severity == "error"]
    if errors:
        raise LintRefused(
            "The certificate was not signed, because it breaks the rules: " + " ".join(f.message for f in errors),
            "证书不符合规则，未签发：" + "".join(f.message_zh for f in errors),
            findings=[f.code for f in errors],
        )


def _error(code: str, message: str, message_zh: str) -> Finding:
    return Finding(code, "error", message, message_zh)


def _serial(s: Subjected) -> Iterator[Finding]:
    """RFC 5280 §4.1.2.2; 64 random bits at least, so that a serial cannot be foreseen."""
    if not 2**64 <= s.certificate.serial < 2**159:
        yield _error(
            "serial", "The serial number is not a positive number of 65 to 159 bits.", "序列号不是 65 至 159 位的正数。"
        )


def _names(s: Subjected) -> Iterator[Finding]:
    if s.certificate.issuer_der != s.issuer.subject_der:
        yield _error(
            "issuer-name", "The issuer name is not the issuer's subject, byte for byte.", "颁发者名称与颁发者证书不一致。"
        )
    native = s.certificate.asn1.subject.native
    missing = [part for part in ("country_name", "organization_name", "common_name") if not native.get(part)]
    if missing:
        yield _error("subject-incomplete", f"The subject lacks {', '.join(missing)}.", f"主体名称缺少 {', '.join(missing)}。")
    if s.sample and SAMPLE_MARK not in s.certificate.subject:
        yield _error("sample-mark", "Outside production the subject must say 样本.", "非生产环境的证书主体必须含“样本”字样。")


def _validity(s: Subjected) -> Iterator[Finding]:
    start, end = s.certificate.not_before, s.certificate.not_after
    if start >= end:
        yield _error("validity-order", "It ends before it begins.", "有效期止早于有效期起。")
    if start < s.issuer.not_before or end > s.issuer.not_after:
        yield _error("validity-outside-issuer", "Its validity reaches beyond the issuer's.", "有效期超出颁发者证书的有效期。")
    if (end - start).days > s.profile.days + 1:
        yield _error("validity-long", f"It is valid for more than {s.profile.days} days.", f"有效期超过 {s.profile.days} 天。")
    for field in ("not_before", "not_after"):
        value = s.certificate.asn1["tbs_certificate"]["validity"][field]
        if (value.name == "utc_time") != (value.native.year < 2050):
            yield _error("time-form", "UTCTime is for years up to 2049 (RFC 5280 §4.1.2.5).", "2049 年及以前应使用 UTCTime。")


def _keys(s: Subjected) -> Iterator[Finding]:
    key, issuer_key = s.certificate.public_key, s.issuer.public_key
    if s.profile.issuer != "self" and key == issuer_key:
        yield _error("issuer-key", "The subject's key is the issuer's.", "主体公钥与颁发者公钥相同。")
    scheme = s.certificate.signature_scheme
    if scheme is None or scheme.suite is not issuer_key.suite:
        yield _error("algorithm", "The signature algorithm is not one of the issuer's suite.", "签名算法与颁发者密钥不符。")
    if s.certificate.tbs.find(s.certificate._slices["algorithm"]) < 0:
        yield _error("algorithm-twice", "The inner and the outer algorithm differ.", "内外层签名算法不一致。")


def _identifiers(s: Subjected) -> Iterator[Finding]:
    if s.certificate.ski != key_identifier(s.certificate.public_key):
        yield _error("ski", "The subject key identifier does not belong to the key.", "主体密钥标识符与公钥不符。")
    if s.certificate.aki != (s.issuer.ski or key_identifier(s.issuer.public_key)):
        yield _error("aki", "The authority key identifier is not the issuer's.", "颁发机构密钥标识符与颁发者不符。")


def _usage(s: Subjected) -> Iterator[Finding]:
    c, p = s.certificate, s.profile
    expected = {"2.5.29.15", "2.5.29.19"} | ({"2.5.29.37"} if p.eku_critical else set())
    if c.critical_extensions != expected:
        yield _error("critical", "The critical extensions are not those of the profile.", "关键扩展与模板不一致。")
    if c.key_usage != set(p.key_usage):
        yield _error("key-usage", f"Key usage is not {', '.join(p.key_usage)}.", f"密钥用途应为 {', '.join(p.key_usage)}。")
    if c.extended_key_usage != set(p.eku):
        yield _error("extended-key-usage", "Extended key usage is not the profile's.", "扩展密钥用途与模板不一致。")
    if (c.is_ca, c.path_len) != (p.ca, p.path_len):
        yield _error("basic-constraints", "Basic constraints are not the profile's.", "基本约束与模板不一致。")
    if p.issuer != "self" and not (s.issuer.is_ca and "keyCertSign" in s.issuer.key_usage):
        yield _error("issuer-usage", "The issuer may not sign certificates.", "颁发者证书无权签发证书。")
    if p.issuer != "self" and p.ca and (s.issuer.path_len or 0) <= (p.path_len or 0):
        yield _error("path-length", "The issuer's path length does not allow this CA.", "颁发者的路径长度不允许再签发此 CA。")


def _seal(s: Subjected) -> Iterator[Finding]:
    if (s.certificate.extension(OID_ES_ID) is not None) != (s.profile.es_id == "required"):
        yield _error("es-id", "The esID is there without need, or missing.", "电子印章编码扩展缺失或多余。")


def _status(s: Subjected) -> Iterator[Finding]:
    c, wanted = s.certificate, s.profile.status
    if bool(c.crl_urls) != ("crl" in wanted) or bool(c.ocsp_urls) != ("ocsp" in wanted):
        yield _error(
            "status-pointers", "Its CRL and OCSP addresses are not those of the profile.", "CRL、OCSP 地址与模板不一致。"
        )
    if c.ocsp_nocheck != s.profile.ocsp_nocheck:
        yield _error("ocsp-nocheck", "ocsp-nocheck is there without need, or missing.", "ocsp-nocheck 扩展缺失或多余。")
    if any(not url.startswith("http://") for url in (*c.crl_urls, *c.ocsp_urls, *c.ca_issuer_urls)):
        # Over HTTPS a verifier would need the answer in order to get the answer (RFC 5280 §8).
        yield _error(
            "status-scheme", "CRL, OCSP and issuer addresses must begin with http://.", "CRL、OCSP 等地址须以 http:// 开头。"
        )


def _encoding(s: Subjected) -> Iterator[Finding]:
    """DER is the only encoding with one reading: decode, encode again, compare."""
    if type(s.certificate.asn1).load(s.certificate.der).dump(force=True) != s.certificate.der:
        yield _error("not-der", "It does not survive decoding and encoding.", "编码不是规范 DER。")


_CHECKS: tuple[Check, ...] = (_serial, _names, _validity, _keys, _identifiers, _usage, _seal, _status, _encoding)


def expiry(certificate: Certificate, now: datetime) -> Finding | None:
    """A warning when a certificate is in the last tenth of its life, an error when it is past it."""
    now = now.astimezone(UTC)
    if now > certificate.not_after:
        return _error("expired", "It has expired.", "证书已过期。")
    if now > certificate.not_after - (certificate.not_after - certificate.not_before) / 10:
        days = (certificate.not_after - now).days
        return Finding("expiring", "warning", f"It expires in {days} days.", f"证书将在 {days} 天后到期。")
    return None
