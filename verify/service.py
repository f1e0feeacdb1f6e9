"""The verifier's one operation: any bytes in, the verdict JSON of the design out. It never raises for what is in the bytes."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

from crypto.errors import XinyinError
from formats.pdf.geometry import POINTS_PER_MM
from formats.x509 import Certificate, Subject
from verify import annotated, answer, changes, evidence, kinds, pdf, recognition, rendering
from verify import licence as licence_files
from verify.chain import Path
from verify.changes import ChangeClass, Comparison
from verify.cms import Examined, examine, examine_token
from verify.judge import Judge, TimeProof, Trusted, conclude
from verify.pdf import PdfDocument, PdfSignature
from verify.reasons import Reason, reason
from verify.schemas import ImpressionStatus, SealStatus, Verdict, VerificationContext, rfc3339

VERSION = "0.1.0"
_MAX_REVISIONS = 64
_LARGEST_SEAL = 60 * POINTS_PER_MM


@dataclass
class Judged:
    """One signature with all that was found about it."""

    signature: PdfSignature
    examined: Examined
    severity: ChangeClass = ChangeClass.NONE
    comparison: Comparison | None = None
    proof: TimeProof | None = None
    trusted: Trusted = field(default_factory=Trusted)
    seal: SealStatus | None = None
    reasons: list[Reason] = field(default_factory=list)

    def all_reasons(self) -> list[Reason]:
        """Findings about this signature, each code once, in the order in which they were made."""
        every = [*self.signature.findings, *self.examined.reasons, *self.reasons, *self.trusted.reasons]
        shown = {(r.code, r.message): r for r in every if r.level != "IGNORE"}
        return list(shown.values())

    @property
    def intact(self) -> bool:
        """Digest and signature value hold, and the hole is the signature's own; trust aside."""
        spoilt = {"byte-range", "contents-mismatch"}
        return self.examined.intact and not any(f.code in spoilt for f in self.signature.findings)


def verify_bytes(data: bytes, *, name: str, context: VerificationContext) -> dict[str, Any]:
    """Verify one file.

    :param name: what the caller knows the file by; it appears in the result and decides nothing
    :returns: the verdict JSON of the design, for any input
    """
    try:
        return _verify(data, name, context)
    except (MemoryError, RecursionError):
        return unreadable(name, reason("too-complex"), context)
    except Exception as exc:  # noqa: BLE001 - the promise is a verdict for any bytes; the kind is named in it
        return unreadable(name, reason("internal-error", kind=type(exc).__name__), context)


def _verify(data: bytes, name: str, context: VerificationContext) -> dict[str, Any]:
    limit = context.policy.limits.file_bytes
    if len(data) > limit:
        return unreadable(name, reason("too-large", size=len(data), limit=limit), context)
    kind = kinds.recognise(data)
    if kind.name == "picture" and kind.refusal is not None:
        from verify import scanned  # only then are the readers of pictures needed

        return scanned.verify_picture(data, name, kind.refusal, context)
    if kind.refusal is not None:
        return unreadable(name, kind.refusal, context)
    try:
        document = pdf.read(data, context.policy)
    except pdf.PasswordNeeded:
        return unreadable(name, reason("password-needed"), context)
    except pdf.Damaged:
        return unreadable(name, reason("damaged"), context)
    except pdf.TooManySignatures:
        return unreadable(name, reason("too-complex"), context)
    return _DocumentVerification(document, name, context).run()


def unreadable(name: str, why: Reason, context: VerificationContext) -> dict[str, Any]:
    """A verdict for what could not be examined."""
    return _verdict(name, Verdict.UNREADABLE, None, [why], [], None, None, context)


