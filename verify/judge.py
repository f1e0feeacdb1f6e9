"""One signature judged: trust, time and revocation put together as ETSI EN 319 102-1 §5 does, with what is proven, not claimed.

The order: what timestamps prove (the outermost first, because each later one vouches for what lies inside it), a path from the
signer to a list, then every certificate of the path at the earliest time at which the signature is proven to have existed. A
revocation or an expiry after that time does no harm; before it, or without any proof, it does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from crypto.errors import XinyinError
from formats.x509 import Certificate
from verify import chain
from verify.cms import Examined, Token, examine_token
from verify.reasons import Reason, reason
from verify.revocation import EvidencePool, Finding, decide
from verify.schemas import Verdict, VerificationContext, rfc3339
from verify.trust import SIGNER_SERVICES, TIMESTAMP_SERVICES, ServiceType

# What a finding does to a signature if its check is at FAIL: (indication, sub-indication).
_FAILED_FORMAT = (Verdict.TOTAL_FAILED, "FORMAT_FAILURE")
_NO_CHAIN = (Verdict.INDETERMINATE, "NO_CERTIFICATE_CHAIN_FOUND")
_WEAK = (Verdict.INDETERMINATE, "CRYPTO_CONSTRAINTS_FAILURE_NO_POE")
_LATER = (Verdict.INDETERMINATE, "TRY_LATER")
CONSEQUENCES: dict[str, tuple[Verdict, str]] = {
    **dict.fromkeys(
        (
            "byte-range", "contents-mismatch", "contents-padding", "revision-incomplete", "cms-unreadable", "signer-infos",
            "encapsulated-content", "content-type-attribute", "algorithm-mismatch", "changes-undefined", "changes-certified",
            "page-count", "rendered-difference", "sub-filter", "changes-annotation", "changes-form", "rendering-failed",
            "xref-repaired", "junk-before-header", "overlap", "covered", "trailing-data", "ambiguous-objects",
            "signed-attributes-missing",
        ),
        _FAILED_FORMAT,
    ),
    "HASH_FAILURE": (Verdict.TOTAL_FAILED, "HASH_FAILURE"),
    "SIG_CRYPTO_FAILURE": (Verdict.TOTAL_FAILED, "SIG_CRYPTO_FAILURE"),
    "signing-certificate-mismatch": (Verdict.TOTAL_FAILED, "SIG_CRYPTO_FAILURE"),
    "certificate-missing": (Verdict.INDETERMINATE, "NO_SIGNING_CERTIFICATE_FOUND"),
    "signing-certificate-attribute": (Verdict.INDETERMINATE, "SIG_CONSTRAINTS_FAILURE"),
    "algorithm-weak": _WEAK,
    "algorithm-unknown": _WEAK,
    "foreign-signer": _NO_CHAIN,
    "self-made-certificate": _NO_CHAIN,
    "service-type": _NO_CHAIN,
    "service-withdrawn": _NO_CHAIN,
    "CHAIN_CONSTRAINTS_FAILURE": (Verdict.INDETERMINATE, "CHAIN_CONSTRAINTS_FAILURE"),
    "SIG_CONSTRAINTS_FAILURE": (Verdict.INDETERMINATE, "SIG_CONSTRAINTS_FAILURE"),
    "certificate-expired": (Verdict.INDETERMINATE, "OUT_OF_BOUNDS_NO_POE"),
    "OUT_OF_BOUNDS_NO_POE": (Verdict.INDETERMINATE, "OUT_OF_BOUNDS_NO_POE"),
    "EXPIRED": (Verdict.TOTAL_FAILED, "EXPIRED"),
    "NOT_YET_VALID": (Verdict.TOTAL_FAILED, "NOT_YET_VALID"),
    "REVOKED": (Verdict.TOTAL_FAILED, "REVOKED"),
    "REVOKED_NO_POE": (Verdict.INDETERMINATE, "REVOKED_NO_POE"),
    "REVOKED_CA_NO_POE": (Verdict.INDETERMINATE, "REVOKED_CA_NO_POE"),
    "key-compromised": (Verdict.INDETERMINATE, "REVOKED_NO_POE"),
    "on-hold": _LATER,
    "revocation-missing": _LATER,
    "list-stale": _LATER,
    "TIMESTAMP_ORDER_FAILURE": (Verdict.INDETERMINATE, "TIMESTAMP_ORDER_FAILURE"),
    "not-yet-sealed": (Verdict.INDETERMINATE, "TIMESTAMP_ORDER_FAILURE"),
    "claimed-outside-certificate": (Verdict.INDETERMINATE, "SIG_CONSTRAINTS_FAILURE"),
    "backdated": (Verdict.INDETERMINATE, "SIG_CONSTRAINTS_FAILURE"),
    "claimed-in-future": (Verdict.INDETERMINATE, "SIG_CONSTRAINTS_FAILURE"),
    "timestamp-invalid": (Verdict.INDETERMINATE, "TIMESTAMP_ORDER_FAILURE"),
    "timestamp-untrusted": (Verdict.INDETERMINATE, "NO_POE"),
    "dss-removed": (Verdict.INDETERMINATE, "NO_POE"),
}  # fmt: skip
# Among findings of equal weight the one that explains most is named first.
_FAILED_ORDER = ("HASH_FAILURE", "SIG_CRYPTO_FAILURE", "FORMAT_FAILURE", "REVOKED", "EXPIRED", "NOT_YET_VALID")


@dataclass
class Trusted:
    """Outcome of judging one certificate chain at a time."""

    path: chain.Path | None = None
    partial: list[Certificate] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)


@dataclass
class TimeProof:
    """What is proven about when a signature existed: not later than ``best``, and (rarely) not earlier than ``not_before``."""

    best: datetime
    proven: datetime | None = None
    not_before: datetime | None = None


def conclude(reasons: Iterable[Reason]) -> tuple[Verdict, str | None]:
    """Indication and sub-indication that a signature's findings add up to."""
    hard = [CONSEQUENCES[r.code] for r in reasons if r.level == "FAIL" and r.code in CONSEQUENCES]
    failed = {sub for verdict, sub in hard if verdict is Verdict.TOTAL_FAILED}
    if failed:
        return Verdict.TOTAL_FAILED, next((s for s in _FAILED_ORDER if s in failed), min(failed))
    return next(((verdict, sub) for verdict, sub in hard), (Verdict.TOTAL_PASSED, None))


