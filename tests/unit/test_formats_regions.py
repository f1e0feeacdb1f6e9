"""What regions are called: GB/T 2260."""

from __future__ import annotations

import pytest

from formats.regions import region_name


@pytest.mark.parametrize(
    ("code", "english", "chinese"),
    [
        ("310000", "Shanghai", "上海市"),
        ("330000", "Zhejiang", "浙江省"),
        ("450000", "Guangxi", "广西壮族自治区"),
        ("440600", "Guangdong 440600", "广东省 440600"),
    ],
)
def test_a_region_is_called_by_its_name(code: str, english: str, chinese: str) -> None:
    assert region_name(code) == (english, chinese)


@pytest.mark.parametrize("code", ["", "31", "990000", "3100001", "上海", "31000０", "３10000"])
def test_what_is_no_code_stands_for_itself(code: str) -> None:
    assert region_name(code) == (code, code)