class _DocumentVerification:
    """One PDF on its way to a verdict; each step adds findings, none stops the others."""

    def __init__(self, document: PdfDocument, name: str, context: VerificationContext) -> None:
        self.document = document
        self.name = name
        self.context = context
        self.policy = context.policy
        self.now = context.time()
        self.findings = list(document.findings)
        self.judged: list[Judged] = []

    def run(self) -> dict[str, Any]:
        document = self.document
        licence = licence_files.find(document, self.policy)
        for field_name in document.empty_fields:
            self.findings.append(reason("signature-empty", "INFORM", field=field_name))
        removed, remains = pdf.lost_signatures(document, self.policy)
        level = self.policy.level("signature-removed")
        self.findings += [reason("signature-removed", level, field=name) for name in removed]
        if remains:
            self.findings.append(reason("signature-remains", level))
        signers = [s for s in document.signatures if not s.is_timestamp]
        if not document.signatures or not signers:
            return self._unsigned(licence)
        self.judged = [Judged(s, examine(s, document.data, self.policy)) for s in document.signatures if not s.is_timestamp]
        stamps = [Judged(s, Examined()) for s in document.signatures if s.is_timestamp]
        self._changes([*self.judged, *stamps])
        if pdf.reads_two_ways(document):
            self.findings.append(reason("ambiguous-objects", self.policy.level("ambiguous-objects")))
        self._trust(stamps)
        for judged in self.judged:
            self._status(judged)
        everything = sorted([*self.judged, *stamps], key=lambda j: j.signature.covered_end)
        return self._conclude(everything, licence)

    def _unsigned(self, licence: licence_files.LicenceData | None) -> dict[str, Any]:
        if self.document.signatures:
            self.findings.append(reason("timestamp-only"))
        elif licence is not None:
            self.findings.append(reason("licence-without-seal"))
        else:
            stripped = {"signature-removed", "signature-remains", "signature-empty"} & {r.code for r in self.findings}
            if not stripped and (scanned := self._scan()) is not None:
                return scanned
            self.findings.append(reason("no-signature"))
        block = self._licence_block(licence)
        return _verdict(self.name, Verdict.NO_SIGNATURE, None, self.findings, [], block[0], None, self.context)

    def _scan(self) -> dict[str, Any] | None:
        """The verdict on a licence code on the pages of a file that calls itself neither signed nor a licence."""
        from verify import scanned  # only then are the readers of pictures needed

        return scanned.verify_scan(self.document.data, self.name, self.context)

    # Changes after signing

    def _changes(self, judged: list[Judged]) -> None:
        """Compare each signed revision with the next one and the last with the file; the worst class counts."""
        data = self.document.data
        for one in judged:
            if one.signature.byte_range is None or any(f.code == "revision-incomplete" for f in one.signature.findings):
                one.severity = ChangeClass.UNDEFINED
        ends = sorted({j.signature.covered_end for j in judged if j.signature.byte_range})
        if not ends:
            return
        tail = data[ends[-1] :]
        if not tail or not tail.strip(b"\x00\t\n\x0c\r "):
            if tail:
                last = [j for j in judged if j.signature.covered_end == ends[-1]]
                for one in last:
                    one.reasons.append(reason("trailing-bytes", "INFORM"))
        else:
            ends.append(len(data))
        steps: dict[int, Comparison | None] = {}
        for before, after in pairwise(ends):
            steps[before] = step = self._compare(before, after)
            if after == len(data) and tail.strip() and step is not None and not step.changes:
                # Nothing that this reader or the next one sees; others may search the file in other ways.
                level = self.policy.level("trailing-data")
                self.findings.append(reason("trailing-data", level, size=len(tail)))
        if len(ends) > 1:
            self._render(judged, steps, ends)
        for one in judged:
            later = [steps[end] for end in ends if end >= one.signature.covered_end and end in steps]
            if one.signature.byte_range is not None and later:
                self._classify(one, later)

    def _compare(self, before: int, after: int) -> Comparison | None:
        """Two revisions compared; None where that is impossible, which counts as undefined."""
        try:
            new = self.document.pdf if after == len(self.document.data) else pdf.open_pdf(self.document.data[:after])
            return changes.compare(pdf.open_pdf(self.document.data[:before]), new, self.policy)
        except (pdf.Damaged, pdf.PasswordNeeded, changes.TooManyObjects):
            return None

    def _render(self, judged: list[Judged], steps: dict[int, Comparison | None], ends: list[int]) -> None:
        """Each signed revision beside the next as pictures, within the policy's bounds on pages."""
        level = self.policy.level("rendered-difference")
        if level == "IGNORE":
            return
        data = self.document.data
        form = any(f.kind != "/Sig" for f in pdf.fields(self.document.pdf))
        areas = [step.areas if (step := steps[end]) is not None else {} for end in ends[:-1]]
        results = rendering.compare([data[:end] for end in ends], areas, self.policy, form=form)
        for end, result in zip(ends[:-1], results, strict=True):
            step = steps[end]
            noted = step is not None and step.severity is ChangeClass.ANNOTATION  # said already, and meant to be seen
            for one in (j for j in judged if 0 < j.signature.covered_end <= end):
                if result.failed:
                    one.reasons.append(reason("rendering-failed", "WARN"))
                elif result.different and not noted:
                    one.reasons.append(reason("rendered-difference", level, page=result.different[0]))
                    one.severity = ChangeClass.UNDEFINED

    def _classify(self, one: Judged, later: list[Comparison | None]) -> None:
        """Put all that happened after a signature into one class, and say what it was."""
        policy = self.policy
        known = [c for c in later if c is not None]
        if len(known) < len(later):
            one.severity = ChangeClass.UNDEFINED
            one.reasons.append(reason("changes-undefined", policy.level("changes-undefined"), detail="?"))
            return
        merged = Comparison([x for c in known for x in c.changes], filled={f for c in known for f in c.filled})
        one.comparison = merged
        one.severity = max(one.severity, merged.severity)
        before, after = known[0].pages_before, known[-1].pages_after
        if before != after:
            one.reasons.append(reason("page-count", policy.level("changes-undefined"), signed=before, current=after))
        if merged.severity is ChangeClass.UNDEFINED:
            detail = merged.paths(ChangeClass.UNDEFINED)
            one.reasons.append(reason("changes-undefined", policy.level("changes-undefined"), detail=detail))
        kinds_found = merged.kinds()
        if "annotation" in kinds_found:
            detail = merged.paths(ChangeClass.ANNOTATION)
            one.reasons.append(reason("changes-annotation", policy.level("changes-annotation"), detail=detail))
        if merged.filled:
            detail = ", ".join(sorted(merged.filled)[:5])
            one.reasons.append(reason("changes-form", policy.level("changes-form"), detail=detail))
        if "evidence-removed" in kinds_found:
            one.reasons.append(reason("dss-removed", policy.level("dss-removed")))
        forbidden = changes.forbidden_by_certification(one.signature.node, merged)
        if forbidden:
            one.reasons.append(reason("changes-certified", policy.level("changes-certified"), detail=forbidden))
            one.severity = ChangeClass.UNDEFINED
        self._overlap(one, known)
        self._covered(one, known)

    def _overlap(self, one: Judged, known: list[Comparison]) -> None:
        """A later visible field over this seal: whoever looks at the page no longer sees what was sealed."""
        place = pdf.page_and_rect(self.document, one.signature.field_node)
        if place is None or len(place[1]) != 4:
            return
        page, rect = place
        later = [r for c in known for r in c.areas.get(page, [])]
        if any(_overlap_share(rect, other) > 0.05 for other in later):
            one.reasons.append(reason("overlap", self.policy.level("overlap"), field=one.signature.field))

    def _covered(self, one: Judged, known: list[Comparison]) -> None:
        """A later signature whose picture is larger than any seal: it may hide what was sealed, or pass for it."""
        for page in sorted({page for c in known for page, rects in c.areas.items() if any(map(_is_large, rects))})[:1]:
            one.reasons.append(reason("covered", self.policy.level("overlap"), page=page))

    # Time, trust and revocation

    def _trust(self, stamps: list[Judged]) -> None:
        """Document timestamps from the last to the first, then every signer at the time that is proven for it."""
        certificates = [c for j in self.judged for c in j.examined.certificates]
        store = evidence.of_document(self.document.pdf)
        judge = Judge(self.context, [*store.certificates, *certificates])
        for der in store.answers:
            judge.pool.add(der)
        proven_until: list[tuple[int, datetime]] = []
        known_at = self.now
        for one in sorted(stamps, key=lambda j: -j.signature.covered_end):
            moment = self._document_timestamp(one, judge, known_at)
            if moment is not None:
                known_at = min(known_at, moment)
                proven_until.append((one.signature.covered_end, moment))
                self._evidence_proven(judge, one.signature.covered_end, moment)
        for judged in self.judged:
            self._signer(judged, judge, proven_until)

    def _document_timestamp(self, one: Judged, judge: Judge, known_at: datetime) -> datetime | None:
        signature = one.signature
        if signature.byte_range is None:
            return None
        token = examine_token(signature.contents, list(signature.signed_parts(self.document.data)), self.policy)
        one.examined = token.examined
        one.examined.claimed_time = token.gen_time
        if not token.fits:
            one.examined.intact = False
            one.reasons.append(reason("HASH_FAILURE"))
            return None
        harmed = one.severity is ChangeClass.UNDEFINED or any(r.level == "FAIL" for r in one.all_reasons())
        moment, problems = judge.token_time(token, known_at)
        one.reasons += problems
        one.proof = TimeProof(best=known_at, proven=moment)
        return None if harmed else moment

    def _evidence_proven(self, judge: Judge, end: int, moment: datetime) -> None:
        """Answers stored inside what a document timestamp covers existed at its time."""
        try:
            inside = evidence.of_document(pdf.open_pdf(self.document.data[:end]))
        except (pdf.Damaged, pdf.PasswordNeeded):
            return
        for der in inside.answers:
            judge.pool.add(der, moment)

    def _signer(self, judged: Judged, judge: Judge, proven_until: list[tuple[int, datetime]]) -> None:
        end = judged.signature.covered_end
        covering = [moment for covered, moment in proven_until if covered > end]
        known_at = min([self.now, *covering])
        own, problems = judge.signature_timestamps(judged.examined, known_at)
        judged.reasons += problems
        times = [t for t in (own, min(covering, default=None)) if t is not None]
        proven = min(times, default=None)
        earlier = [moment for covered, moment in proven_until if covered < end]
        judged.proof = TimeProof(best=proven or self.now, proven=proven, not_before=max(earlier, default=None))
        if judged.examined.certificate is None:
            return
        for der in evidence.signed_answers(judged.examined):
            judge.pool.add(der, proven)
        for der in evidence.unsigned_answers(judged.examined):
            judge.pool.add(der, min(covering, default=None))
        judged.trusted = judge.signer_trust(judged.examined, judged.proof)

    # Registers: seals and impressions

    def _status(self, judged: Judged) -> None:
        certificate, proof = judged.examined.certificate, judged.proof
        try:
            es_id = certificate.es_id if certificate else None
        except XinyinError:
            es_id = None
        if certificate is None or es_id is None or proof is None:
            return
        path = judged.trusted.path
        region = path.service.region if path else ""
        known: SealStatus | None = None
        # Only a certificate that leads to a list makes the esID in it more than a claim.
        if self.context.seals is not None and path is not None:
            known = self.context.seals.status(es_id, proof.best)
            if known is None:
                judged.reasons.append(reason("seal-unknown", "INFORM", id=es_id))
        judged.seal = known or SealStatus(es_id, certificate.common_name, region, "unknown")
        if known is not None and self._claims_another(certificate, path, known):
            judged.seal = SealStatus(es_id, certificate.common_name, region, "unknown")
            judged.reasons.append(reason("seal-not-its-own", "WARN", id=es_id, name=known.name))
            return
        if known is None or known.status == "in-force":
            self._revoked_later(judged, es_id)
            return
        since = rfc3339(known.since) or "?"
        code = {"revoked": "seal-revoked", "suspended": "seal-suspended", "expired": "seal-expired"}.get(known.status)
        if code is None:
            judged.reasons.append(reason("seal-not-in-force", "WARN", name=known.name, state=known.status))
        else:
            judged.reasons.append(reason(code, "WARN", name=known.name, since=since))

    def _claims_another(self, certificate: Certificate, path: Path | None, known: SealStatus) -> bool:
        """Whether a certificate carries the esID of a seal that is not its own: anybody's CA can write any esID."""
        if known.keys and certificate.public_key.fingerprint not in known.keys:
            return True
        regions = {s.region for s in self.context.trust.exactly(path.certificates[-1])} if path else set()
        return bool(regions - {""}) and known.region not in regions

    def _revoked_later(self, judged: Judged, es_id: str) -> None:
        """Say so where the seal has since been revoked and the proven time saves the document."""
        if self.context.seals is None or judged.proof is None or judged.proof.proven is None:
            return
        today = self.context.seals.status(es_id, self.now)
        if today is not None and today.status == "revoked":
            judged.reasons.append(reason("seal-revoked-later", "INFORM", name=today.name, since=rfc3339(today.since) or "?"))

    def _impression(self) -> list[Reason]:
        """Whether the issuer still stands by this sealed document: the register knows it by the digest of what was issued."""
        register = self.context.impressions
        if register is None:
            return []
        for digest in self.digests:
            known: ImpressionStatus | None = register.status(digest)
            if known is None or known.status == "valid":
                continue
            code = "impression-replaced" if known.status == "replaced" else "impression-voided"
            return [reason(code, "WARN", since=rfc3339(known.since) or "?")]
        return []

    @cached_property
    def digests(self) -> list[str]:
        """SHA-256 of what this file is or has been: the signed revisions, the whole file, the other revisions."""
        data = self.document.data
        covered = [hashlib.sha256(data[: j.signature.covered_end]).hexdigest() for j in self.judged if j.signature.byte_range]
        return list(dict.fromkeys([*covered, *_revision_digests(data)]))

    def _licence_block(
        self, licence: licence_files.LicenceData | None
    ) -> tuple[dict[str, Any] | None, Reason | answer.Part | None]:
        return licence_files.judge(licence, lambda: self.digests, self._sealers(), self.context, self.now)

    def _sealers(self) -> list[licence_files.Sealer]:
        """Whose seals are on the document: only those that hold, and that a list vouches for."""
        found = []
        for one in self.judged:
            certificate, path = one.examined.certificate, one.trusted.path
            if certificate is None or path is None or one.signature.is_timestamp or not one.intact:
                continue
            with suppress(XinyinError):  # a name with other parts names no organ of ours
                organ = Subject.of(certificate).organization_identifier
                found.append(licence_files.Sealer(path.service.region, organ))
        return found

    # Conclusion

    def _conclude(self, everything: list[Judged], licence: licence_files.LicenceData | None) -> dict[str, Any]:
        self.findings += self._impression()
        verdict, sub = self._worst(everything)
        block, licence_finding = self._licence_block(licence)
        matter, contradiction = self._matter(licence)
        if contradiction is not None and isinstance(licence_finding, answer.Part):
            licence_finding = contradiction
        blocks = [_signature_block(j, self.document, self.context, matter) for j in everything]
        if not self.context.trust.services():
            self.findings.append(reason("trust-empty", "WARN"))
        hard = conclude(r for r in self.findings if r.level == "FAIL")
        if hard[0] is not Verdict.TOTAL_PASSED and verdict is not Verdict.TOTAL_FAILED:
            verdict, sub = hard
        reasons = list(self.findings)
        for judged in everything:
            reasons += judged.all_reasons()
        reasons += matter.reasons
        parts = (licence_finding, matter.part)
        found = _verdict(self.name, verdict, sub, reasons, blocks, block, parts, self.context)
        attached = licence_files.attached(self.document, self.context.policy)
        return found | ({"attachments": attached} if attached else {})

    def _matter(self, licence: licence_files.LicenceData | None) -> tuple[recognition.ForMatter, Reason | None]:
        """Whether this kind of document, from where its seals come from, counts here for the matter."""
        claimed = (licence.fields or {}).get("ZZLXDM") if licence else None
        identifier = licence.identifier if licence else ""
        kind, contradiction = recognition.type_of(identifier, claimed if isinstance(claimed, str) else None)
        regions = [j.trusted.path.service.region for j in self.judged if j.trusted.path]
        found = recognition.judge(self.context, kind, regions)
        copy = annotated.read(licence.fields or {}) if licence else None
        return (found if copy is None else annotated.limited(found, copy, self.context)), contradiction

    def _worst(self, everything: list[Judged]) -> tuple[Verdict, str | None]:
        """The worst signature counts. A document timestamp is nobody's seal: only a broken one counts against the file."""
        order = (Verdict.TOTAL_FAILED, Verdict.INDETERMINATE, Verdict.TOTAL_PASSED)
        results = []
        for judged in everything:
            result = conclude(judged.all_reasons())
            if judged.signature.is_timestamp and result[0] is not Verdict.TOTAL_FAILED:
                continue
            results.append(result)
        return min(results, key=lambda r: order.index(r[0]))


