"""A licence of one region shown in another: rules there decide by type, region and matter, and verdicts name the rule."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from crypto.suites import Suite
from formats.codes import Claims, encode
from formats.identifiers import LicenceIdentifier
from formats.jose import public_jwk
from policies.recognition import RegionRecognition
from tests.integration.test_verify_reasons import licence_pdf
from tests.node_home import EXAMPLES
from tests.verify_world import DAY, NOW, World, list_key
from trust.schemas import ListContent, TrustedEntity
from trust.service import sign_list
from verify.code import verify_code
from verify.schemas import LicenceStatus, VerificationContext
from verify.service import verify_bytes
from verify.trust import ServiceType, TrustedService, TrustStore, read_list
from verify.worker import IsolatedVerifier

TYPE = "11100000MB0143028R001"
IDENTIFIER = str(LicenceIdentifier.build(type_code=TYPE, issuer_code="11310000MB2F300339", serial="A1"))


class InForce:
    def status(self, identifier: str, at: datetime) -> LicenceStatus | None:
        return LicenceStatus(identifier, "营业执照", "in-force", "", None, "310000", "register")


@pytest.fixture(scope="module")
def zhejiang(tmp_path_factory: pytest.TempPathFactory) -> RegionRecognition:
    home = tmp_path_factory.mktemp("zhejiang")
    shutil.copytree(EXAMPLES / "recognition", home / "recognition")
    return RegionRecognition(home, "330000")


@pytest.fixture(scope="module")
def isolated() -> Iterator[IsolatedVerifier]:
    verifier = IsolatedVerifier(1)
    yield verifier
    verifier.close()


@lru_cache(maxsize=1)
def shanghai() -> World:
    return World(Suite.RSA)


@lru_cache(maxsize=4)
def licence(claimed: str = TYPE) -> bytes:
    return shanghai().sealed("B", document=licence_pdf(IDENTIFIER, ZZLXDM=claimed))


def context(rules: RegionRecognition, matter: str | None, **more: Any) -> VerificationContext:
    return shanghai().context(matter=matter, recognition=rules, licences=InForce(), **more)


@pytest.mark.parametrize(
    ("matter", "decision", "state", "outcome", "rule"),
    [
        ("open-bank-account", "accept", "ok", "accept", "shanghai-business-licence-opens-accounts"),
        ("food-business-permit", "check", "doubt", "conditions", "shanghai-business-licence-food-permit"),
        ("road-transport-permit", "refuse", "bad", "refuse", "road-transport-needs-a-local-branch"),
        ("hire-staff", "check", "doubt", "none", None),
    ],
)
def test_the_same_licence_counts_for_one_matter_and_not_for_another(
    zhejiang: RegionRecognition,
    isolated: IsolatedVerifier,
    matter: str,
    decision: str,
    state: str,
    outcome: str,
    rule: str | None,
) -> None:
    for verify in (verify_bytes, isolated.verify):
        found = verify(licence(), name="licence.pdf", context=context(zhejiang, matter))
        assert found["verdict"] == "TOTAL-PASSED"
        assert (found["answer"]["decision"], found["answer"]["matter"]["state"]) == (decision, state), found["answer"]
        recognised = found["signatures"][0]["recognition"]
        assert (recognised["region"], recognised["matter"]) == ("310000", matter)
        assert (recognised["outcome"], recognised["rule"]) == (outcome, rule)


def test_the_applicant_reads_why_and_the_clerk_what_is_still_needed(zhejiang: RegionRecognition) -> None:
    refused = verify_bytes(licence(), name="l.pdf", context=context(zhejiang, "road-transport-permit"))
    assert "请先在本省设立分支机构" in refused["answer"]["matter"]["message_zh"]
    assert "道路运输许可" in refused["answer"]["matter"]["message_zh"]
    assert "Road transport permit" in refused["answer"]["matter"]["message"]
    assert "matter-not-recognised" in {one["code"] for one in refused["reasons"]}
    conditional = verify_bytes(licence(), name="l.pdf", context=context(zhejiang, "food-business-permit"))
    assert "请同时提交本省经营场所的使用证明" in conditional["answer"]["next_step_zh"]
    recognised = conditional["signatures"][0]["recognition"]
    assert recognised["basis"] == "《浙江省食品经营许可管理规定（样本）》第八条"
    assert recognised["local_type"] == TYPE


def test_a_licence_of_the_own_region_needs_no_rule(tmp_path: Path) -> None:
    found = verify_bytes(licence(), name="l.pdf", context=context(RegionRecognition(tmp_path, "310000"), "hire-staff"))
    assert (found["answer"]["decision"], found["answer"]["matter"]["state"]) == ("accept", "ok")
    assert found["signatures"][0]["recognition"]["rule"] == "own-region"


def test_without_a_matter_nothing_is_asked(zhejiang: RegionRecognition) -> None:
    found = verify_bytes(licence(), name="l.pdf", context=context(zhejiang, None))
    assert found["answer"]["matter"]["state"] == "none"
    assert "outcome" not in found["signatures"][0]["recognition"]


def test_a_licence_whose_metadata_claim_another_type_is_not_accepted_as_either(zhejiang: RegionRecognition) -> None:
    found = verify_bytes(licence("13100000MB0X79995F001"), name="l.pdf", context=context(zhejiang, "open-bank-account"))
    assert found["answer"]["decision"] == "check"
    assert "licence-type-contradiction" in {one["code"] for one in found["reasons"]}
    assert found["answer"]["seal"]["state"] == "ok"


def test_a_plain_anchor_says_nothing_of_a_region(zhejiang: RegionRecognition) -> None:
    trust = TrustStore(anchors=[shanghai().root])
    found = verify_bytes(licence(), name="l.pdf", context=context(zhejiang, "open-bank-account", trust=trust))
    assert (found["answer"]["decision"], found["answer"]["matter"]["state"]) == ("check", "doubt")


@pytest.mark.parametrize(("matter", "decision"), [("open-bank-account", "accept"), ("road-transport-permit", "refuse")])
def test_a_printed_code_is_judged_by_the_same_rules(zhejiang: RegionRecognition, matter: str, decision: str) -> None:
    key = list_key()
    service = TrustedService(
        ServiceType.LICENCE_ISSUER, "样本 证照签发", "310000", jwk=public_jwk(key.public_key), since=NOW - DAY
    )
    content = ListContent(
        "310000", "上海市", 1, NOW, NOW + 30 * DAY, [TrustedEntity("样本机关", [service])], domains=("310000.localhost",)
    )
    trust = TrustStore([read_list(sign_list(content, key), [key.public_key.fingerprint])])
    claims = Claims("云江市市场监督管理局", IDENTIFIER, "营业执照", "样本商店", "91310000", datetime.now(UTC), b"12345678")
    code = encode(claims, key, "310000.localhost")
    found = verify_code(code, context=VerificationContext(trust, matter=matter, recognition=zhejiang, licences=InForce()))
    assert found["answer"]["decision"] == decision, found["answer"]
    assert found["signatures"][0]["recognition"]["outcome"] == decision
