"""Taking certificates back, and saying so: holds, revocations, CRLs, pre-signed OCSP answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ca.errors import CertificateStateRefused, NoSuchAuthority, OutsideCertificate
from ca.issuing import Issuing
from ca.models import AuthorityRow, CertificateRow, CrlRow, OcspAnswerRow
from ca.ports import Keys
from ca.profiles import profile
from ca.register import Register, parsed, record
from ca.schemas import REVOCATION_REASONS, Authority, CaConfig, CertificateRecord, RefreshReport
from crypto.errors import BadInput, XinyinError
from crypto.keys import Signer
from formats import ocsp as wire
from formats.crl import CrlSpec, RevokedEntry, build_crl
from formats.x509 import EKU_OCSP_SIGNING, Certificate
from store.audit import AuditLog

USUAL_HASH = "sha1"
"""The CertID hash that clients send and embedded answers are matched by; others are signed when first asked for."""

_CHUNK = 200


class BadReason(BadInput):
    """A revocation reason that is not one of ours, or a date in the future."""

    code = "bad-revocation-reason"


class Revocation:
    """State changes commit first and on their own. Lists and answers that contradict them are dropped in the same transaction,
    so that a crash before the new ones are signed can never leave a ``good`` behind.
    """

    def __init__(
        self,
        register: Register,
        keys: Keys,
        issuing: Issuing,
        config: CaConfig,
        audit: AuditLog | None,
        now: Callable[[], datetime],
    ) -> None:
        self.register = register
        self.db = register.db
        self.keys = keys
        self.issuing = issuing
        self.config = config
        self.audit = audit
        self.now = now
        self._unknown = _Budget(per_second=5)
        self._known: dict[tuple[str, bytes, bytes], Authority] = {}

    # --- changing state ---

    def hold(self, serial: str | int, *, actor: str, reason: str | None = None) -> CertificateRecord:
        """Suspend: OCSP says revoked/certificateHold until :meth:`release`. :raises CertificateStateRefused: not good"""
        return self._change(serial, actor, "certificate.held", {"good"}, "hold", "certificateHold", None, reason)

    def release(self, serial: str | int, *, actor: str, reason: str | None = None) -> CertificateRecord:
        """End a hold. :raises CertificateStateRefused: not on hold (a revocation is for good)"""
        return self._change(serial, actor, "certificate.released", {"hold"}, "good", None, None, reason)

    def revoke(self, serial: str | int, reason: str, *, actor: str, invalidity_at: datetime | None = None) -> CertificateRecord:
        """Revoke for good, from now on; ``invalidity_at`` says since when the key is suspect (RFC 5280 §5.3.2).

        :raises BadReason: not one of :data:`ca.schemas.REVOCATION_REASONS`, or an invalidity date in the future
        :raises CertificateStateRefused: revoked already
        """
        if reason not in REVOCATION_REASONS:
            raise BadReason(
                f"{reason!r} is no reason for a revocation; use one of {', '.join(REVOCATION_REASONS)}.",
                f"{reason!r} 不是有效的吊销原因；可用：{'、'.join(REVOCATION_REASONS)}。",
            )
        if invalidity_at is not None and invalidity_at > self.now():
            raise BadReason("The invalidity date lies in the future.", "失效时间不能晚于当前时间。")
        return self._change(serial, actor, "certificate.revoked", {"good", "hold"}, "revoked", reason, invalidity_at, None)

    def _change(
        self,
        serial: str | int,
        actor: str,
        kind: str,
        allowed: set[str],
        status: str,
        reason: str | None,
        invalidity_at: datetime | None,
        why: str | None,
    ) -> CertificateRecord:
        moment = self.now().astimezone(UTC).replace(microsecond=0)

        def work(session: Session) -> CertificateRecord:
            row = self.register.row(session, serial)
            _check_change(row, allowed)
            since = row.revoked_at if row.status == "hold" and status == "revoked" else moment
            row.status, row.reason, row.invalidity_at = status, reason, invalidity_at
            row.revoked_at = None if status == "good" else since
            assert row.authority is not None
            session.get_one(AuthorityRow, row.authority).changes += 1
            session.execute(sa.delete(OcspAnswerRow).where(OcspAnswerRow.certificate_id == row.id))
            if self.audit is not None:
                data = {"serial": row.serial, "profile": row.profile, "reason": reason, "why": why}
                self.audit.append(session, kind=kind, actor=actor, subject={"certificate": row.id}, data=data)
            session.flush()
            return record(row, moment)

        changed = self.db.run(work)
        self._publish(changed)
        return changed

    def _publish(self, changed: CertificateRecord) -> None:
        """Sign the new answer and list now. A signer that is down is no reason to take the change back: both are signed when
        next asked for, and the worker's refresh tries again.
        """
        assert changed.authority is not None
        authority = self.register.authority(changed.authority)
        assert authority is not None
        with suppress(XinyinError):
            self._answer(authority, changed.id, USUAL_HASH)
        with suppress(XinyinError):
            self.sign_crl(authority)

    # --- CRL ---

    def crl(self, name: str) -> bytes:
        """DER of the newest list of an authority; signs a new one if it is out of date and the key is at hand.

        :raises NoSuchAuthority: unknown name
        """
        authority = self.register.authority(name.removesuffix(".crl"))
        if authority is None:
            raise NoSuchAuthority(f"There is no CA {name!r} here.", f"本节点没有 CA {name!r}。")
        with self.db.read() as session:
            newest = self._newest_crl(session, name)
            changes = session.get_one(AuthorityRow, name).changes
        if newest is not None and newest.changes >= changes and self.now() < newest.next_update:
            return newest.der
        try:
            return self.sign_crl(authority)
        except XinyinError:
            if newest is None:
                raise
            return newest.der  # an old list, whose age every reader sees, says more than none

    def _newest_crl(self, session: Session, name: str) -> CrlRow | None:
        return session.scalar(sa.select(CrlRow).where(CrlRow.authority == name).order_by(sa.desc(CrlRow.number)).limit(1))

    def sign_crl(self, authority: Authority) -> bytes:
        """The next list of this authority: numbers go up by one, and no list forgets what an earlier one said."""
        for _ in range(8):
            with self.db.read() as session:
                changes = session.get_one(AuthorityRow, authority.name).changes
                newest = self._newest_crl(session, authority.name)
                entries = self._entries(session, authority)
            number = newest.number + 1 if newest is not None else 1
            moment = self.now().astimezone(UTC).replace(microsecond=0)
            root = authority.kind == "root"
            until = moment + (self.config.root_crl_validity if root else self.config.crl_validity)
            # No distribution point name: a list that names an address is "of another scope" to OpenSSL for certificates that do
            # not name the same one (a root, or all of them once the node has moved).
            spec = CrlSpec(authority.certificate, number, moment, until, entries, cas_only=root, users_only=not root)
            der = build_crl(spec, self.keys.signer(authority.generation_id, "crl"))
            row = CrlRow(
                authority=authority.name,
                number=number,
                changes=changes,
                this_update=moment,
                next_update=until,
                der=der,
                region=self.register.region,
            )
            if self._insert(row):
                return der
        raise CertificateStateRefused("The list keeps changing; try again.", "吊销列表正在更新，请稍后重试。")

    def _insert(self, row: CrlRow) -> bool:
        """False when another writer took this number first: then its list, or ours made anew, counts."""
        try:
            self.db.run(lambda session: session.add(row))
        except IntegrityError:
            return False
        return True

    def _entries(self, session: Session, authority: Authority) -> list[RevokedEntry]:
        """Also of expired certificates: old documents are verified with today's list (RFC 5280 §3.3 lets us drop them)."""
        rows = session.execute(
            sa.select(CertificateRow.serial, CertificateRow.revoked_at, CertificateRow.reason, CertificateRow.invalidity_at)
            .where(CertificateRow.authority == authority.name, CertificateRow.status.in_(("hold", "revoked")))
            .order_by(CertificateRow.revoked_at, CertificateRow.serial)
        )
        return [RevokedEntry(int(s, 16), at, reason or "unspecified", invalid) for s, at, reason, invalid in rows if at]

    # --- OCSP ---

    def ocsp(self, request: bytes) -> bytes:
        """DER OCSPResponse to a DER OCSPRequest; total: bad requests get OCSP's own errors.

        Answers are pre-signed and hold for days, so a nonce is ignored, as RFC 9654 lets a responder do; a client sees the age
        in thisUpdate. One certificate a request (RFC 5019 §2.1.1). ``unauthorized`` for issuers that are not ours (§2.2.3).
        """
        try:
            asked = wire.OcspRequest.parse(request)
        except XinyinError:
            return wire.error_response("malformed_request")
        if len(asked.cert_ids) != 1 or asked.cert_ids[0].algorithm not in wire.HASHES:
            return wire.error_response("malformed_request")
        cert_id = asked.cert_ids[0]
        authority = self._authority_of(cert_id)
        if authority is None:
            return wire.error_response("unauthorized")
        try:
            return self._respond(authority, cert_id)
        except XinyinError:
            return wire.error_response("try_later")

    def ocsp_for(self, authority: Authority, certificate_id: str) -> bytes:
        """The answer of an issuing CA about one of its certificates, for embedding: no older than ``evidence_age``."""
        with self.db.read() as session:
            kept = session.get(OcspAnswerRow, (certificate_id, USUAL_HASH))
        moment = self.now()
        if kept is not None and moment < kept.next_update and moment - kept.this_update < self.config.evidence_age:
            return kept.der
        return self._answer(authority, certificate_id, USUAL_HASH)

    def _authority_of(self, cert_id: wire.CertId) -> Authority | None:
        """Kept in memory once found: a name, a key and what they hash to never change, and strangers ask all the time."""
        key = (cert_id.algorithm, cert_id.name_hash, cert_id.key_hash)
        if key not in self._known:
            for authority in self.register.authorities("issuing"):
                self._known[(cert_id.algorithm, *wire.issuer_hashes(authority.certificate, cert_id.algorithm))] = authority
        return self._known.get(key)

    def _respond(self, authority: Authority, cert_id: wire.CertId) -> bytes:
        serial = f"{cert_id.serial:x}" if cert_id.serial >= 0 else ""
        with self.db.read() as session:
            found = session.execute(
                sa.select(CertificateRow.id, OcspAnswerRow.der, OcspAnswerRow.next_update)
                .outerjoin(
                    OcspAnswerRow,
                    sa.and_(OcspAnswerRow.certificate_id == CertificateRow.id, OcspAnswerRow.algorithm == cert_id.algorithm),
                )
                .where(
                    CertificateRow.authority == authority.name,
                    CertificateRow.serial == serial.zfill(len(serial) + len(serial) % 2),
                    CertificateRow.status != "issuing",
                )
            ).one_or_none()
        if found is None:
            return self._unknown_answer(authority, cert_id)
        if found.der is not None and self.now() < found.next_update:
            return bytes(found.der)
        return self._answer(authority, found.id, cert_id.algorithm)

    def _unknown_answer(self, authority: Authority, cert_id: wire.CertId) -> bytes:
        """Signed on the spot, as answers about numbers that do not exist cannot be signed beforehand; at most five a second,
        because anyone may ask.
        """
        if not self._unknown.take():
            return wire.error_response("try_later")
        moment = self.now()
        signer, responder = self._responder(authority)
        answer = wire.Answer(cert_id, "unknown", moment, moment + timedelta(hours=1))
        return wire.build_response([answer], signer, responder, produced_at=moment)

    def _answer(self, authority: Authority, certificate_id: str, algorithm: str) -> bytes:
        """Sign and keep the answer about one certificate; repeated if its state changed meanwhile."""
        for _ in range(4):
            with self.db.read() as session:
                row = session.get_one(CertificateRow, certificate_id)
            made = self._sign_answers(authority, [(row, algorithm)], self._responder(authority))
            if self._keep(made) == 1:
                return made[0][1].der
        raise CertificateStateRefused("The certificate's state keeps changing; try again.", "证书状态正在变化，请稍后重试。")

    def _sign_answers(
        self,
        authority: Authority,
        wanted: Sequence[tuple[CertificateRow, str]],
        responder: tuple[Signer, Certificate],
    ) -> list[tuple[CertificateRow, OcspAnswerRow]]:
        moment = self.now().astimezone(UTC).replace(microsecond=0)
        until = moment + self.config.ocsp_validity
        made = []
        for row, algorithm in wanted:
            hashes = wire.issuer_hashes(authority.certificate, algorithm)
            cert_id = wire.CertId(algorithm, *hashes, int(row.serial, 16))
            status = "good" if row.status == "good" else "revoked"
            answer = wire.Answer(cert_id, status, moment, until, row.revoked_at, row.reason)
            answer_row = OcspAnswerRow(
                certificate_id=row.id,
                algorithm=algorithm,
                this_update=moment,
                next_update=until,
                der=wire.build_response([answer], *responder, produced_at=moment),
                region=self.register.region,
            )
            made.append((row, answer_row))
        return made

    def _keep(self, made: Sequence[tuple[CertificateRow, OcspAnswerRow]]) -> int:
        """Store the answers whose certificates are still in the state that was signed; how many."""

        def work(session: Session) -> int:
            ids = [row.id for row, _ in made]
            now = {r.id: _state(r) for r in session.scalars(sa.select(CertificateRow).where(CertificateRow.id.in_(ids)))}
            kept = [answer for row, answer in made if now.get(row.id) == _state(row)]
            for answer in kept:
                session.merge(answer)
            return len(kept)

        for _ in range(3):
            with suppress(IntegrityError):  # another process stored its answer between our look and our insert
                return self.db.run(work)
        return 0

    def _responder(self, authority: Authority) -> tuple[Signer, Certificate]:
        """The delegate of this authority whose certificate is valid longest; the authority itself if there is none."""
        rows = self.register.rows(
            CertificateRow.authority == authority.name,
            CertificateRow.profile == "ocsp",
            CertificateRow.status == "good",
            CertificateRow.not_after > self.now() + self.config.ocsp_validity,
        )
        for row in sorted(rows, key=lambda r: r.not_after, reverse=True):
            assert row.generation_id is not None
            assert row.der is not None
            if self.keys.generation(row.generation_id).state in ("active", "draining"):
                certificate = parsed(row.der)
                assert EKU_OCSP_SIGNING in certificate.extended_key_usage
                return self.keys.signer(row.generation_id, "ocsp"), certificate
        return self.keys.signer(authority.generation_id, "ocsp"), authority.certificate

    # --- keeping it all fresh ---

    def refresh(self, now: datetime | None = None) -> RefreshReport:
        """Renew whatever is past half of its life (a root's list: three quarters): OCSP delegates' certificates, CRLs, OCSP
        answers. To be called hourly or more often.

        What cannot be signed (a root whose token is logged out) is reported in ``failures``; it never stops the rest.
        """
        moment = now or self.now()
        report = RefreshReport()
        for authority in self.register.authorities():
            steps: list[Callable[[Authority, datetime, RefreshReport], None]] = [self._refresh_crl]
            if authority.kind == "issuing":
                steps = [self._refresh_responder, self._refresh_crl, self._refresh_answers]
            for step in steps:
                try:
                    step(authority, moment, report)
                except XinyinError as exc:
                    report.failures.append({"authority": authority.name, "step": step.__name__[1:], **exc.to_dict()})
        return report

    def _refresh_responder(self, authority: Authority, moment: datetime, report: RefreshReport) -> None:
        if authority.status != "active":
            return
        role = self.register.role("ocsp", authority.suite)
        if role is None:
            return
        generation = self.keys.active(role)
        rows = self.register.rows(
            CertificateRow.authority == authority.name,
            CertificateRow.profile == "ocsp",
            CertificateRow.generation_id == generation.id,
            CertificateRow.status == "good",
        )
        if any(moment + timedelta(days=30) < row.not_after for row in rows):
            return
        subject = self.issuing.infrastructure_subject("OCSP 应答", authority.suite, generation.number)
        made = self.issuing.issue(profile("ocsp"), generation, subject, issuer=authority)
        report.responders.append(made.serial_hex)

    def _refresh_crl(self, authority: Authority, moment: datetime, report: RefreshReport) -> None:
        with self.db.read() as session:
            newest = self._newest_crl(session, authority.name)
            changes = session.get_one(AuthorityRow, authority.name).changes
        if newest is not None and newest.changes >= changes:
            life = newest.next_update - newest.this_update
            if moment < newest.this_update + (life * 3 / 4 if authority.kind == "root" else life / 2):
                return
        self.sign_crl(authority)
        report.crls.append(authority.name)

    def _refresh_answers(self, authority: Authority, moment: datetime, report: RefreshReport) -> None:
        """Unexpired certificates get an answer under the usual hash; others lapse until they are asked for."""
        fresh = sa.exists().where(
            OcspAnswerRow.certificate_id == CertificateRow.id,
            OcspAnswerRow.algorithm == USUAL_HASH,
            OcspAnswerRow.next_update > moment + self.config.ocsp_validity / 2,
        )
        due = (
            CertificateRow.authority == authority.name,
            CertificateRow.not_after > moment,
            CertificateRow.profile != "ocsp",
            ~fresh,
        )
        last = ""  # a chunk at a time, by id: a certificate whose state changes meanwhile gets its answer from that change
        while chunk := self.register.rows(*due, CertificateRow.id > last, limit=_CHUNK, newest_first=False):
            wanted = [(row, USUAL_HASH) for row in chunk]
            report.answers += self._keep(self._sign_answers(authority, wanted, self._responder(authority)))
            last = chunk[-1].id
        lapsed = sa.delete(OcspAnswerRow).where(
            OcspAnswerRow.next_update <= moment, OcspAnswerRow.region == self.register.region
        )
        self.db.run(lambda session: session.execute(lapsed))


