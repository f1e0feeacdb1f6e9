"""SD-JWT VCs in the verifier: what the holder shows is judged like any licence, and nothing else is told of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import jose, sdjwt
from formats.sdjwt import Hidden
from formats.statuslist import ref_to_json
from tests.presented_world import DAY, HOST, IDENTIFIER, Counter, Region, decision, found, now
from verify.credential import verify_sd_jwt

AUDIENCE, NONCE = "https://zhejiang.example/verify", "n-0S6_WzA2Mj"


@pytest.fixture
def region() -> Region:
    return Region()


class Wallet:
    """A wallet with one credential of the region, with the claims that ``licences`` gives it."""

    def __init__(self, region: Region, **changes: Any) -> None:
        self.key = SoftwareKey.generate(Suite.P256)
        claims: dict[str, Any] = {
            "iss": f"https://{HOST}", "vct": "urn:xinyin:vct:business-licence", "iat": int((now() - DAY).timestamp()),
            "exp": int((now() + 29 * DAY).timestamp()), "status": ref_to_json(region.place()),
            "licence_identifier": IDENTIFIER, "licence_type": "营业执照", "issuing_authority": "云江市市场监督管理局",
            "issuing_region": region.region, "role": "representative", "sample": True, "bearer": Hidden("样本 李店主"),
            "name": Hidden("云江市青禾信息科技有限公司"), "uscc": Hidden("91310000MA1FL00000"), "capital": Hidden("500万元"),
        }  # fmt: skip
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        kid = region.credentials.public_key.fingerprint
        header = {"typ": "dc+sd-jwt", "kid": kid}
        self.credential = sdjwt.issue(claims, region.credentials, header=header, holder=self.key.public_key)

    def present(self, *names: str, key: SoftwareKey | None = None, nonce: str = NONCE, ago: float = 0) -> str:
        shown = sdjwt.present(self.credential, lambda path: path[0] in names)
        at = datetime.now(UTC) - timedelta(seconds=ago)
        return sdjwt.bind(shown, key or self.key, audience=AUDIENCE, nonce=nonce, at=at)


def _verify(counter: Counter, text: str, **more: Any) -> dict[str, Any]:
    return verify_sd_jwt(text, context=counter.context(**more), audience=AUDIENCE, nonce=NONCE)


def test_a_presentation_is_accepted_and_tells_only_what_was_shown(region: Region) -> None:
    verdict = _verify(Counter(region), Wallet(region).present("name", "bearer"))
    assert (decision(verdict), verdict["verdict"]) == ("accept", "TOTAL-PASSED"), verdict["answer"]
    assert verdict["disclosed"] == {"name": "云江市青禾信息科技有限公司"}
    assert verdict["licence"]["type"] == "营业执照"
    assert verdict["licence"]["number"] == ""
    assert verdict["presentation"]["bearer"] == "样本 李店主"
    assert "500万元" not in str(verdict)


@pytest.mark.parametrize(
    "how",
    [{"key": SoftwareKey.generate(Suite.P256)}, {"nonce": "another"}, {"ago": 3600}, {"ago": -3600}],
    ids=["strangers-key", "nonce", "old", "future"],
)
def test_a_presentation_by_another_or_for_another_question_is_refused(region: Region, how: dict[str, Any]) -> None:
    verdict = _verify(Counter(region), Wallet(region).present("name", **how))
    assert (decision(verdict), verdict["verdict"], found(verdict)) == ("refuse", "TOTAL-FAILED", {"not-bound"})


def test_a_copied_credential_without_its_key_is_refused(region: Region) -> None:
    verdict = _verify(Counter(region), Wallet(region).credential)
    assert (decision(verdict), found(verdict)) == ("refuse", {"not-bound"})


def test_withdrawn_expired_and_not_yet_valid_ones_are_refused(region: Region) -> None:
    counter = Counter(region)
    assert "copy-expired" in found(_verify(counter, Wallet(region, exp=int((now() - DAY).timestamp())).present()))
    early = _verify(counter, Wallet(region, nbf=int((now() + DAY).timestamp())).present())
    assert (decision(early), found(early)) == ("refuse", {"copy-not-yet"})
    region.states = {7: 1}
    withdrawn = _verify(Counter(region), Wallet(region).present())
    assert (decision(withdrawn), found(withdrawn)) == ("refuse", {"status-withdrawn"})


def test_an_altered_one_is_refused_and_a_strangers_not_accepted(region: Region) -> None:
    wallet, stranger = Wallet(region), Region()
    altered = dict(jose.claimed(wallet.credential.split("~")[0], max_payload=100_000)[1]) | {"role": "holder"}
    kid = {"typ": "dc+sd-jwt", "kid": region.credentials.public_key.fingerprint}
    forged = jose.sign(kid, altered, stranger.credentials) + "~"
    verdict = _verify(Counter(region), sdjwt.bind(forged, wallet.key, audience=AUDIENCE, nonce=NONCE, at=now()))
    assert (decision(verdict), "code-altered" in found(verdict)) == ("refuse", True)
    strange = _verify(Counter(stranger), wallet.present())
    assert (decision(strange), "code-not-confirmed" in found(strange)) == ("check", True)


def test_an_issuer_address_that_no_list_names_is_refused(region: Region) -> None:
    verdict = _verify(Counter(region), Wallet(region, iss="https://evil.example").present())
    assert (decision(verdict), found(verdict)) == ("refuse", {"code-fake-domain"})


def test_staff_outside_their_matters_are_refused(region: Region) -> None:
    wallet = Wallet(region, role="staff", matters=["tax-registration"])
    verdict = _verify(Counter(region), wallet.present("bearer"), matter="open-bank-account")
    assert (decision(verdict), "bearer-outside-matters" in found(verdict)) == ("refuse", True)


@pytest.mark.parametrize(
    "changes",
    [{"vct": None}, {"licence_identifier": None}, {"iat": None}, {"matters": "all"}, {"status": {}}, {"exp": "soon"}],
    ids=str,
)
def test_a_credential_of_another_form_gives_a_verdict_in_words(region: Region, changes: dict[str, Any]) -> None:
    verdict = _verify(Counter(region), Wallet(region, **changes).present())
    assert (decision(verdict), verdict["verdict"]) == ("check", "UNREADABLE")
    assert verdict["answer"]["document"]["message_zh"]


def test_any_text_gives_a_verdict(region: Region) -> None:
    for text in ("", "~", "eyJ~", "x" * 300_000, "https://yunjiang.example/v#AAAA"):
        assert _verify(Counter(region), text)["verdict"] == "UNREADABLE"
