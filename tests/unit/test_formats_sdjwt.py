"""SD-JWT: the holder shows what the holder wants, nobody else can, and every rule of RFC 9901 §7 that is broken is noticed."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import jose, sdjwt
from formats.sdjwt import BadSdJwt, Hidden, NotBound, OutOfTime, bind, check_vc, issue, present, read, verify

ISSUER, HOLDER, STRANGER = (SoftwareKey.generate(Suite.P256) for _ in range(3))
NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
COUNTER, NONCE = "https://zhejiang.example", "n-1"
CLAIMS: dict[str, Any] = {
    "iss": "https://yunjiang.example",
    "vct": "https://yunjiang.example/types/business-licence",
    "iat": int(NOW.timestamp()),
    "exp": int((NOW + timedelta(days=30)).timestamp()),
    "name": Hidden("云江市青禾信息科技有限公司"),
    "capital": Hidden("500万元"),
    "address": Hidden({"city": Hidden("云江市"), "street": Hidden("样本路1号")}),
    "scope": [Hidden("软件开发"), Hidden("技术服务"), "其他"],
    "status": {"status_list": {"idx": 7, "uri": "https://yunjiang.example/status/1"}},
}
TEXT = issue(CLAIMS, ISSUER, header={"typ": "dc+sd-jwt", "kid": "1"}, holder=HOLDER.public_key, decoys=2)


def _shown(
    *paths: sdjwt.Path, nonce: str = NONCE, audience: str = COUNTER, key: SoftwareKey = HOLDER, at: datetime = NOW
) -> str:
    return bind(present(TEXT, lambda path: path in paths), key, audience=audience, nonce=nonce, at=at)


def _check(text: str, at: datetime = NOW) -> sdjwt.SdJwt:
    return verify(text, [STRANGER.public_key, ISSUER.public_key], at=at, audience=COUNTER, nonce=NONCE)


def test_only_what_the_holder_shows_is_read() -> None:
    found = _check(_shown(("name",), ("address", "city"), ("scope", 1)))
    assert found.claims["name"] == "云江市青禾信息科技有限公司"
    assert found.claims["address"] == {"city": "云江市"}
    assert found.claims["scope"] == ["技术服务", "其他"]
    assert "capital" not in found.claims
    assert "500" not in "".join(str(d) for d in found.disclosures)
    assert check_vc(found) == CLAIMS["vct"]


def test_all_of_it_comes_back_when_all_is_shown() -> None:
    def plain(value: Any) -> Any:
        if isinstance(value, Hidden):
            return plain(value.value)
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, list) else value

    found = dict(read(TEXT).claims)
    assert found.pop("cnf") == {"jwk": jose.public_jwk(HOLDER.public_key)}
    assert found == plain(CLAIMS)


def test_decoys_hide_how_many_claims_there_are() -> None:
    assert len(read(TEXT).payload["_sd"]) == 3 + 2
    assert read(TEXT).payload["_sd"] == sorted(read(TEXT).payload["_sd"])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (present(TEXT, lambda _: True), "missing"),
        (_shown(("name",), key=STRANGER), "copied"),
        (_shown(("name",), nonce="n-2"), "somebody else"),
        (_shown(("name",), audience="https://other.example"), "somebody else"),
        (_shown(("name",), at=NOW - timedelta(minutes=12)), "too old"),
        (_shown(("name",), at=NOW + timedelta(minutes=2)), "too old"),
        (
            _shown().replace("~", "~" + read(present(TEXT, lambda p: p == ("name",))).disclosures[0].text + "~", 1),
            "something else",
        ),
    ],
    ids=["no-binding", "stranger", "nonce", "audience", "old", "future", "disclosure-added"],
)
def test_a_presentation_that_the_holder_did_not_make_for_this_question_is_refused(text: str, why: str) -> None:
    with pytest.raises(NotBound, match=why):
        _check(text)


def test_a_binding_of_another_kind_is_refused() -> None:
    shown = present(TEXT, lambda _: False)
    digest = base64.urlsafe_b64encode(hashlib.sha256(shown.encode()).digest()).rstrip(b"=").decode()
    claims = {"iat": int(NOW.timestamp()), "aud": COUNTER, "nonce": NONCE, "sd_hash": digest}
    _check(shown + jose.sign({"typ": "kb+jwt"}, claims, HOLDER))
    for header, body in (
        ({"typ": "JWT"}, claims),
        ({"typ": "kb+jwt"}, {**claims, "iat": "now"}),
        ({"typ": "kb+jwt"}, {"aud": COUNTER}),
    ):
        with pytest.raises((NotBound, BadSdJwt)):
            _check(shown + jose.sign(header, body, HOLDER))


def test_time_is_kept_with_a_minute_for_clocks() -> None:
    _check(_shown(at=NOW + timedelta(days=30)), NOW + timedelta(days=30, seconds=59))
    with pytest.raises(OutOfTime):
        _check(_shown(at=NOW + timedelta(days=31)), NOW + timedelta(days=31))
    early = issue({"nbf": int(NOW.timestamp())}, ISSUER, header={"typ": "x"})
    with pytest.raises(OutOfTime):
        verify(early, [ISSUER.public_key], at=NOW - timedelta(minutes=2))


def test_another_issuers_or_changed_credentials_are_refused() -> None:
    with pytest.raises(BadSdJwt, match="known here"):
        verify(TEXT, [STRANGER.public_key], at=NOW)
    with pytest.raises(BadSdJwt):
        verify(TEXT, [], at=NOW)
    header, _, signature = TEXT.split("~")[0].split(".")
    other = base64.urlsafe_b64encode(json.dumps({"name": "别的公司"}).encode()).rstrip(b"=").decode()
    with pytest.raises(BadSdJwt):
        verify(f"{header}.{other}.{signature}~", [ISSUER.public_key], at=NOW)


def _disclosure(*content: Any) -> tuple[str, str]:
    text = base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
    return text, base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _crafted(payload: dict[str, Any], *disclosures: str) -> str:
    return "~".join([jose.sign({"typ": "dc+sd-jwt"}, payload, ISSUER), *disclosures, ""])


_NAME, _NAME_DIGEST = _disclosure("s", "name", "值")
_AGAIN, _AGAIN_DIGEST = _disclosure("t", "name", "另一值")
_ITEM, _ITEM_DIGEST = _disclosure("s", "项")
_SD, _SD_DIGEST = _disclosure("s", "_sd", ["x"])
_DOTS, _DOTS_DIGEST = _disclosure("s", "...", "x")
_ALG, _ALG_DIGEST = _disclosure("s", "_sd_alg", "sha-256")
_INNER, _INNER_DIGEST = _disclosure("s", "outer", {"_sd": [_NAME_DIGEST]})
_FOUR, _FOUR_DIGEST = _disclosure("s", "a", "b", "c")
_NUMBER, _NUMBER_DIGEST = _disclosure("s", 7, "b")
_DEEP: Any = "x"
for _ in range(60):
    _DEEP = [_DEEP]


@pytest.mark.parametrize(
    "text",
    [
        _crafted({"_sd": [_NAME_DIGEST, _NAME_DIGEST]}, _NAME),
        _crafted({"_sd": [_NAME_DIGEST], "a": {"_sd": [_NAME_DIGEST]}}, _NAME),
        _crafted({"_sd": [_NAME_DIGEST, _INNER_DIGEST]}, _NAME, _INNER),
        _crafted({"_sd": [_NAME_DIGEST]}, _NAME, _NAME),
        _crafted({"_sd": [_NAME_DIGEST]}, _NAME, _ITEM),
        _crafted({"_sd": []}, _NAME),
        _crafted({"_sd": [_NAME_DIGEST], "name": "先有"}, _NAME),
        _crafted({"_sd": [_NAME_DIGEST, _AGAIN_DIGEST]}, _NAME, _AGAIN),
        _crafted({"_sd": [_ITEM_DIGEST]}, _ITEM),
        _crafted({"a": [{"...": _NAME_DIGEST}]}, _NAME),
        _crafted({"a": [{"...": _ITEM_DIGEST, "b": 1}]}, _ITEM),
        _crafted({"...": "x"}),
        _crafted({"a": {"_sd_alg": "sha-256"}}),
        _crafted({"_sd": [_SD_DIGEST]}, _SD),
        _crafted({"_sd": [_DOTS_DIGEST]}, _DOTS),
        _crafted({"_sd": [_ALG_DIGEST]}, _ALG),
        _crafted({"_sd": [_FOUR_DIGEST]}, _FOUR),
        _crafted({"_sd": [_NUMBER_DIGEST]}, _NUMBER),
        _crafted({"_sd": "x"}),
        _crafted({"_sd": [7]}),
        _crafted({"_sd_alg": "md5"}),
        _crafted({"_sd_alg": ["sha-256"]}),
        _crafted({"_sd": [_NAME_DIGEST]}, "!!!"),
        _crafted({"a": _DEEP}),
        _crafted({"exp": "tomorrow"}),
        _crafted({}, *[_NAME] * 600),
        "a" * 300_000 + "~",
        "",
        "~",
        "a.b.c~",
        TEXT.rstrip("~"),
        TEXT + "令牌",
    ],
    ids=range(32),
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_with_one_named_error(text: str) -> None:
    with pytest.raises(BadSdJwt):
        verify(text, [ISSUER.public_key], at=NOW)


@pytest.mark.parametrize("algorithm", ["sha-384", "sha-512"])
def test_other_known_digests_are_read(algorithm: str) -> None:
    made = hashlib.new(algorithm.replace("-", ""), _NAME.encode()).digest()
    digest = base64.urlsafe_b64encode(made).rstrip(b"=").decode()
    assert verify(_crafted({"_sd": [digest], "_sd_alg": algorithm}, _NAME), [ISSUER.public_key], at=NOW).claims == {
        "name": "值"
    }


@pytest.mark.parametrize("claim", ["exp", "status", "vct", "cnf", "iss"])
def test_a_credential_may_not_hide_what_a_verifier_must_see(claim: str) -> None:
    text, digest = _disclosure("s", claim, "x")
    with pytest.raises(BadSdJwt, match="must be seen"):
        check_vc(read(_crafted({"_sd": [digest], **({} if claim == "vct" else {"vct": "urn:x"})}, text)))


def test_a_token_of_another_kind_is_no_credential() -> None:
    for header, payload in (({"typ": "JWT"}, {"vct": "urn:x"}), ({"typ": "dc+sd-jwt"}, {}), ({"typ": "dc+sd-jwt"}, {"vct": 7})):
        with pytest.raises(BadSdJwt):
            check_vc(read(issue({"a": 1}, ISSUER, header=header) if not payload else jose.sign(header, payload, ISSUER) + "~"))


def test_names_that_the_format_needs_cannot_be_issued() -> None:
    for name in ("_sd", "...", "_sd_alg"):
        with pytest.raises(BadSdJwt):
            issue({"a": {name: 1}}, ISSUER, header={})


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdef", min_size=1, max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("ghijk", min_size=1, max_size=4), _VALUES, max_size=4), st.integers(0, 3))
def test_whatever_is_hidden_comes_back_when_it_is_shown(claims: dict[str, Any], decoys: int) -> None:
    hidden = {name: Hidden(value) for name, value in claims.items()}
    assert read(issue(hidden, ISSUER, header={}, decoys=decoys)).claims == claims


@given(st.text(max_size=200))
def test_random_text_never_raises_anything_else(text: str) -> None:
    with pytest.raises(BadSdJwt):
        verify(text, [ISSUER.public_key], at=NOW)
