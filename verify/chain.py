"""From a certificate to somebody on a trust list: path building and the rules that certificates carry (RFC 5280 §6).

Small on purpose, and over our own certificate type, so that RSA, P-256 and SM2 walk the same way. Times are not judged here:
whether a certificate was valid when it mattered depends on what is proven about that moment (:mod:`verify.service`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from crypto.errors import XinyinError
from formats.x509 import Certificate
from policies.verification import VerificationPolicy
from verify.reasons import Reason, reason
from verify.trust import ServiceType, TrustedService, TrustStore

EKU_TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
# Server, code, timestamps, OCSP: machines' work. Personal and organs' certificates name client and mail, or documents.
_EKU_NOT_FOR_DOCUMENTS = frozenset({"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.3", EKU_TIME_STAMPING, "1.3.6.1.5.5.7.3.9"})
# Document signing (RFC 9336), Microsoft's and Adobe's, mail, any.
_EKU_FOR_DOCUMENTS = frozenset(
    {"1.3.6.1.5.5.7.3.36", "1.3.6.1.4.1.311.10.3.12", "1.2.840.113583.1.1.5", "1.3.6.1.5.5.7.3.4", "2.5.29.37.0"}
)
_NAME_CONSTRAINTS = "2.5.29.30"
_MAX_SIGNATURE_CHECKS = 100


@dataclass
class Path:
    """Certificates from the leaf to the listed one (both included), and the service that lists the last."""

    certificates: list[Certificate]
    service: TrustedService

    @property
    def leaf(self) -> Certificate:
        return self.certificates[0]

    def issuer_of(self, index: int) -> Certificate | None:
        """Who signed certificate ``index``; None for the listed one at the end."""
        return self.certificates[index + 1] if index + 1 < len(self.certificates) else None


@dataclass
class ChainResult:
    """A path, or the reason why there is none. ``partial`` is what was found on the way, for the report."""

    path: Path | None
    problems: list[Reason] = field(default_factory=list)
    partial: list[Certificate] = field(default_factory=list)


def build(
    leaf: Certificate,
    others: Iterable[Certificate],
    trust: TrustStore,
    services: frozenset[ServiceType],
    policy: VerificationPolicy,
) -> ChainResult:
    """A path from ``leaf`` over ``others`` to a service of one of these types; the shortest that keeps the rules.

    The problems name what is wrong: no listed issuer (``foreign-signer``, ``self-made-certificate``), an issuer that is listed
    for something else (``service-type``), or rules that the certificates break (``CHAIN_CONSTRAINTS_FAILURE``).
    """
    search = _Search(list(others)[: policy.limits.certificates], trust, services, policy)
    paths = search.run(leaf)
    for path in paths:
        problem = constraint_problem(path)
        if problem is None:
            return ChainResult(path)
        search.problems.append(problem)
    if paths:
        return ChainResult(None, search.problems[-1:], search.longest)
    if search.listed_for_else is not None:
        return ChainResult(None, [reason("service-type", name=search.listed_for_else.name)], search.longest)
    top = search.longest[-1] if search.longest else leaf
    if leaf.is_self_issued:
        return ChainResult(None, [reason("self-made-certificate")], search.longest)
    return ChainResult(None, [reason("foreign-signer", subject=_subject(leaf), issuer=_issuer(top))], search.longest)


class _Search:
    """Breadth first, each certificate once, signatures checked before a step is taken."""

    def __init__(
        self, others: list[Certificate], trust: TrustStore, services: frozenset[ServiceType], policy: VerificationPolicy
    ) -> None:
        self.others = others
        self.trust = trust
        self.services = services
        self.max_length = policy.limits.path_length
        self.problems: list[Reason] = []
        self.longest: list[Certificate] = []
        self.listed_for_else: TrustedService | None = None
        self.checks = 0

    def run(self, leaf: Certificate) -> list[Path]:
        found: list[Path] = []
        queue = [[leaf]]
        seen = {leaf.der}
        while queue:
            chain = queue.pop(0)
            if len(chain) > len(self.longest):
                self.longest = chain
            last = chain[-1]
            found += [Path(chain, s) for s in self._good(self.trust.exactly(last))]
            if found or len(chain) >= self.max_length:
                continue
            for service in self._good(self.trust.named(last.issuer_der)):
                assert service.certificate is not None
                if service.certificate.der != last.der and self._signed(last, service.certificate):
                    found.append(Path([*chain, service.certificate], service))
            for other in self.others:
                if other.der not in seen and other.subject_der == last.issuer_der and self._signed(last, other):
                    seen.add(other.der)
                    queue.append([*chain, other])
        return found

    def _good(self, candidates: list[TrustedService]) -> list[TrustedService]:
        good = [s for s in candidates if s.type in self.services]
        if candidates and not good:
            self.listed_for_else = candidates[0]
        return good

    def _signed(self, certificate: Certificate, issuer: Certificate) -> bool:
        self.checks += 1
        return self.checks <= _MAX_SIGNATURE_CHECKS and signed_by(certificate, issuer)


@lru_cache(maxsize=256)
def intern(certificate: Certificate) -> Certificate:
    """The first object made for this certificate: what it decoded stays decoded. Seals and issuers come again and again."""
    return certificate


@lru_cache(maxsize=1024)
def signed_by(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether the issuer's key signed this certificate; False where either cannot be read."""
    try:
        return certificate.is_signed_by(issuer.public_key)
    except XinyinError:
        return False


