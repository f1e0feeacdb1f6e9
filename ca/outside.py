"""Certificates that an outside, licensed CA issues for our keys: request out, checked import in, its status services used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ca.errors import AlreadyRevoked, BrokenChain, ForeignKey, OutsideValidity, WrongSeal, WrongUsage
from ca.models import CertificateRow, OutsideRequestRow
from ca.ports import Generation, Keys, StatusClient
from ca.profiles import Profile
from ca.register import Register, parsed, record, serial_text
from ca.schemas import CertificateRecord
from crypto.errors import Misconfigured, Unavailable, XinyinError
from formats import ocsp, pkcs10
from formats.crl import RevocationList
from formats.x509 import EKU_ANY, Certificate, Subject
from store.audit import AuditLog
from store.ids import new_id

MAX_CHAIN = 8
KEEP = timedelta(minutes=10)
_CLOCK_SKEW_S = 300


class StatusUnavailable(Unavailable):
    """The outside CA's OCSP or CRL did not give a usable answer."""

    code = "outside-status-unavailable"


class OutsideCertificates:
    """Import and use of certificates from outside CAs."""

    def __init__(
        self, register: Register, keys: Keys, audit: AuditLog | None, client: StatusClient | None, now: Callable[[], datetime]
    ) -> None:
        self.register = register
        self.keys = keys
        self.audit = audit
        self.client = client
        self.now = now
        self._visiting: frozenset[str] = frozenset()
        self._answers: dict[tuple[str, tuple[str, ...]], tuple[datetime, bytes]] = {}

    def request(self, generation: Generation, subject: Subject, *, kind: Profile, es_id: str | None = None) -> bytes:
        """DER PKCS#10 request for a key of ours. :raises NameRefused: the subject cannot go into a certificate"""
        signer = self.keys.signer(generation.id, "csr")
        return pkcs10.build_request(subject, signer, usages=kind.key_usage, es_id=es_id)

    # --- import ---

    def import_certificate(
        self,
        generation: Generation,
        certificate: Certificate,
        chain: Sequence[Certificate],
        *,
        kind: Profile,
        es_id: str | None,
        actor: str,
    ) -> CertificateRecord:
        """Take a certificate for the key of ``generation``; ``chain`` is its issuers in any order, self-signed root included.

        Whether that root is *trusted* is not decided here: verifiers go by trust lists.

        :raises ImportRefused: one of its subclasses, which say what is wrong
        """
        moment = self.now()
        certificate.check()
        if certificate.public_key != generation.public_key:
            raise ForeignKey(
                "The certificate is for another key; import the one issued to this key's request.",
                "证书中的公钥与本密钥不符；请导入依据本密钥证书请求签发的证书。",
            )
        _check_validity(certificate, moment, "certificate", "证书")
        ordered = order_chain(certificate, chain, moment)
        _check_usage(certificate, kind)
        if certificate.es_id is not None and certificate.es_id != es_id:
            raise WrongSeal(
                f"The certificate names seal {certificate.es_id}, not {es_id or 'none'}.",
                f"证书中的电子印章编码为 {certificate.es_id}，与 {es_id or '（无）'} 不符。",
            )
        self._check_not_revoked(certificate, ordered)
        row = self._row(generation, certificate, ordered, kind, es_id, moment)

        def work(session: Session) -> CertificateRecord:
            known = self.register.by_certificate(session, certificate)
            if known is not None:
                return record(known, moment)
            session.add(row)
            session.flush()
            if self.audit is not None:
                data = {"sha256": certificate.sha256, "profile": kind.name, "generation": generation.id}
                self.audit.append(session, kind="certificate.imported", actor=actor, subject={"certificate": row.id}, data=data)
            return record(row, moment)

        return self.register.db.run(work)

    def _row(
        self,
        generation: Generation,
        certificate: Certificate,
        chain: Sequence[Certificate],
        kind: Profile,
        es_id: str | None,
        moment: datetime,
    ) -> CertificateRow:
        return CertificateRow(
            id=new_id("cert"),
            origin="outside",
            authority=None,
            serial=serial_text(certificate.serial),
            generation_id=generation.id,
            profile=kind.name,
            subject=certificate.subject,
            issuer=certificate.issuer,
            es_id=es_id,
            not_before=certificate.not_before,
            not_after=certificate.not_after,
            der=certificate.der,
            sha256=certificate.sha256,
            chain="".join(c.pem() for c in chain),
            status="good",
            created_at=moment,
            region=self.register.region,
        )

    def _check_not_revoked(self, certificate: Certificate, chain: Sequence[Certificate]) -> None:
        """Ask once, at import; a CA that cannot be asked is no reason to refuse (the sealing path asks again)."""
        if self.client is None or not (certificate.ocsp_urls or certificate.crl_urls):
            return
        self._visiting = _hosts_of([certificate])  # the officer who imports it lets these hosts be asked
        try:
            evidence = self.evidence(certificate, chain[0])
        except XinyinError:
            return
        finally:
            self._visiting = frozenset()
        if _says_revoked(evidence, certificate, chain[0]):
            raise AlreadyRevoked(
                "The outside CA has revoked or suspended this certificate; ask it for a new one.",
                "外部 CA 已吊销或暂停该证书；请向其申请新证书。",
            )

    # --- status ---

    def evidence(self, certificate: Certificate, issuer: Certificate) -> bytes:
        """An OCSP response, else a CRL, from the addresses in the certificate; checked before it is used.

        :raises StatusUnavailable: no address, no connection, or nothing usable in the answers
        """
        try:
            return self.ocsp(certificate, issuer)
        except StatusUnavailable:
            return self.crl(certificate, issuer)

    def ocsp(self, certificate: Certificate, issuer: Certificate) -> bytes:
        """DER OCSPResponse of the outside CA. :raises StatusUnavailable: as :meth:`evidence`"""
        request = ocsp.build_request(certificate, issuer)
        return self._ask(
            certificate,
            certificate.ocsp_urls,
            lambda client, url: client.ocsp(url, request),
            lambda data: self._usable_response(data, certificate, issuer),
        )

    def crl(self, certificate: Certificate, issuer: Certificate) -> bytes:
        """DER CRL of the outside CA. :raises StatusUnavailable: as :meth:`evidence`"""
        return self._ask(
            certificate,
            certificate.crl_urls,
            lambda client, url: client.crl(url),
            lambda data: self._usable_crl(data, certificate, issuer),
        )

    def hosts(self) -> frozenset[str]:
        """``name`` or ``name:port`` of every status address in the certificates imported and their chains: what an officer let
        in by importing, and so what the node's Fetcher may be allowed.
        """
        rows = self.register.rows(CertificateRow.origin == "outside")
        certificates = [c for row in rows if row.der is not None for c in (parsed(row.der), *_chain_of(row))]
        return _hosts_of(certificates) | self._visiting

    def issuer_of(self, certificate: Certificate) -> Certificate:
        """Who issued a certificate that is not ours: out of the chains we keep, else from its caIssuers addresses.

        :raises StatusUnavailable: neither has it
        """
        known = (c for row in self.register.rows(CertificateRow.origin == "outside") for c in _chain_of(row))
        found = next((c for c in known if _names_and_signed(c, certificate)), None)
        if found is not None:
            return found

        def is_issuer(data: bytes) -> bool:
            return _names_and_signed(Certificate.parse(data), certificate)

        fetched = self._ask(certificate, certificate.ca_issuer_urls, lambda client, url: client.issuer(url), is_issuer)
        return Certificate.parse(fetched)

    def _ask(
        self,
        certificate: Certificate,
        urls: Sequence[str],
        fetch: Callable[[StatusClient, str], bytes],
        usable: Callable[[bytes], bool],
    ) -> bytes:
        """The first usable answer; kept for ten minutes, so that a batch does not ask once a document."""
        if self.client is None:
            raise Misconfigured(
                "This process may not call out, so an outside CA's status service cannot be asked.",
                "本进程不允许对外访问，无法查询外部 CA 的证书状态。",
            )
        key = (certificate.sha256, tuple(urls))
        kept = self._answers.get(key)
        if kept is not None and self.now() - kept[0] < KEEP and usable(kept[1]):
            return kept[1]
        for url in urls:
            try:
                data = fetch(self.client, url)
                if usable(data):
                    self._keep(key, data)
                    return data
            except XinyinError:
                continue
        raise StatusUnavailable(
            "The outside CA gave no usable answer about this certificate; try again later.",
            "外部 CA 未能给出该证书的有效状态；请稍后重试。",
            urls=list(urls),
        )

    def _keep(self, key: tuple[str, tuple[str, ...]], data: bytes) -> None:
        if len(self._answers) >= 500:
            self._answers.clear()
        self._answers[key] = (self.now(), data)

    def _usable_response(self, data: bytes, certificate: Certificate, issuer: Certificate) -> bool:
        response = ocsp.OcspResponse.parse(data)
        if response.status != "successful":
            return False
        signer, answer = response.signer(issuer), response.answer_for(certificate, issuer)
        return (
            signer is not None
            and signer.valid_at(response.produced_at)
            and answer is not None
            and self._current(answer.this_update, answer.next_update)
        )

    def _usable_crl(self, data: bytes, certificate: Certificate, issuer: Certificate) -> bool:
        crl = RevocationList.parse(data)
        return (
            crl.covers(certificate)
            and issuer.allows("cRLSign")
            and crl.is_signed_by(issuer.public_key)
            and self._current(crl.this_update, crl.next_update)
        )

    def _current(self, start: datetime, end: datetime | None) -> bool:
        moment = self.now()
        return (start - moment).total_seconds() <= _CLOCK_SKEW_S and (end is None or moment <= end)

    # --- requests to the outside CA ---

    def keep_request(self, serial: str | int, request: dict[str, Any], answer: dict[str, Any] | None = None) -> str:
        """Keep what was asked of the outside CA, with its answer if there is one already; the row's id."""
        moment = self.now()

        def work(session: Session) -> str:
            row = OutsideRequestRow(
                id=new_id("ocr"),
                certificate_id=self.register.row(session, serial).id,
                request=request,
                answer=answer,
                requested_at=moment,
                answered_at=moment if answer is not None else None,
                region=self.register.region,
            )
            session.add(row)
            return row.id

        return self.register.db.run(work)

    def keep_answer(self, request_id: str, answer: dict[str, Any], *, revoked_at: datetime | None = None) -> None:
        """Keep the answer; where it says that the certificate is revoked, our record follows it."""

        def work(session: Session) -> None:
            kept = session.get_one(OutsideRequestRow, request_id)
            kept.answer, kept.answered_at = answer, self.now()
            if revoked_at is not None:
                row = session.get_one(CertificateRow, kept.certificate_id)
                row.status, row.revoked_at, row.reason = "revoked", revoked_at, "unspecified"

        self.register.db.run(work)

    def requests(self, serial: str | int) -> list[dict[str, Any]]:
        """What was asked about a certificate, oldest first."""
        with self.register.db.read() as session:
            row = self.register.row(session, serial)
            kept = session.scalars(
                sa.select(OutsideRequestRow)
                .where(OutsideRequestRow.certificate_id == row.id)
                .order_by(OutsideRequestRow.requested_at)
            )
            return [{"id": k.id, "request": k.request, "answer": k.answer, "requested_at": k.requested_at} for k in kept]


