"""The ETSI report says what the verdict says, in the standard's names."""

from __future__ import annotations

import json

from crypto.suites import Suite
from tests.verify_world import World
from verify.report import etsi
from verify.service import verify_bytes


def test_a_report_carries_indications_certificates_and_times_of_every_signature() -> None:
    world = World(Suite.P256)
    document = world.sealed("B", document=world.sealed("LTA"), y_mm=150)
    verdict = verify_bytes(document, name="x.pdf", context=world.context())
    report = json.loads(json.dumps(etsi(verdict)))["ValidationReport"]
    found = report["SignatureValidationReport"]
    assert [r["SignatureIdentifier"]["SignatureField"] for r in found] == [s["field"] for s in verdict["signatures"]]
    assert {r["SignatureValidationStatus"]["MainIndication"] for r in found} == {"urn:etsi:019102:mainindication:total-passed"}
    assert found[0]["ValidationTimeInfo"]["BestSignatureTime"]["POETime"] == verdict["signatures"][0]["proven_time"]
    known = {o["id"] for o in report["SignatureValidationObjects"]["ValidationObject"]}
    assert {c for r in found for c in r["SignerInformation"]["SignerCertificate"]} <= known


def test_failures_carry_their_sub_indication_and_reasons() -> None:
    world = World(Suite.P256)
    document = world.sealed("B").replace(b"/MediaBox", b"/MediaBoX")
    verdict = verify_bytes(document, name="x.pdf", context=world.context())
    status = etsi(verdict)["ValidationReport"]["SignatureValidationReport"][0]["SignatureValidationStatus"]
    assert status["MainIndication"].endswith(":total-failed")
    assert status["SubIndication"] == ["urn:etsi:019102:subindication:HASH_FAILURE"]
    assert "HASH_FAILURE" in {d["Code"] for d in status["AssociatedValidationReportData"][0]["ValidationReportData"]}


def test_a_file_without_signature_has_a_report_too() -> None:
    verdict = verify_bytes(b"", name="x", context=World(Suite.P256).context())
    status = etsi(verdict)["ValidationReport"]["SignatureValidationReport"][0]["SignatureValidationStatus"]
    assert status["SubIndication"] == []
    assert status["AssociatedValidationReportData"][0]["ValidationReportData"][0]["Code"] == "empty"