class Judge:
    """Trust decisions for one document; holds the evidence found so far."""

    def __init__(self, context: VerificationContext, certificates: Iterable[Certificate]) -> None:
        self.context = context
        self.policy = context.policy
        self.now = context.time()
        self.pool = EvidencePool(context.policy, self.now)
        self.certificates = list(dict.fromkeys(certificates))
        self._asked: set[tuple[bytes, bytes]] = set()

    # Timestamps

    def token_time(self, token: Token, known_at: datetime) -> tuple[datetime | None, list[Reason]]:
        """The time that a token proves, if it does: it fits, its authority is listed, and was in order when last vouched for.

        :param known_at: a time at which the token is known to have existed (now, or what a later timestamp proves)
        """
        policy = self.policy
        spoilt = any(r.level == "FAIL" for r in token.examined.reasons)  # a weak digest or key among them
        if (
            spoilt
            or not token.fits
            or not token.examined.intact
            or token.gen_time is None
            or token.examined.certificate is None
        ):
            return None, [reason("timestamp-invalid", policy.level("timestamp-invalid"), name=token.name)]
        if token.gen_time > known_at + timedelta(seconds=policy.clock_skew):
            if known_at == self.now and self.context.at is not None:
                return None, [reason("not-yet-sealed", policy.level("timestamp-invalid"), at=rfc3339(self.now))]
            return None, [reason("TIMESTAMP_ORDER_FAILURE", policy.level("timestamp-invalid"))]
        proof = TimeProof(best=known_at)
        trusted = self.certificate_trust(token.examined.certificate, token.examined.certificates, TIMESTAMP_SERVICES, proof)
        within = token.examined.certificate.not_before <= token.gen_time <= token.examined.certificate.not_after
        if any(r.level == "FAIL" for r in trusted.reasons) or not within:
            return None, [reason("timestamp-untrusted", policy.level("timestamp-untrusted"), name=token.name)]
        return token.gen_time, []

    def signature_timestamps(self, examined: Examined, known_at: datetime) -> tuple[datetime | None, list[Reason]]:
        """The earliest time that the signature's own timestamps prove (RFC 3161 appendix A)."""
        signer = examined.signer
        earliest: datetime | None = None
        reasons: list[Reason] = []
        for der in signer.timestamp_tokens[:8] if signer else ():
            assert signer is not None
            moment, problems = self.token_time(examine_token(der, [signer.signature], self.policy), known_at)
            reasons += problems
            if moment is not None and (earliest is None or moment < earliest):
                earliest = moment
        return earliest, reasons

    # Certificates

    def certificate_trust(
        self, leaf: Certificate, others: Iterable[Certificate], services: frozenset[ServiceType], proof: TimeProof
    ) -> Trusted:
        """Path, usage, validity and revocation of a certificate at the time that is proven."""
        result = chain.build(leaf, [*others, *self.certificates], self.context.trust, services, self.policy)
        trusted = Trusted(result.path, result.path.certificates if result.path else result.partial, list(result.problems))
        is_timestamp = services is TIMESTAMP_SERVICES
        try:
            usage = chain.timestamp_usage_problem(leaf) if is_timestamp else chain.signer_usage_problem(leaf)
            if usage is not None:
                trusted.reasons.append(Reason(usage.code, usage.message, usage.message_zh, self.policy.level("key-usage")))
            if result.path is not None:
                self._service(result.path, proof, trusted)
            self._validity(leaf, proof, trusted)
            if result.path is not None:
                for index, certificate in enumerate(result.path.certificates):
                    issuer = result.path.issuer_of(index)
                    if index and not certificate.valid_at(proof.best):
                        trusted.reasons.append(_out_of_bounds(certificate))
                    if issuer is not None:
                        self._revocation(certificate, issuer, proof, trusted, is_leaf=index == 0)
        except XinyinError as exc:
            trusted.reasons.append(reason("CHAIN_CONSTRAINTS_FAILURE", detail=exc.message))
        return trusted

    def _service(self, path: chain.Path, proof: TimeProof, trusted: Trusted) -> None:
        service = path.service
        if service.withdrawn_at(proof.best):
            trusted.reasons.append(reason("service-withdrawn", name=service.name, since=rfc3339(service.since) or "?"))
        listed = self.context.trust.list_of(service.region) if service.region else None
        if listed is not None and listed.state(self.now) == "stale":
            level = self.policy.level("list-stale")
            until = rfc3339(listed.next_update) or "?"
            trusted.reasons.append(reason("list-stale", level, region=listed.region, next_update=until))

    def _validity(self, leaf: Certificate, proof: TimeProof, trusted: Trusted) -> None:
        if proof.best < leaf.not_before:
            if proof.proven is None:
                trusted.reasons.append(_out_of_bounds(leaf))
            else:
                at, start = rfc3339(proof.best) or "", rfc3339(leaf.not_before) or ""
                trusted.reasons.append(reason("NOT_YET_VALID", time=at, not_before=start))
        elif proof.best > leaf.not_after:
            late = proof.not_before is not None and proof.not_before > leaf.not_after
            trusted.reasons.append(
                reason("EXPIRED" if late else "certificate-expired", not_after=rfc3339(leaf.not_after) or "")
            )
        elif self.now > leaf.not_after:
            trusted.reasons.append(reason("expired-later", "INFORM"))

    def _revocation(
        self, certificate: Certificate, issuer: Certificate, proof: TimeProof, trusted: Trusted, *, is_leaf: bool
    ) -> None:
        if certificate.ocsp_nocheck and "1.3.6.1.5.5.7.3.9" in certificate.extended_key_usage:
            return
        self._ask(certificate, issuer)
        findings = self.pool.findings(certificate, issuer, self.certificates)
        finding = decide(findings, certificate, proof.best, self.policy)
        if finding is None:
            if any(r.code == "certificate-expired" for r in trusted.reasons):
                return  # an authority no longer answers for what has expired; that it has is the thing to say
            level = self.policy.level("revocation-missing" if is_leaf else "revocation-missing-ca")
            trusted.reasons.append(reason("revocation-missing", level, name=certificate.common_name))
        elif finding.status != "good":
            trusted.reasons += _revoked(finding, certificate, proof, is_leaf=is_leaf)

    def _ask(self, certificate: Certificate, issuer: Certificate) -> None:
        """Fresh answers from the provider, once a certificate, unless the verification is offline."""
        provider = self.context.revocation
        key = (certificate.der, issuer.der)
        if provider is None or self.context.offline or key in self._asked:
            return
        self._asked.add(key)
        try:
            answers = provider.evidence(certificate, issuer)
        except XinyinError:
            return
        for der in answers[:20]:
            self.pool.add(der)

    # The signer

    def signer_trust(self, examined: Examined, proof: TimeProof) -> Trusted:
        """The signer's certificate at the proven time, and what the claimed time looks like beside it."""
        assert examined.certificate is not None
        trusted = self.certificate_trust(examined.certificate, examined.certificates, SIGNER_SERVICES, proof)
        trusted.reasons += self._claimed(examined, proof, trusted.reasons)
        return trusted

    def _claimed(self, examined: Examined, proof: TimeProof, so_far: list[Reason]) -> list[Reason]:
        """A claimed time proves nothing; where it contradicts what is known, that is said (back-dating)."""
        claimed, leaf, policy = examined.claimed_time, examined.certificate, self.policy
        if claimed is None or leaf is None:
            return []
        stated = rfc3339(claimed)
        found: list[Reason] = []
        skew = timedelta(seconds=policy.clock_skew)
        try:
            if not leaf.not_before - skew <= claimed <= leaf.not_after + skew:
                found.append(reason("claimed-outside-certificate", policy.level("claimed-outside-certificate"), claimed=stated))
        except XinyinError:
            return []
        if claimed > proof.best + skew:
            found.append(reason("claimed-in-future", policy.level("backdated"), claimed=stated))
        if proof.proven is not None and proof.proven - claimed > timedelta(seconds=policy.backdating_tolerance):
            proven = rfc3339(proof.proven)
            found.append(reason("backdated", policy.level("backdated"), claimed=stated, proven=proven))
        if proof.proven is None and any(r.code == "REVOKED_NO_POE" for r in so_far):
            found.append(reason("claimed-not-proven", "WARN", claimed=stated))
        return found