def order_chain(certificate: Certificate, chain: Sequence[Certificate], moment: datetime) -> list[Certificate]:
    """Issuers from the nearest to the self-signed root, each link checked by name, key, CA flag, usage, path length and dates.

    :raises BrokenChain: no such path through ``chain``
    """
    ordered: list[Certificate] = []
    current = certificate
    while not current.is_self_issued:
        above = next((c for c in chain if c not in ordered and _issued(c, current, len(ordered), moment)), None)
        if above is None or len(ordered) >= MAX_CHAIN:
            raise BrokenChain(
                f"No valid issuer for {current.subject} ({current.issuer}) is among the certificates handed in; add the whole "
                "chain up to the root.",
                f"提交的证书中没有 {current.subject} 的有效上级证书（{current.issuer}）；请补齐至根证书的完整证书链。",
                missing=current.issuer,
            )
        ordered.append(above)
        current = above
    if not ordered or not current.is_signed_by(current.public_key):
        raise BrokenChain(
            "A self-signed certificate cannot be imported for a key of ours, and the chain's root must sign itself.",
            "不能导入自签名证书，且证书链的根证书必须为有效的自签名证书。",
        )
    return ordered


def _issued(issuer: Certificate, subject: Certificate, below: int, moment: datetime) -> bool:
    """``below``: CA certificates between ``issuer`` and the end certificate."""
    try:
        return (
            issuer.subject_der == subject.issuer_der
            and issuer.is_ca
            and issuer.allows("keyCertSign")
            and not issuer.unknown_critical
            and (issuer.path_len is None or issuer.path_len >= below)
            and issuer.valid_at(moment)
            and subject.is_signed_by(issuer.public_key)
        )
    except XinyinError:
        return False


