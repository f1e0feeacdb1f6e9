"""Files from elsewhere: a verdict for each, in agreement with what their publishers say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from verify.schemas import VerificationContext
from verify.service import verify_bytes
from verify.trust import TrustStore

pytestmark = pytest.mark.corpus

# file → [(intact, changes_after) of each signature that is not a document timestamp], as the manifest states or implies it.
STATED: dict[str, list[tuple[bool, str]]] = {
    "TEST_ESTEID2018_PAdES_B_enveloped.pdf": [(True, "none")],
    "TEST_ESTEID2018_PAdES_T_enveloped.pdf": [(True, "none")],
    "dss2236-hide.pdf": [(True, "undefined")],
    "dss2554-certified-changes-permitted.pdf": [(True, "none")],
    "extensions-direct.pdf": [(True, "permitted"), (True, "none")],
    "extensions-indirect.pdf": [(True, "permitted"), (True, "none")],
    "extensions-update-direct.pdf": [(True, "permitted"), (True, "none")],
    "extensions-update-indirect.pdf": [(True, "permitted"), (True, "none")],
    "form-update-no-override-appearance-stream-ap-indirect-sneaky.pdf": [(True, "undefined"), (True, "none")],
    "form-update-no-override-appearance-stream-ap-indirect.pdf": [(True, "permitted"), (True, "none")],
    "form-update-original-ap-type-wrong.pdf": [(True, "permitted"), (True, "none")],
    "form-update-override-appearance-stream-ap-indirect-sneaky.pdf": [(True, "undefined"), (True, "none")],
    "form-update-override-appearance-stream-ap-indirect.pdf": [(True, "permitted"), (True, "none")],
    "form-update-override-appearance-stream.pdf": [(True, "permitted"), (True, "none")],
    "hello_signed_INCSAVE_signed.pdf": [(True, "permitted"), (True, "none")],
    "hello_signed_INCSAVE_signed_EDITED.pdf": [(True, "permitted"), (False, "permitted")],
    "minimal-signed-twice-both-created.pdf": [(True, "permitted"), (True, "none")],
    "minimal-signed-twice-second-created.pdf": [(True, "permitted"), (True, "none")],
    "minimal-two-fields-signed-twice.pdf": [(True, "permitted"), (True, "none")],
    "pades-bes.pdf": [(True, "none")],
    "pades-lta-copied-doctst.pdf": [(True, "permitted")],
    "pades-lta-dss-indirect-arrs-test.pdf": [(True, "permitted")],
    "pades-ltv.pdf": [(True, "permitted")],
    "pades-signed-annot-added.pdf": [(True, "annotation")],
    "pdf-double-signer-info.pdf": [(True, "none")],
    "pdf-signed-added-page.pdf": [(True, "undefined")],
    "pdf-signed-corrupted.pdf": [(False, "undefined")],
    "pdf-signed-original.pdf": [(True, "none")],
    "sig-no-signed-attrs.pdf": [(True, "none")],
    "sig-with-ski-sid.pdf": [(True, "none")],
    "tail-uncovered.pdf": [(True, "undefined")],
}


@pytest.fixture(scope="module")
def verdicts(corpus: Path) -> dict[str, dict[str, Any]]:
    context = VerificationContext(trust=TrustStore())
    return {
        path.name: verify_bytes(path.read_bytes(), name=path.name, context=context)
        for folder in ("pdf-signed", "pdf-plain", "ofd", "gm")
        for path in sorted((corpus / folder).iterdir())
    }


def _codes(verdict: dict[str, Any]) -> set[str]:
    return {r["code"] for r in verdict["reasons"]}


@pytest.mark.parametrize("name", sorted(STATED))
def test_integrity_and_changes_agree_with_the_publisher(name: str, verdicts: dict[str, dict[str, Any]]) -> None:
    signatures = [s for s in verdicts[name]["signatures"] if s["format"] != "DOC-TIMESTAMP"]
    assert [(s["intact"], s["changes_after"]) for s in signatures] == STATED[name]


def test_every_file_gets_a_verdict_and_none_an_internal_error(verdicts: dict[str, dict[str, Any]]) -> None:
    assert len(verdicts) > 120
    assert [name for name, v in verdicts.items() if "internal-error" in _codes(v)] == []


def test_without_anchors_nothing_passes_and_nothing_is_accepted(verdicts: dict[str, dict[str, Any]]) -> None:
    assert {v["verdict"] for v in verdicts.values()} == {"INDETERMINATE", "TOTAL-FAILED", "NO-SIGNATURE", "UNREADABLE"}
    assert "accept" not in {v["answer"]["decision"] for v in verdicts.values()}


def test_sneaky_changes_are_undefined_and_fail(verdicts: dict[str, dict[str, Any]]) -> None:
    sneaky = [v for name, v in verdicts.items() if "sneaky" in name]
    assert len(sneaky) == 2
    assert {(v["verdict"], v["sub_indication"]) for v in sneaky} == {("TOTAL-FAILED", "FORMAT_FAILURE")}


def test_published_failures_fail_for_the_published_reason(verdicts: dict[str, dict[str, Any]]) -> None:
    added = verdicts["pdf-signed-added-page.pdf"]
    assert (added["verdict"], added["sub_indication"]) == ("TOTAL-FAILED", "FORMAT_FAILURE")
    assert "page-count" in _codes(added)
    copied = verdicts["pades-lta-copied-doctst.pdf"]
    assert [s["intact"] for s in copied["signatures"]] == [True, False]
    assert verdicts["pdf-double-signer-info.pdf"]["signatures"][0]["format"] == "PDF-NOT-ETSI"
    assert len(verdicts["pdf-double-signer-info.pdf"]["signatures"]) == 1
    assert "signature-empty" in _codes(verdicts["pdf-with-empty-sig.pdf"])
    assert "encapsulated-content" in _codes(verdicts["pdf-sig-with-econtent.pdf"])


def test_unsigned_and_unreadable_files_are_told_apart_by_name(verdicts: dict[str, dict[str, Any]], corpus: Path) -> None:
    plain = {p.name: verdicts[p.name] for p in (corpus / "pdf-plain").iterdir()}
    assert {v["verdict"] for v in plain.values()} == {"NO-SIGNATURE", "UNREADABLE"}
    unreadable = {name: _codes(v) for name, v in plain.items() if v["verdict"] == "UNREADABLE"}
    assert all(codes <= {"password-needed", "damaged"} and codes for codes in unreadable.values()), unreadable
    assert "not-a-document" in _codes(verdicts["malformed-pades.pdf"])


def test_ofd_is_answered_with_its_own_reason(verdicts: dict[str, dict[str, Any]]) -> None:
    ofd = [v for name, v in verdicts.items() if name.endswith(".ofd")]
    assert len(ofd) >= 5
    assert {frozenset(_codes(v)) for v in ofd} == {frozenset({"ofd-not-supported-yet"})}
    assert {v["verdict"] for v in ofd} == {"UNREADABLE"}


def test_levels_are_named(verdicts: dict[str, dict[str, Any]]) -> None:
    first = {name: v["signatures"][0]["format"] for name, v in verdicts.items() if v["signatures"]}
    assert first["pades-bes.pdf"] == "PAdES-B-B"
    assert first["TEST_ESTEID2018_PAdES_T_enveloped.pdf"] == "PAdES-B-T"
    assert first["pades-ltv.pdf"] == "PAdES-B-LTA"
    assert first["sig-with-ski-sid.pdf"] == "PKCS7"


def test_never_milder_than_a_second_opinion(verdicts: dict[str, dict[str, Any]], corpus: Path) -> None:
    """Where pyHanko has an opinion about later changes, ours is at least as severe; where it has none, ours is there."""
    severity = {"none": 0, "permitted": 1, "annotation": 2, "undefined": 3}
    theirs = {"NONE": 0, "LTA_UPDATES": 0, "FORM_FILLING": 1, "ANNOTATIONS": 2, "OTHER": 3}
    explained = {
        "pades-ltv.pdf",  # the publisher's control: valid, with two document timestamps
        "pades-lta-copied-doctst.pdf",  # the publisher finds the signature valid and the timestamp broken, as we do
        "pades-signed-annot-added.pdf",  # the publisher finds an annotation, as we do
        "hello_signed_INCSAVE_signed_EDITED.pdf",  # a transplanted signature: it fails before changes are asked about
    }
    milder, compared, silent = [], 0, 0
    for path in sorted((corpus / "pdf-signed").glob("*.pdf")):
        opinion = _pyhanko_changes(path.read_bytes())
        silent += not opinion
        for signature in verdicts[path.name]["signatures"]:
            level = opinion.get(signature["field"])
            if level is not None:
                compared += 1
                if path.name not in explained and severity[signature["changes_after"]] < theirs[level]:
                    milder.append((path.name, signature["field"], signature["changes_after"], level))
    assert not milder, " ".join(map(str, milder))
    assert compared >= 30, compared
    assert silent >= 3, silent


def _pyhanko_changes(data: bytes) -> dict[str, str]:
    """Field → modification level, of the signatures for which pyHanko can tell."""
    import io

    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign.diff_analysis import DiffResult
    from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature

    found: dict[str, str] = {}
    try:
        embedded: list[EmbeddedPdfSignature] = list(PdfFileReader(io.BytesIO(data), strict=False).embedded_signatures)
    except Exception:  # noqa: BLE001 - it raises what it likes where it has no opinion
        return found
    for signature in embedded:
        try:
            signature.compute_integrity_info()
        except Exception:  # noqa: BLE001
            continue
        result = signature.diff_result
        if result is not None:
            found[signature.field_name] = result.modification_level.name if isinstance(result, DiffResult) else "OTHER"
    return found


def test_what_we_seal_we_accept(corpus: Path) -> None:
    """No false alarm on any outside file: sealed, sealed again with archive material, every seal passes."""
    from crypto.errors import XinyinError
    from crypto.suites import Suite, default_scheme
    from seals.sealing import CentrePlacement, SealingMaterial, seal_pdf
    from tests.verify_world import ES_ID, NOW, World, picture

    world = World(Suite.P256)
    scheme = default_scheme(Suite.P256)
    material = SealingMaterial(world.key("seal"), scheme, world.seal, [world.ca, world.root], picture(), ES_ID, "样本")
    alarms, sealed = [], 0
    for path in sorted((corpus / "pdf-plain").glob("*.pdf")):
        try:
            once = seal_pdf(path.read_bytes(), material, CentrePlacement(1), when=NOW).data
            twice = seal_pdf(once, material, CentrePlacement(1), when=NOW, level="LTA", timestamps=world, revocation=world).data
        except XinyinError:
            continue
        sealed += 1
        first = verify_bytes(once, name=path.name, context=world.context())
        second = verify_bytes(twice, name=path.name, context=world.context())
        found = {r["code"] for r in second["reasons"]} - {"overlap"}  # both seals sit in the middle of the page
        if first["answer"]["decision"] != "accept" or second["verdict"] != "TOTAL-PASSED" or found:
            alarms.append((path.name, _codes(first), found))
    assert alarms == []
    assert sealed >= 55
