"""The draft's own test vectors of Token Status Lists (draft-ietf-oauth-status-list-21), read from the shared corpus."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from formats import cbor, jose
from formats.statuslist import BadStatusList, StatusList, StatusRef, from_json, read_cwt, read_jwt, ref_from_json, to_json

_ROOT = Path(os.environ.get("XINYIN_CORPUS", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
FOLDER = _ROOT / "credentials" / "status-list"
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the drafts' examples are not here (XINYIN_CORPUS, ../shared/data)"),
]


def _text(name: str) -> str:
    return re.sub(r"\s", "", (FOLDER / name).read_text("utf-8"))


def _json(name: str) -> StatusList:
    text = (FOLDER / name).read_text("utf-8").split("encoded:")[-1]
    found = json.loads(re.sub(r"\s", "", text[text.index("{") :]))
    return from_json(found)


def _cbor(name: str) -> StatusList:
    text = (FOLDER / name).read_text("utf-8").split("encoded:")[-1]
    found = cbor.read(bytes.fromhex(re.sub(r"\s", "", text)))
    return StatusList.decompress(found["lst"], found["bits"])


def _named_in_draft(title: str) -> dict[int, int]:
    """``status[i] = 0b…`` of one section of the draft."""
    draft = (FOLDER / "draft-ietf-oauth-status-list.md").read_text("utf-8")
    start = draft.index(title, draft.index("# Test vectors"))
    block = draft[start : draft.index("JSON encoding", start)]
    return {int(i): int(v, 2) for i, v in re.findall(r"status\[(\d+)\]\s*=\s*0b([01]+)", block)}


@pytest.mark.parametrize(
    ("bits", "title", "stem"),
    [
        (1, "## 1-bit", "status_list_encoding1_long"),
        (2, "## 2-bit", "status_list_encoding2_long"),
        (4, "## 4-bit", "status_list_encoding4"),
        (8, "## 8-bit", "status_list_encoding8"),
    ],
)
def test_long_lists_hold_what_the_draft_says_in_both_encodings(bits: int, title: str, stem: str) -> None:
    named = _named_in_draft(title)
    assert len(named) >= 10
    for found in (_json(f"{stem}_json.md"), _cbor(f"{stem}_cbor.md")):
        assert (found.bits, len(found)) == (bits, 1 << 20)
        assert {i: found[i] for i in named} == named
        ours = StatusList.sparse(1 << 20, named, bits)
        assert ours.array == found.array  # and nothing else is set


def test_the_short_examples_are_what_we_would_write() -> None:
    one = StatusList.pack([1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1], 1)
    two = StatusList.pack([1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3], 2)
    assert one.array == bytes([0xB9, 0xA3])
    assert two.array == bytes([0xC9, 0x44, 0xF9])
    assert _json("status_list_encoding_json.md").array == one.array
    assert _cbor("status_list_encoding_cbor.md").array == one.array
    assert _cbor("status_list_encoding2_cbor.md").array == two.array
    assert to_json(one) == {"bits": 1, "lst": "eNrbuRgAAhcBXQ"}


def test_the_status_list_tokens_of_the_draft_are_read_alike() -> None:
    jwt, raw = _text("status_list_jwt_raw.md"), bytes.fromhex(_text("status_list_cwt.md"))
    header, claims = jose.claimed(jwt, max_payload=10_000)
    assert header["typ"] == "statuslist+jwt"
    outer = cbor.read(raw)
    cwt_claims = cbor.read(outer.value[2])
    assert cbor.read(outer.value[0])[16] == "application/statuslist+cwt"
    assert (cwt_claims[2], cwt_claims[6], cwt_claims[4], cwt_claims[65534]) == tuple(
        claims[k] for k in ("sub", "iat", "exp", "ttl")
    )
    found = cwt_claims[65533]
    assert from_json(claims["status_list"]) == StatusList.decompress(found["lst"], found["bits"])


def test_the_tokens_of_the_draft_are_refused_without_the_key_of_their_signer() -> None:
    with pytest.raises(BadStatusList, match="no key"):
        read_jwt(_text("status_list_jwt_raw.md"), [], uri="https://example.com/statuslists/1")
    with pytest.raises(BadStatusList, match="no key"):
        read_cwt(bytes.fromhex(_text("status_list_cwt.md")), [], uri="https://example.com/statuslists/1")


def test_the_referenced_token_of_the_draft_names_its_place() -> None:
    outer = cbor.read(bytes.fromhex(_text("referenced_token_cwt.md")))
    claims = cbor.read(outer.value[2])
    assert ref_from_json(claims[65535]) == StatusRef("https://example.com/statuslists/1", 0)
