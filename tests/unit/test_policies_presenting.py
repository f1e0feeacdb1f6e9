"""What licences are shown for: one list of matters, which a node may add to."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies import presenting


def test_the_shipped_matters_have_names_in_both_languages() -> None:
    known = presenting.matters()
    assert {"open-bank-account", "road-transport-permit", "food-business-permit", "tax-registration"} <= set(known)
    assert {"disability-benefit", "park-entry"} <= set(known)
    assert all(one.zh and one.en and one.code == code for code, one in known.items())
    assert known["open-bank-account"].zh == "开立银行账户"


def test_a_node_adds_matters_and_rewords_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "presenting.toml").write_text(
        '[matters.ferry]\nzh = "轮渡优惠"\nen = "Ferry"\n[matters.park-entry]\nzh = "公园"\nen = "Park"\n', encoding="utf-8"
    )
    known = presenting.matters(tmp_path)
    assert known["ferry"].zh == "轮渡优惠"
    assert known["park-entry"].en == "Park"
    assert "ferry" not in presenting.matters()


@pytest.mark.parametrize(
    "text",
    [
        "[matters.x",
        '[matters.UP]\nzh = "甲"\nen = "A"',
        '[matters.ferry]\nzh = "甲"',
        '[other]\nzh = "甲"',
        "[matters.ferry]\nzh = 1\nen = 2",
    ],
)
def test_a_list_that_cannot_be_used_says_why(tmp_path: Path, text: str) -> None:
    (tmp_path / "presenting.toml").write_text(text, encoding="utf-8")
    with pytest.raises(presenting.BadPresenting) as caught:
        presenting.matters(tmp_path)
    assert "presenting.toml" in caught.value.message


def test_an_unknown_code_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(presenting.UnknownMatter) as caught:
        presenting.matter("fly-to-the-moon")
    assert "open-bank-account" in caught.value.message
    assert "开立银行账户" in caught.value.message_zh