def _verdict(
    name: str,
    verdict: Verdict,
    sub_indication: str | None,
    reasons: list[Reason],
    signatures: list[dict[str, Any]],
    licence: dict[str, Any] | None,
    parts: tuple[Reason | answer.Part | None, answer.Part | None] | None,
    context: VerificationContext,
) -> dict[str, Any]:
    """The verdict JSON of the design."""
    licence_finding, matter = parts or (None, None)
    shown = {(r.code, r.message): r for r in reasons if r.level != "IGNORE"}
    if isinstance(licence_finding, Reason):
        shown[licence_finding.code, licence_finding.message] = licence_finding
    return {
        "file": name,
        "verdict": str(verdict),
        "sub_indication": sub_indication,
        "answer": answer.compose(verdict, list(shown.values()), signatures, licence_finding, matter),
        "reasons": [r.to_dict() for r in shown.values()],
        "signatures": signatures,
        "licence": licence,
        "trust": {"lists": context.trust.report(context.time()), "problems": [p.to_dict() for p in context.trust.problems]},
        "engine": {"version": VERSION, "policy": context.policy.label},
    }


def _signature_block(
    judged: Judged, document: PdfDocument, context: VerificationContext, matter: recognition.ForMatter
) -> dict[str, Any]:
    signature, examined, trusted = judged.signature, judged.examined, judged.trusted
    reasons = judged.all_reasons()
    indication, sub = conclude(reasons)
    certificate = examined.certificate
    chain_certificates = trusted.partial or ([certificate] if certificate else [])
    proven = judged.proof.proven if judged.proof else None
    if signature.is_timestamp and proven is None and indication is Verdict.TOTAL_PASSED:
        indication, sub = Verdict.INDETERMINATE, "NO_CERTIFICATE_CHAIN_FOUND"
    return {
        "field": signature.field,
        "format": _format(judged, document),
        "algorithm": examined.algorithm,
        "indication": str(indication),
        "sub_indication": sub,
        "reasons": [r.to_dict() for r in reasons],
        "intact": judged.intact,
        "covers_whole_file": signature.covered_end == len(document.data),
        "changes_after": judged.severity.label,
        "signer": _names(certificate),
        "claimed_time": rfc3339(examined.claimed_time),
        "proven_time": rfc3339(proven),
        "seal": _seal_block(judged.seal),
        "chain": [_certificate_block(c) for c in chain_certificates[:10]],
        "recognition": recognition.block(trusted.path.service if trusted.path else None, matter, context),
    }


