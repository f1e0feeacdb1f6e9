"""B-LTA with the node's own CA, OCSP responders and timestamp units, judged offline from what the document carries."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto.suites import Suite, default_scheme
from seals.sealing import KeywordPlacement, Placement, SealingMaterial, seal_pdf
from tests import pdf_judges
from tests.integration.ca_world import World
from tests.pdf_pki import picture
from verify.schemas import VerificationContext
from verify.service import verify_bytes
from verify.trust import TrustStore

APPROVAL = (Path(__file__).resolve().parents[2] / "examples" / "approval.pdf").read_bytes()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.found(tmp_path_factory.mktemp("node"))


def sealed(node: World, suite: Suite) -> bytes:
    generation, certificate = node.seal(suite)
    own = SealingMaterial(
        signer=node.keys.signer(generation.id, "probe"),
        scheme=default_scheme(suite),
        certificate=certificate,
        chain=node.ca.chain(certificate)[1:],
        picture=picture(),
        es_id="31000000000001",
        seal_name="云江市市场监督管理局",
    )
    data = APPROVAL
    for placement in (KeywordPlacement("云江市行政审批局"), Placement(1, 105, 200)):
        data = seal_pdf(
            data,
            own,
            placement,
            when=node.now(),
            format="gm" if suite is Suite.SM2 else "pades",
            level="LTA",
            timestamps=node.ca,
            revocation=node.ca,
        ).data
    return data


@pytest.mark.parametrize("suite", list(Suite))
def test_two_seals_at_b_lta_are_valid_offline_from_the_documents_own_store(node: World, suite: Suite, tmp_path: Path) -> None:
    data = sealed(node, suite)
    anchors = node.ca.anchors()
    context = VerificationContext(trust=TrustStore(anchors=anchors), offline=True)
    verdict = verify_bytes(data, name="approval.pdf", context=context)
    assert [s["indication"] for s in verdict["signatures"]] == ["TOTAL-PASSED"] * 4, verdict["reasons"]
    assert verdict["verdict"] == "TOTAL-PASSED"
    (tmp_path / "sealed.pdf").write_bytes(data)
    assert pdf_judges.qpdf(tmp_path / "sealed.pdf") == []
    if suite is not Suite.SM2:  # pyHanko and poppler know no SM2
        assert pdf_judges.pyhanko_lta(data, anchors) == ("PASSED", "OK")
        assert pdf_judges.pyhanko_lta(data, anchors, years_later=3) == ("PASSED", "OK")
        assert pdf_judges.pdfsig(tmp_path / "sealed.pdf") == [True, True]
