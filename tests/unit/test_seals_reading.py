"""What the text of a page says to whoever seals it: where the seal belongs, and what nobody filled in."""

from __future__ import annotations

import pytest

from seals.reading import Box, Line, left_open, only_a_page_number, spots

LINE_MM = 8.0


def line(text: str, y: float, x: float = 100.0) -> Line:
    """A line whose characters are 5 mm wide and high, the first at ``x``; ``y`` is the top."""
    return Line(text, lambda start, end: (x + 5.0 * start, y, 5.0 * (end - start), 5.0))


def page(*texts: tuple[str, float, float]) -> list[Line]:
    return [line(text, y, x) for text, y, x in texts]


DATES = ["2026 年 11 月 20 日", "2026年11月20日", "二〇二六年十一月二十日", "２０２６年１月２日", "　　年　月　日"]


@pytest.mark.parametrize("date", DATES)
def test_the_seal_belongs_over_organ_and_date(date: str) -> None:
    lines = page(("此复。", 150, 25), ("云江市行政审批局", 160, 110), (date, 169, 130 - 2.5 * len(date)), ("— 2 —", 280, 95))
    (spot,) = spots(lines)
    assert (spot.kind, spot.name) == ("signature-line", "云江市行政审批局")
    assert spot.x_mm == pytest.approx(130, abs=6), "centred on the date"
    assert spot.y_mm == pytest.approx((162.5 + 171.5) / 2), "half-way between organ and date"


@pytest.mark.parametrize(
    "text",
    ["有效期自2026年11月20日至2029年11月19日", "2026年11月20日印发", "于 2026 年 11 月 20 日受理。", "年月日期间"],
)
def test_a_date_in_a_sentence_is_no_signature_line(text: str) -> None:
    assert spots(page(("云江市行政审批局", 160, 110), (text, 169, 100))) == []


def test_a_sentence_above_the_date_is_not_taken_for_an_organ() -> None:
    (spot,) = spots(page(("以上内容，特此证明。", 160, 110), ("2026年11月20日", 169, 110)))
    assert (spot.kind, spot.name) == ("date", "")


def test_an_organ_far_above_or_aside_is_another_matter() -> None:
    date = ("2026年11月20日", 169.0, 130.0)
    assert [s.kind for s in spots(page(("云江市行政审批局", 140, 130), date))] == ["date"]
    assert [s.kind for s in spots(page(("云江市行政审批局", 160, 20), date))] == ["date"]


@pytest.mark.parametrize("text", ["申请单位（盖章）：", "负责人（公　章）", "（此处加盖印章）", "盖章处"])
def test_marks_that_wait_for_a_seal_are_met_in_their_middle(text: str) -> None:
    (spot,) = spots(page((text, 100, 50)))
    assert spot.kind == "stamp-mark"
    assert 50 <= spot.x_mm <= 50 + 5 * len(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("申请人：________", "blank"),
        ("地址：＿＿＿＿号", "blank"),
        ("自　　年　　月　　日起施行", "empty-date"),
        ("XXX 有限公司", "placeholder"),
        ("××市人民政府", "placeholder"),
        ("文号：云审〔〕9号", "placeholder"),
        ("尊敬的{{姓名}}：", "placeholder"),
    ],
)
def test_what_nobody_filled_in_is_pointed_out_where_it_stands(text: str, kind: str) -> None:
    (hit,) = left_open(page((text, 40, 30)))
    assert hit.kind == kind
    assert hit.text in text
    assert hit.box is not None
    assert hit.box[0] == pytest.approx(30 + 5 * text.index(hit.text), abs=10.1)


@pytest.mark.parametrize(
    "text", ["云审〔2026〕9 号", "2026年11月20日", "snake_case 与 a__b", "XX 不够三个", "证号 3101**XXXX", "另有……详见附件"]
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert list(left_open(page((text, 40, 30)))) == []


@pytest.mark.parametrize(
    ("text", "alone"),
    [("", True), ("— 2 —", True), ("第 3 页 共 5 页", True), ("Page 2 of 3", True), ("附件 2", False), ("2 号文件", False)],
)
def test_a_page_number_is_not_content(text: str, alone: bool) -> None:
    assert only_a_page_number(text) is alone


def test_a_line_without_ink_has_no_place() -> None:
    def nowhere(start: int, end: int) -> Box | None:
        return None

    assert spots([Line("2026年11月20日", nowhere)]) == []
    assert Line("   ", nowhere).whole() is None