def _format(judged: Judged, document: PdfDocument) -> str:
    """PAdES-B-B … PAdES-B-LTA (EN 319 142-1 §6), GM-… where SM2 signs, PKCS7, DOC-TIMESTAMP; else PDF-NOT-ETSI."""
    signature, view = judged.signature, judged.examined.view
    if signature.is_timestamp or signature.format != "PAdES" or view is None:
        return signature.format
    if len(view.signers) != 1:
        return "PDF-NOT-ETSI"
    family = "GM35275" if view.gm35275 else "GM" if judged.examined.algorithm.startswith("sm2") else "PAdES"
    level = "B"
    later = [s for s in document.signatures if s.is_timestamp and s.covered_end > signature.covered_end]
    if judged.examined.signer is not None and (judged.examined.signer.timestamp_tokens or later):
        level = "T"
        if pdf.get(document.pdf.Root, "/DSS") is not None:
            level = "LTA" if later else "LT"
    return f"{family}-B-{level}"


def _names(certificate: Certificate | None) -> dict[str, Any]:
    try:
        if certificate is not None:
            return {"subject": certificate.subject, "issuer": certificate.issuer, "serial": certificate.serial_hex}
    except XinyinError:
        pass
    return {"subject": "", "issuer": "", "serial": ""}


def _certificate_block(certificate: Certificate) -> dict[str, Any]:
    block = _names(certificate)
    try:
        block["not_before"], block["not_after"] = rfc3339(certificate.not_before), rfc3339(certificate.not_after)
    except XinyinError:
        block["not_before"] = block["not_after"] = None
    block["sha256"] = certificate.sha256
    return block