def _check_change(row: CertificateRow, allowed: set[str]) -> None:
    if row.origin == "outside":
        raise OutsideCertificate(
            "This certificate comes from an outside CA; ask that CA to suspend or revoke it, and keep its answer here.",
            "该证书由外部 CA 签发；请向该 CA 申请暂停或吊销，并在此保存其答复。",
        )
    if row.origin == "root":
        raise CertificateStateRefused(
            "A root cannot be revoked by itself; withdraw it from the trust list.",
            "根证书无法自行吊销；请在信任列表中撤销。",
        )
    if row.status not in allowed:
        words = {"good": "有效", "hold": "暂停", "revoked": "已吊销"}
        raise CertificateStateRefused(
            f"The certificate is {row.status}; this needs it to be {' or '.join(sorted(allowed))}.",
            f"证书当前状态为{words.get(row.status, row.status)}，不能执行此操作。",
            status=row.status,
        )


def _state(row: CertificateRow) -> tuple[str, str | None, datetime | None]:
    return row.status, row.reason, row.revoked_at


class _Budget:
    """At most ``per_second`` a second, in this process."""

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self._left = float(per_second)
        self._at = monotonic()
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            now = monotonic()
            self._left = min(self.per_second, self._left + (now - self._at) * self.per_second)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True