def _revoked(finding: Finding, certificate: Certificate, proof: TimeProof, *, is_leaf: bool) -> list[Reason]:
    """What a revocation means for a signature that is proven to have existed at ``proof.best``."""
    since = finding.revoked_at or finding.this_update
    stated = rfc3339(since) or "?"
    if since > proof.best:
        # Without a proven time the question was about a moment before the revocation; the signature may be younger.
        later = "on-hold-later" if finding.status == "hold" else "revoked-later"
        return [reason(later, "INFORM" if proof.proven is not None else "WARN", since=stated)]
    if finding.status == "hold":
        return [reason("on-hold", since=stated)]
    if not is_leaf:
        return [reason("REVOKED_CA_NO_POE", name=certificate.common_name, since=stated)]
    if proof.not_before is not None and proof.not_before > since:
        return [reason("REVOKED", since=stated)]
    found = [reason("REVOKED_NO_POE", since=stated, cause=finding.cause)]
    if finding.compromised:
        found.append(reason("key-compromised"))
    return found


def _out_of_bounds(certificate: Certificate) -> Reason:
    start, end = rfc3339(certificate.not_before) or "", rfc3339(certificate.not_after) or ""
    return reason("OUT_OF_BOUNDS_NO_POE", not_before=start, not_after=end)
