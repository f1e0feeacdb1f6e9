"""Licences on paper and on phones in the verifier: what is in order is accepted offline, and each doubt has its words."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
import segno
from PIL import Image, ImageFilter

from cli.main import main
from tests.presented_world import DAY, HOST, IDENTIFIER, Counter, Phone, Region, decision, found, now, printed
from verify.schemas import StatusRef
from verify.worker import IsolatedVerifier


@pytest.fixture
def region() -> Region:
    return Region()


def test_a_phones_code_is_accepted_with_what_the_counter_holds_and_says_how_old_that_is(region: Region) -> None:
    region.list_age = timedelta(hours=5)
    verdict = Counter(region).scan(Phone(region).show())
    assert (decision(verdict), verdict["verdict"]) == ("accept", "TOTAL-PASSED"), verdict["answer"]
    shown = verdict["presentation"]
    assert (shown["kind"], shown["bearer"], shown["bearer_role"], shown["matters"]) == (
        "shown",
        "样本 李店主",
        "representative",
        [],
    )
    assert verdict["licence"]["identifier"] == IDENTIFIER
    assert verdict["licence"]["as_of"] == f"{now() - region.list_age:%Y-%m-%dT%H}" + verdict["licence"]["as_of"][13:]
    assert verdict["licence"]["as_of"] in verdict["answer"]["licence"]["message_zh"]
    assert "距今5 小时" in verdict["answer"]["licence"]["message_zh"]
    assert verdict["signatures"][0]["format"] == "SHOWN-CODE"
    assert verdict["signatures"][0]["recognition"]["region"] == "310000"
    assert "姓名" in verdict["answer"]["next_step_zh"]


def test_a_printed_code_and_an_annotated_copy_are_accepted_and_say_what_they_are(region: Region) -> None:
    counter = Counter(region)
    plain = counter.scan(printed(region))
    assert (decision(plain), plain["presentation"]["kind"]) == ("accept", "printed")
    until = now() + 5 * DAY
    copy = counter.scan(
        printed(region, copy_id="copy_1", purpose="仅用于银行开户", purpose_until=until, matter="open-bank-account"),
        matter="open-bank-account",
    )
    assert copy["presentation"]["kind"] == "annotated"
    assert copy["presentation"]["purpose"] == "仅用于银行开户"
    assert copy["answer"]["licence"]["state"] == "ok"
    assert "purpose-other-matter" not in found(copy)


def test_an_annotated_copy_counts_until_its_date_and_for_its_matter(region: Region) -> None:
    counter = Counter(region)
    over = counter.scan(printed(region, copy_id="c", purpose="仅用于银行开户", purpose_until=now() - DAY))
    assert (decision(over), over["answer"]["matter"]["state"]) == ("refuse", "bad")
    assert "仅用于银行开户" in over["answer"]["matter"]["message_zh"]
    day = {"copy_id": "c", "purpose": "开户", "purpose_until": now() + DAY}
    other = counter.scan(printed(region, **day, matter="open-bank-account"), matter="park-entry")
    assert (decision(other), "purpose-other-matter" in found(other)) == ("check", True)
    words = counter.scan(printed(region, **day), matter="park-entry")
    assert (decision(words), "purpose-in-words" in found(words)) == ("check", True)
    endless = counter.scan(printed(region, copy_id="c", purpose="开户"))
    assert (decision(endless), "purpose-without-end" in found(endless)) == ("check", True)


@pytest.mark.parametrize(
    ("value", "outcome", "code"),
    [(1, "refuse", "status-withdrawn"), (2, "check", "status-suspended"), (3, "refuse", "status-superseded")],
)
def test_what_the_status_list_says_of_a_copy_counts(region: Region, value: int, outcome: str, code: str) -> None:
    region.states = {7: value, 8: 0}
    counter = Counter(region)
    copy = {"copy_id": "c", "purpose": "开户", "purpose_until": now() + DAY}
    of_the_licence = code.replace("status-", "licence-listed-")
    for text, said in ((Phone(region).show(), code), (printed(region, **copy), code), (printed(region), of_the_licence)):
        verdict = counter.scan(text)
        assert decision(verdict) == outcome
        assert said in found(verdict)
        assert verdict["verdict"] == "TOTAL-PASSED"
    assert decision(counter.scan(Phone(region, status=region.place(8)).show())) == "accept"


def test_a_list_past_its_date_is_told_apart_from_none(region: Region) -> None:
    region.list_age = 3 * DAY
    stale = Counter(region).scan(Phone(region).show())
    assert (decision(stale), stale["licence"]["stale"], "licence-status-stale" in found(stale)) == ("check", True, True)
    assert stale["licence"]["as_of"] in stale["answer"]["licence"]["message"]
    none = Counter(region, holds=False).scan(Phone(region).show())
    assert (decision(none), none["licence"]["status"], "status-unknown" in found(none)) == ("check", "unknown", True)


def test_a_trust_list_past_its_date_is_told_apart_from_a_stranger(region: Region) -> None:
    region.trust_age = 60 * DAY
    stale = Counter(region).scan(Phone(region).show())
    assert (decision(stale), stale["verdict"], stale["sub_indication"]) == ("check", "INDETERMINATE", "TRY_LATER")
    strange = Counter(Region()).scan(Phone(region).show())
    assert (decision(strange), strange["sub_indication"]) == ("check", "NO_CERTIFICATE_CHAIN_FOUND")
    assert "code-not-confirmed" in found(strange)


def test_a_copy_that_ran_out_is_to_be_renewed(region: Region) -> None:
    verdict = Counter(region).scan(Phone(region, expires=now() - DAY).show())
    assert (decision(verdict), "copy-expired" in found(verdict)) == ("refuse", True)
    assert "联网" in verdict["answer"]["next_step_zh"]


def test_digits_that_the_clerk_named_must_be_in_the_code(region: Region) -> None:
    counter, phone = Counter(region), Phone(region)
    assert decision(counter.scan(phone.show(challenge="4711"), challenge="4711")) == "accept"
    assert decision(counter.scan(phone.show(challenge="４７１１"), challenge="4711")) == "accept"
    assert "challenge-missing" in found(counter.scan(phone.show(), challenge="4711"))
    wrong = counter.scan(phone.show(challenge="4712"), challenge="4711")
    assert (decision(wrong), "challenge-wrong" in found(wrong)) == ("refuse", True)


def test_clocks_may_differ_by_half_a_minute(region: Region) -> None:
    counter, phone = Counter(region), Phone(region)
    for ago, outcome in ((85, "accept"), (95, "refuse"), (-25, "accept"), (-40, "refuse")):
        assert decision(counter.scan(phone.show(ago=ago))) == outcome, ago


def test_a_code_that_is_no_licences_gives_a_verdict_in_words(region: Region) -> None:
    for text in ("", "hello", "https://example.com/", f"https://{HOST}/v#AAAA", "x" * 9000):
        verdict = Counter(region).scan(text)
        assert (verdict["verdict"], decision(verdict)) == ("UNREADABLE", "check")
        assert verdict["answer"]["document"]["message_zh"]


def test_what_stands_behind_the_number_sign_is_enough(region: Region) -> None:
    counter, phone = Counter(region), Phone(region)
    assert decision(counter.scan(phone.show().split("#")[1])) == "accept"
    assert decision(counter.scan("#" + printed(region).split("#")[1])) == "accept"


def test_a_status_list_elsewhere_is_never_asked_for(region: Region) -> None:
    counter = Counter(region)
    verdict = counter.scan(Phone(region, status=StatusRef("https://evil.example/status/1", 7)).show())
    assert decision(verdict) == "check"
    assert counter.lists.asked == []


def test_a_key_listed_for_something_else_vouches_for_nothing(region: Region) -> None:
    """The key that signs printed codes makes no credentials, and the other way round."""
    counter = Counter(region)
    assert decision(counter.scan(printed(region, key=region.credentials))) != "accept"
    swapped = Region(region.region)
    swapped.credentials = region.issuer
    assert decision(counter.scan(Phone(swapped).show())) != "accept"


def test_the_command_line_verifies_what_a_scanner_read(
    region: Region, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "list.jws"
    listed.write_text(region.trust_list(), "ascii")
    staff = Phone(region, role="staff", bearer="样本 王店员", matters=("tax-registration",))
    trust = ["--trust", str(listed), "--pin", region.list_key.public_key.fingerprint, "--offline", "--decide"]
    codes = [staff.show(challenge="4711"), printed(region)]
    assert main(["--home", str(tmp_path), "--json", "verify", *codes, *trust, "--challenge", "4711"]) == 10
    shown, paper = json.loads(capsys.readouterr().out)
    assert (shown["presentation"]["bearer"], shown["answer"]["document"]["state"]) == ("样本 王店员", "ok")
    assert (paper["presentation"]["kind"], paper["licence"]["status"]) == ("printed", "unknown")
    assert main(["--home", str(tmp_path), "verify", staff.show(), *trust, "--challenge", "4711"]) == 20
    said = capsys.readouterr().out
    assert "王店员" in said
    assert "口令" in said


def _frame(url: str, *, angle: float, blur: float) -> bytes:
    """A camera's frame of 1280 × 960 with a phone's screen in it: the code 640 pixels wide, turned, blurred, grey around."""
    drawn = io.BytesIO()
    segno.make(url, error="l", micro=False).save(drawn, kind="png", scale=8, border=4)
    code = Image.open(io.BytesIO(drawn.getvalue())).convert("L").resize((640, 640), Image.Resampling.LANCZOS)
    frame = Image.new("L", (1280, 960), 90)
    frame.paste(code, (320, 160))
    frame = frame.rotate(angle, resample=Image.Resampling.BICUBIC, fillcolor=90).filter(ImageFilter.GaussianBlur(blur))
    out = io.BytesIO()
    frame.convert("RGB").save(out, "JPEG", quality=70)
    return out.getvalue()


def test_a_camera_sees_a_phones_code_in_the_confined_process_and_counts_it_once(region: Region) -> None:
    """Status list, memory and digits are asked of the parent over the pipe; the process that looks at pictures has none."""
    counter, isolated = Counter(region), IsolatedVerifier(1)
    staff = Phone(region, role="staff", bearer="样本 王店员", matters=("open-bank-account", "tax-registration"))
    try:
        frame = _frame(staff.show(challenge="4711"), angle=7, blur=1.2)
        context = counter.context(matter="tax-registration", challenge="4711", glance=True)
        first = isolated.verify(frame, name="frame.jpg", context=context)
        assert first["read_from"]["kind"] == "picture"
        assert {part: first["answer"][part]["state"] for part in ("document", "seal", "licence")} == dict.fromkeys(
            ("document", "seal", "licence"), "ok"
        )
        assert (first["presentation"]["bearer"], first["presentation"]["challenge"]) == ("样本 王店员", "4711")
        assert "bearer-outside-matters" not in found(first)
        again = isolated.verify(frame, name="frame.jpg", context=context)
        assert "shown-seen-before" in found(again)
        other = counter.context(matter="tax-registration", challenge="2718")
        assert decision(isolated.verify(frame, name="frame.jpg", context=other)) == "refuse"
    finally:
        isolated.close()
