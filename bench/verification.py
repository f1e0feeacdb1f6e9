"""Verifying sealed PDFs beside pyHanko, with the same anchor, offline. Ours renders and compares; pyHanko does not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench import peer
from bench.measure import Job, Row, in_turns
from bench.sealing import document
from crypto.suites import Suite
from seals.sealing import Placement, seal_pdf
from tests import pdf_judges
from tests.pdf_pki import NOW, Revocation, Tsa, material, pki
from verify.schemas import VerificationContext
from verify.service import verify_bytes
from verify.trust import TrustStore


def rows(seconds: float) -> Iterator[Row]:
    """One seal, three seals, and a seal at B-LTA judged from its own evidence; RSA-2048, 20 pages."""
    once = _sealed(document(20), 1)
    thrice = _sealed(_sealed(once, 2), 3)
    for name, data, signatures in (("one seal, B-B", once, 1), ("three seals, B-B", thrice, 3)):
        took = in_turns(_jobs(data, signatures), seconds)
        yield Row("verification", f"PDF of 20 pages, {name}", took["ours"], "pyHanko", took["pyHanko"])
    p = pki(Suite.RSA)
    archived = seal_pdf(
        document(20),
        material(Suite.RSA),
        Placement(1, 105, 200),
        when=NOW,
        level="LTA",
        timestamps=Tsa(p),
        revocation=Revocation(p),
    ).data
    ours = partial(verify_bytes, archived, name="x.pdf", context=_context(Suite.RSA))
    verdict = ours()
    if verdict["verdict"] != "TOTAL-PASSED" or pdf_judges.pyhanko_lta(archived, [p.root]) != ("PASSED", "OK"):
        raise RuntimeError(f"the archived document does not verify: {verdict['reasons']}")
    took = in_turns({"ours": ours, "pyHanko": partial(pdf_judges.pyhanko_lta, archived, [p.root])}, seconds)
    yield Row("verification", "PDF of 20 pages, one seal, B-LTA", took["ours"], "pyHanko, PAdES-LTA", took["pyHanko"])
    sm2 = seal_pdf(document(20), material(Suite.SM2), Placement(1, 105, 200), when=NOW, format="gm").data
    jobs = _jobs(once, 1) | {"ours": partial(verify_bytes, sm2, name="x.pdf", context=_context(Suite.SM2))}
    took = in_turns(jobs, seconds / 2)
    yield Row("verification", "PDF of 20 pages, one SM2 seal", took["ours"], "pyHanko, the same with RSA", took["pyHanko"])


def _sealed(data: bytes, number: int) -> bytes:
    return seal_pdf(data, material(Suite.RSA), Placement(number, 105, 200), when=NOW).data


def _context(suite: Suite) -> VerificationContext:
    return VerificationContext(trust=TrustStore(anchors=[pki(suite).root]), offline=True)


def _jobs(data: bytes, signatures: int) -> dict[str, Job]:
    """Both must find every signature intact, else their times mean nothing."""
    root = pki(Suite.RSA).root
    ours = partial(verify_bytes, data, name="x.pdf", context=_context(Suite.RSA))
    verdict = ours()
    if [s["intact"] for s in verdict["signatures"]] != [True] * signatures or not peer.verify(data, [root.der]):
        raise RuntimeError(f"the sealed document does not verify: {verdict['reasons']}")
    return {"pyHanko": partial(peer.verify, data, [root.der]), "ours": ours}