def _seal_block(seal: SealStatus | None) -> dict[str, Any] | None:
    if seal is None:
        return None
    return {"id": seal.id, "name": seal.name, "region": seal.region, "status": seal.status, "since": rfc3339(seal.since)}


def _is_large(rect: list[float]) -> bool:
    """Whether a rectangle in points exceeds the largest seal (50 mm across, with room around it)."""
    return abs(rect[2] - rect[0]) * abs(rect[3] - rect[1]) > _LARGEST_SEAL**2


def _overlap_share(a: list[float], b: list[float]) -> float:
    """Share of rectangle ``a`` that ``b`` covers."""
    ax0, ax1, ay0, ay1 = *sorted((a[0], a[2])), *sorted((a[1], a[3]))
    bx0, bx1, by0, by1 = *sorted((b[0], b[2])), *sorted((b[1], b[3]))
    width, height = min(ax1, bx1) - max(ax0, bx0), min(ay1, by1) - max(ay0, by0)
    area = (ax1 - ax0) * (ay1 - ay0)
    return width * height / area if width > 0 and height > 0 and area > 0 else 0.0


def _revision_digests(data: bytes) -> list[str]:
    """SHA-256 of every revision of the file, hex, the whole file first."""
    whole = hashlib.sha256()
    digests: list[str] = []
    position = 0
    for match in list(re.finditer(rb"%%EOF(\r\n|\n|\r)?", data))[:_MAX_REVISIONS]:
        for end in sorted({match.end() - len(match.group(1) or b""), match.end()}):
            whole.update(memoryview(data)[position:end])
            position = end
            digests.append(whole.hexdigest())
    whole.update(memoryview(data)[position:])
    return list(dict.fromkeys([whole.hexdigest(), *reversed(digests)]))