def constraint_problem(path: Path) -> Reason | None:
    """What a certificate of the path forbids: CA bit, key usage, path length, critical extensions nobody here understands."""
    try:
        for depth, certificate in enumerate(path.certificates):
            if certificate.unknown_critical:
                return _broken(f"{certificate.common_name}: critical extension {min(certificate.unknown_critical)}")
            if depth == 0:
                continue
            if not certificate.is_ca:
                return _broken(f"{certificate.common_name}: not a CA")
            if not certificate.allows("keyCertSign"):
                return _broken(f"{certificate.common_name}: may not sign certificates")
            if certificate.extension(_NAME_CONSTRAINTS) is not None:
                return _broken(f"{certificate.common_name}: name constraints are not supported")
            between = sum(not c.is_self_issued for c in path.certificates[1:depth])
            if certificate.path_len is not None and between > certificate.path_len:
                return _broken(f"{certificate.common_name}: path longer than {certificate.path_len}")
    except XinyinError as exc:
        return _broken(exc.message)
    return None


def signer_usage_problem(certificate: Certificate) -> Reason | None:
    """Whether a certificate may sign documents (key usage; an extended key usage that names only other purposes)."""
    if not certificate.allows("digitalSignature", "nonRepudiation"):
        return reason("SIG_CONSTRAINTS_FAILURE", detail="keyUsage")
    purposes = certificate.extended_key_usage
    if purposes & _EKU_NOT_FOR_DOCUMENTS and not purposes & _EKU_FOR_DOCUMENTS:
        return reason("SIG_CONSTRAINTS_FAILURE", detail="extendedKeyUsage")
    return None


def timestamp_usage_problem(certificate: Certificate) -> Reason | None:
    """Whether a certificate may sign timestamps: id-kp-timeStamping, critical and alone (RFC 3161 §2.3)."""
    if certificate.extended_key_usage != {EKU_TIME_STAMPING} or "2.5.29.37" not in certificate.critical_extensions:
        return reason("SIG_CONSTRAINTS_FAILURE", detail="extendedKeyUsage timeStamping")
    return None


def _broken(detail: str) -> Reason:
    return reason("CHAIN_CONSTRAINTS_FAILURE", detail=detail)


def _subject(certificate: Certificate) -> str:
    try:
        return certificate.common_name
    except XinyinError:
        return "?"


def _issuer(certificate: Certificate) -> str:
    try:
        return certificate.issuer
    except XinyinError:
        return "?"
