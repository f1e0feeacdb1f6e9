"""An annotated copy (加注件) counts for its purpose and until its day, however perfect its seal."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from crypto.suites import Suite
from tests.integration.test_verify_reasons import Licences, codes, fresh, judge, licence_pdf, outcome
from tests.verify_world import NOW
from verify.schemas import Recognition

COPY = {
    "JZJZZZ": "持证人 赵*",
    "JZJZZSJ": "20261101093000",
    "JZJZZSY": "办理住房租赁登记",
    "JZJYXQJZSJ": (NOW + timedelta(days=30)).strftime("%Y%m%d"),
    "KZ_JZJBS": "annotated_01",
    "KZ_JZJSXBM": "disability-benefit",
}


class Accepting:
    """Rules under which everything counts: what is left is what the copy says of itself."""

    def judge(self, type_code: str, region: str, matter: str, at: datetime) -> Recognition | None:
        return Recognition("accept", type_code, "Fine.", "认可。", "a-rule")


def of(matter: str | None = None, **changes: str) -> dict[str, Any]:
    world = fresh(Suite.RSA)
    fields = {key: value for key, value in {**COPY, **changes}.items() if value}
    context = world.context(licences=Licences("in-force"), matter=matter, recognition=Accepting())
    return judge(world.sealed("B", document=licence_pdf(**fields)), context)


def test_a_copy_in_time_passes_and_says_what_it_is_for() -> None:
    verdict = of()
    assert outcome(verdict) == ("TOTAL-PASSED", None, "accept")
    assert verdict["licence"]["annotation"]["purpose"] == "办理住房租赁登记"
    assert "仅供“办理住房租赁登记”使用" in verdict["answer"]["licence"]["message_zh"]


@pytest.mark.parametrize(
    ("days", "decision"), [(0, "accept"), (-1, "refuse"), (-400, "refuse")], ids=["its last day", "the day after", "long ago"]
)
def test_a_copy_ends_with_its_last_day(days: int, decision: str) -> None:
    verdict = of(JZJYXQJZSJ=(NOW + timedelta(days=days)).strftime("%Y%m%d"))
    assert verdict["verdict"] == "TOTAL-PASSED"
    assert verdict["answer"]["decision"] == decision
    assert ("purpose-expired" in codes(verdict)) is (decision == "refuse")


def test_a_copy_that_says_no_end_is_to_be_confirmed() -> None:
    verdict = of(JZJYXQJZSJ="")
    assert verdict["answer"]["decision"] == "check"
    assert "purpose-without-end" in codes(verdict)


def test_a_copy_for_another_matter_is_to_be_checked_and_its_own_matter_accepted() -> None:
    own, other = of(matter="disability-benefit"), of(matter="open-bank-account")
    assert own["answer"]["decision"] == "accept"
    assert (other["answer"]["decision"], other["answer"]["matter"]["state"]) == ("check", "doubt")
    assert "残疾人补贴" in other["answer"]["matter"]["message_zh"]
    assert other["answer"]["seal"]["state"] == "ok"  # nothing is wrong with the seal


def test_a_copy_with_no_matter_named_is_to_be_checked_for_any() -> None:
    verdict = of(matter="open-bank-account", KZ_JZJSXBM="")
    assert verdict["answer"]["decision"] == "check"
    assert "办理住房租赁登记" in verdict["answer"]["matter"]["message_zh"]
