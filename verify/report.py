"""The verdict as a validation report after ETSI TS 119 102-2 (``--report etsi``), for programs that read such reports.

Main indications and sub-indications are the URNs of EN 319 102-1, names are those of the standard's JSON; what the standard has
no place for (the answer, changes after signing, reasons in Chinese) stands beside them under names of our own.
"""

from __future__ import annotations

from typing import Any

_MAIN = "urn:etsi:019102:mainindication:"
_SUB = "urn:etsi:019102:subindication:"
_PROCESS = "urn:etsi:019102:validationprocess:LTVM"


def etsi(verdict: dict[str, Any]) -> dict[str, Any]:
    """TS 119 102-2 §4: one SignatureValidationReport a signature, then the certificates as validation objects."""
    objects: dict[str, dict[str, Any]] = {}
    reports = [_signature(s, verdict, objects) for s in verdict["signatures"]]
    if not reports:
        reports = [{"SignatureValidationStatus": _status(verdict["verdict"], verdict["sub_indication"], verdict["reasons"])}]
    return {
        "ValidationReport": {
            "SignatureValidationReport": reports,
            "SignatureValidationObjects": {"ValidationObject": list(objects.values())},
            "SignatureValidator": {"DigitalId": [], "TSPInformation": {"TSPName": f"Xinyin {verdict['engine']['version']}"}},
        },
        "File": verdict["file"],
        "Verdict": verdict["verdict"],
        "Answer": verdict["answer"],
    }


def _signature(signature: dict[str, Any], verdict: dict[str, Any], objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    for block in signature["chain"]:
        objects.setdefault(
            block["sha256"],
            {
                "id": f"C-{block['sha256']}",
                "ObjectType": "urn:etsi:019102:validationObject:certificate",
                "ValidationObjectRepresentation": {
                    "DigestAlgAndValue": {
                        "DigestMethod": "http://www.w3.org/2001/04/xmlenc#sha256",
                        "DigestValue": block["sha256"],
                    }
                },
                "Subject": block["subject"],
            },
        )
    chain = [f"C-{block['sha256']}" for block in signature["chain"]]
    return {
        "SignatureIdentifier": {"DocHashOnly": False, "HashOnly": False, "SignatureField": signature["field"]},
        "ValidationConstraintsEvaluationReport": {"SignatureValidationPolicy": verdict["engine"]["policy"]},
        "ValidationTimeInfo": {
            "BestSignatureTime": {"POETime": signature["proven_time"], "TypeOfProof": "urn:etsi:019102:poetype:validation"}
        },
        "SignerInformation": {
            "SignerCertificate": chain[:1],
            "Signer": signature["signer"]["subject"],
            "Pseudonym": False,
        },
        "SignatureQuality": {"SignatureQualityInformation": [signature["format"]]},
        "SignatureAttributes": {"SigningTime": {"Signed": True, "Time": signature["claimed_time"]}},
        "SignatureValidationProcess": {"SignatureValidationProcessID": _PROCESS},
        "SignatureValidationStatus": _status(
            signature["indication"], signature["sub_indication"], signature["reasons"], chain, signature
        ),
    }


def _status(
    indication: str,
    sub_indication: str | None,
    reasons: list[dict[str, str]],
    chain: list[str] | None = None,
    signature: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """§4.2.4: MainIndication, SubIndication, and the data that explain them."""
    main = {
        "TOTAL-PASSED": "total-passed",
        "TOTAL-FAILED": "total-failed",
        "INDETERMINATE": "indeterminate",
        "NO-SIGNATURE": "no-signature-found",
        "UNREADABLE": "indeterminate",
    }[indication]
    data: dict[str, Any] = {
        "ValidationReportData": [{"Code": r["code"], "Message": r["message"], "MessageZh": r["message_zh"]} for r in reasons]
    }
    if chain:
        data["CertificateChain"] = {"SigningCertificate": chain[0], "IntermediateCertificate": chain[1:]}
    if signature is not None:
        weak = bool({r["code"] for r in reasons} & {"algorithm-weak", "algorithm-unknown"})
        data["CryptoInformation"] = {"Algorithm": signature["algorithm"], "SecureAlgorithm": not weak}
        data["ChangesAfterSigning"] = signature["changes_after"]
    return {
        "MainIndication": _MAIN + main,
        "SubIndication": [_SUB + sub_indication] if sub_indication else [],
        "AssociatedValidationReportData": [data],
    }
