"""Is a certificate revoked, and since when: OCSP answers and CRLs from the document, from its evidence store, from a provider.

An answer counts only if its signer may answer for the issuer (the issuer itself, or a responder that the issuer delegated,
RFC 6960 §4.2.2.2), if it speaks for the moment that matters, and if the answer itself is proven to be older than the end of its
signer's certificate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from crypto.errors import XinyinError
from formats.crl import RevocationList
from formats.ocsp import OcspResponse
from formats.x509 import Certificate
from policies.verification import VerificationPolicy

_SMALL = 32 * 1024
_COMPROMISE = frozenset({"keyCompromise", "cACompromise", "aACompromise"})


@dataclass(frozen=True)
class Finding:
    """What one answer says: ``good``, ``revoked`` or ``hold``, from when on it speaks, and where it came from."""

    status: str
    this_update: datetime
    next_update: datetime | None
    source: str
    revoked_at: datetime | None = None
    cause: str = ""
    responder: Certificate | None = None  # the delegate who answered; None where the issuer itself did

    @property
    def compromised(self) -> bool:
        """Whether the key is in the wrong hands, so that nothing unproven signed with it deserves belief."""
        return self.cause in _COMPROMISE


@dataclass(frozen=True)
class _Evidence:
    der: bytes
    proven: datetime  # the answer existed at this time


@dataclass
class EvidencePool:
    """Answers found so far. ``proven`` is the earliest time at which an answer is proven to have existed (else: now)."""

    policy: VerificationPolicy
    now: datetime
    _items: dict[bytes, _Evidence] = field(default_factory=dict)
    _parsed: dict[bytes, OcspResponse | RevocationList | None] = field(default_factory=dict)
    _bytes: int = 0

    def add(self, der: bytes, proven: datetime | None = None) -> None:
        """Take in one OCSPResponse, BasicOCSPResponse or CRL; what is unreadable or over the limit is left aside."""
        moment = proven or self.now
        known = self._items.get(der)
        if known is None:
            self._bytes += len(der)
            if self._bytes > self.policy.limits.revocation_bytes or len(self._items) > 500:
                return
            self._items[der] = _Evidence(der, moment)
        elif moment < known.proven:
            self._items[der] = _Evidence(der, moment)

    def findings(self, certificate: Certificate, issuer: Certificate, extra: Iterable[Certificate] = ()) -> list[Finding]:
        """All that the pool knows of one certificate, newest answer last; not from responders that were revoked themselves."""
        known = list(extra)
        found = [f for f in self._all(certificate, issuer, known) if not self._is_gone(f.responder, issuer, known)]
        return sorted(found, key=lambda f: f.this_update)

    def _is_gone(self, responder: Certificate | None, issuer: Certificate, extra: list[Certificate]) -> bool:
        """Whether somebody else says that a delegated responder without ocsp-nocheck was revoked (RFC 6960 §4.2.2.2.1)."""
        if responder is None or responder.ocsp_nocheck:
            return False
        told = self._all(responder, issuer, extra)
        return any(f.status != "good" and f.responder != responder for f in told)

    def _all(self, certificate: Certificate, issuer: Certificate, extra: list[Certificate]) -> list[Finding]:
        found: list[Finding] = []
        for item in self._items.values():
            try:
                parsed = self._parse(item.der)
                one = (
                    _from_ocsp(parsed, item.proven, certificate, issuer, extra)
                    if isinstance(parsed, OcspResponse)
                    else _from_crl(parsed, item.proven, certificate, issuer)
                    if parsed is not None
                    else None
                )
            except XinyinError:
                continue
            if one is not None:
                found.append(one)
        return found

    def _parse(self, der: bytes) -> OcspResponse | RevocationList | None:
        if der not in self._parsed:
            self._parsed[der] = _read_small(der) if len(der) <= _SMALL else _read(der)
        return self._parsed[der]


@lru_cache(maxsize=256)
def _read_small(der: bytes) -> OcspResponse | RevocationList | None:
    """Answers are immutable views and come again with every document of a seal: the small ones are kept, as read."""
    return _read(der)


def _read(der: bytes) -> OcspResponse | RevocationList | None:
    """By its shape: an OCSPResponse begins with an ENUMERATED, a CRL and a BasicOCSPResponse with a SEQUENCE."""
    start = 2 if der[1:2] < b"\x80" else 2 + (der[1] & 0x7F)
    kinds = (OcspResponse.parse,) if der[start : start + 1] == b"\x0a" else (RevocationList.parse, OcspResponse.from_basic)
    for parse in kinds:
        try:
            parsed = parse(der)
        except XinyinError:
            continue
        return None if isinstance(parsed, OcspResponse) and parsed.status != "successful" else parsed
    return None


def _from_ocsp(
    response: OcspResponse, proven: datetime, certificate: Certificate, issuer: Certificate, extra: list[Certificate]
) -> Finding | None:
    answer = response.answer_for(certificate, issuer)
    if answer is None or answer.status == "unknown":
        return None
    signer = _ocsp_signer(response.der, issuer) or response.signer(issuer, extra)
    if signer is None or not signer.valid_at(response.produced_at) or proven > signer.not_after:
        return None
    delegate = None if signer == issuer else signer
    if answer.status == "good":
        return Finding("good", answer.this_update, answer.next_update, "ocsp", responder=delegate)
    cause = answer.reason or "unspecified"
    status = "hold" if cause == "certificateHold" else "revoked"
    return Finding(status, answer.this_update, answer.next_update, "ocsp", answer.revoked_at, cause, delegate)


@lru_cache(maxsize=256)
def _ocsp_signer(der: bytes, issuer: Certificate) -> Certificate | None:
    """Who signed an answer, as far as the answer itself tells; checking that costs two signatures."""
    response = _read_small(der)
    return response.signer(issuer) if isinstance(response, OcspResponse) else None


@lru_cache(maxsize=256)
def _crl_signed(der: bytes, issuer: Certificate) -> bool:
    crl = _read_small(der)
    return isinstance(crl, RevocationList) and crl.is_signed_by(issuer.public_key)


def _from_crl(crl: RevocationList, proven: datetime, certificate: Certificate, issuer: Certificate) -> Finding | None:
    if crl.issuer_der != issuer.subject_der or not issuer.allows("cRLSign") or proven > issuer.not_after:
        return None
    signed = _crl_signed(crl.der, issuer) if len(crl.der) <= _SMALL else crl.is_signed_by(issuer.public_key)
    if not signed or not crl.covers(certificate):
        return None
    entry = crl.entry(certificate.serial)
    if entry is None:
        return Finding("good", crl.this_update, crl.next_update, "crl")
    if entry.reason == "removeFromCRL":
        return Finding("good", crl.this_update, crl.next_update, "crl")
    since = entry.revoked_at
    if entry.invalidity_at is not None and entry.reason in _COMPROMISE:
        since = min(since, entry.invalidity_at)
    status = "hold" if entry.reason == "certificateHold" else "revoked"
    return Finding(status, crl.this_update, crl.next_update, "crl", since, entry.reason)


def decide(findings: list[Finding], certificate: Certificate, moment: datetime, policy: VerificationPolicy) -> Finding | None:
    """The answer that counts for ``moment``: a revocation if an answer tells of one, else a good one that speaks for it.

    A hold counts only while the newest answer still holds it. A good answer speaks for a moment if it was given after it, or
    if the moment lies within its validity; not if it is younger than the certificate (expired entries leave the lists).
    None: nothing that counts.
    """
    revoked = [f for f in findings if f.status == "revoked"]
    if revoked:
        return min(revoked, key=lambda f: f.revoked_at or f.this_update)
    if findings and findings[-1].status == "hold":
        return findings[-1]
    skew = timedelta(seconds=policy.clock_skew)
    fresh = timedelta(seconds=policy.revocation_freshness)
    for one in reversed(findings):
        if one.status != "good" or one.this_update > certificate.not_after + skew:
            continue
        until = one.next_update if one.next_update is not None else one.this_update + fresh
        if one.this_update >= moment - skew or moment <= until + skew:
            return one
    return None
