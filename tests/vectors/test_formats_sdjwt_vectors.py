"""RFC 9901's own credential, and the test cases of the reference implementation, run with it and with ours in every pairing."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import jose, sdjwt

_ROOT = Path(os.environ.get("XINYIN_CORPUS", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
FOLDER = _ROOT / "credentials" / "sd-jwt"
CASES = sorted(FOLDER.glob("tests_testcases_*_specification.yml"))
ISSUER, HOLDER = SoftwareKey.generate(Suite.P256), SoftwareKey.generate(Suite.P256)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CASES, reason="the reference implementation's cases are not here (XINYIN_CORPUS, ../shared/data)"),
]


def _case(path: Path) -> dict[str, Any]:
    specification = pytest.importorskip("sd_jwt.utils.yaml_specification", reason="sd-jwt is not installed")
    found: dict[str, Any] = specification.load_yaml_specification(str(path))
    return found


def _hidden(value: Any) -> Any:
    """Their marks as ours: they mark a member's name, we its value."""
    from sd_jwt.common import SDObj

    if isinstance(value, dict):
        return {
            (k.value if isinstance(k, SDObj) else k): sdjwt.Hidden(_hidden(v)) if isinstance(k, SDObj) else _hidden(v)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [sdjwt.Hidden(_hidden(v.value)) if isinstance(v, SDObj) else _hidden(v) for v in value]
    return value


def _wanted(disclosed: Any) -> Any:
    """Their description of what to show as a predicate on paths."""

    def at(path: sdjwt.Path) -> bool:
        here: Any = disclosed
        for step in path:
            if here is True:
                return False  # shown as a whole, its own parts are not asked for
            if isinstance(here, dict):
                here = here.get(step)
            elif isinstance(here, list):
                here = here[step] if isinstance(step, int) and step < len(here) else None
            else:
                return False
        return here not in (None, False, "None")

    return at


def _jwk(key: SoftwareKey) -> Any:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_der_private_key,
    )
    from jwcrypto.jwk import JWK

    pem = load_der_private_key(key.to_pkcs8(), None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return JWK.from_pem(pem)


def _theirs(case: dict[str, Any]) -> str:
    from sd_jwt.issuer import SDJWTIssuer

    bound = _jwk(HOLDER) if case.get("key_binding") else None
    issued = SDJWTIssuer(case["user_claims"], _jwk(ISSUER), bound, add_decoy_claims=case.get("add_decoy_claims", False))
    return str(issued.sd_jwt_issuance)


def _ours(case: dict[str, Any]) -> str:
    bound = HOLDER.public_key if case.get("key_binding") else None
    return sdjwt.issue(_hidden(case["user_claims"]), ISSUER, header={"typ": "example+sd-jwt"}, holder=bound)


def _shown_by_them(text: str, case: dict[str, Any]) -> str:
    from sd_jwt.holder import SDJWTHolder

    holder = SDJWTHolder(text)
    asked = ("nonce-1", "https://counter.example", _jwk(HOLDER)) if case.get("key_binding") else (None, None, None)
    holder.create_presentation(case["holder_disclosed_claims"], *asked)
    return str(holder.sd_jwt_presentation)


def _shown_by_us(text: str, case: dict[str, Any]) -> str:
    shown = sdjwt.present(text, _wanted(case["holder_disclosed_claims"]))
    if not case.get("key_binding"):
        return shown
    return sdjwt.bind(shown, HOLDER, audience="https://counter.example", nonce="nonce-1", at=datetime.now(UTC))


def _read_by_them(text: str, case: dict[str, Any]) -> dict[str, Any]:
    from sd_jwt.verifier import SDJWTVerifier

    asked = ("https://counter.example", "nonce-1") if case.get("key_binding") else (None, None)
    found: dict[str, Any] = SDJWTVerifier(text, lambda *_: _jwk(ISSUER), *asked).get_verified_payload()
    return found


def _read_by_us(text: str, case: dict[str, Any]) -> dict[str, Any]:
    asked = {"audience": "https://counter.example", "nonce": "nonce-1"} if case.get("key_binding") else {}
    return dict(sdjwt.verify(text, [ISSUER.public_key], at=datetime.now(UTC), **asked).claims)


@pytest.mark.parametrize("reader", [_read_by_them, _read_by_us], ids=["read-by-them", "read-by-us"])
@pytest.mark.parametrize("holder", [_shown_by_them, _shown_by_us], ids=["shown-by-them", "shown-by-us"])
@pytest.mark.parametrize("issuer", [_theirs, _ours], ids=["issued-by-them", "issued-by-us"])
@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem.removeprefix("tests_testcases_").removesuffix("_specification"))
def test_every_case_ends_in_the_same_claims_whoever_issues_shows_and_reads(
    path: Path, issuer: Any, holder: Any, reader: Any
) -> None:
    case = _case(path)
    found = reader(holder(issuer(case), case), case)
    found.pop("cnf", None)
    assert found == case["expect_verified_user_claims"]


def test_the_credential_of_rfc_9901_a3_is_read_and_its_signature_holds() -> None:
    text = (FOLDER / "interop_sd_jwt_vc_rfc9901-a3-sd-jwt-vc.txt").read_text("ascii").strip()
    key = jose.public_key(json.loads((FOLDER / "interop_sd_jwt_vc_rfc9901-a5-issuer-key.json").read_text("ascii")))
    found = sdjwt.verify(text, [key], at=NOW)
    assert sdjwt.check_vc(found) == "urn:eudi:pid:de:1"
    assert found.claims["family_name"] == "Mustermann"
    assert found.claims["address"]["locality"] == "Köln"
    assert found.claims["age_equal_or_over"]["18"] is True
    shown = sdjwt.verify(sdjwt.present(text, lambda path: path == ("age_equal_or_over", "18")), [key], at=NOW)
    assert shown.claims["age_equal_or_over"] == {"18": True}
    assert "family_name" not in shown.claims
    with pytest.raises(sdjwt.OutOfTime):
        sdjwt.verify(text, [key], at=datetime(2030, 1, 1, tzinfo=UTC))
    with pytest.raises(sdjwt.BadSdJwt):
        sdjwt.verify(text, [ISSUER.public_key], at=NOW)