def _hosts_of(certificates: Sequence[Certificate]) -> frozenset[str]:
    urls = (u for c in certificates for u in (*c.ocsp_urls, *c.crl_urls, *c.ca_issuer_urls))
    return frozenset(urlsplit(url).netloc.lower() for url in urls) - {""}


def _chain_of(row: CertificateRow) -> list[Certificate]:
    return Certificate.parse_many((row.chain or "").encode())


def _names_and_signed(issuer: Certificate, subject: Certificate) -> bool:
    return issuer.subject_der == subject.issuer_der and issuer.is_ca and subject.is_signed_by(issuer.public_key)


def _check_validity(certificate: Certificate, moment: datetime, what: str, what_zh: str) -> None:
    if not certificate.valid_at(moment):
        when = f"{certificate.not_before:%Y-%m-%d} … {certificate.not_after:%Y-%m-%d}"
        raise OutsideValidity(
            f"The {what} is not valid today ({when}); ask its CA for a new one.",
            f"{what_zh}不在有效期内（{when}）；请向其 CA 申请新证书。",
        )


def _check_usage(certificate: Certificate, kind: Profile) -> None:
    problems = []
    if certificate.is_ca:
        problems.append("it is a CA certificate")
    if not certificate.allows(*set(kind.key_usage) & {"digitalSignature", "nonRepudiation"}):
        problems.append("its key usage does not allow signatures")
    if certificate.unknown_critical:
        problems.append(f"it has critical extensions that nobody here understands ({', '.join(certificate.unknown_critical)})")
    wanted, given = set(kind.eku), certificate.extended_key_usage
    if wanted and not wanted <= given and EKU_ANY not in given:
        problems.append(f"its extended key usage lacks {', '.join(wanted - given)}")
    if problems:
        raise WrongUsage(
            f"The certificate cannot be used as {kind.name}: {'; '.join(problems)}. Ask its CA for one with the right usage.",
            f"该证书不能用作 {kind.name}（密钥用途或扩展不符）；请向其 CA 申请用途正确的证书。",
            problems=problems,
        )


def _says_revoked(evidence: bytes, certificate: Certificate, issuer: Certificate) -> bool:
    try:
        answer = ocsp.OcspResponse.parse(evidence).answer_for(certificate, issuer)
        return answer is not None and answer.status == "revoked"
    except XinyinError:
        return RevocationList.parse(evidence).entry(certificate.serial) is not None
