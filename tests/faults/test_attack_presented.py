"""Attacks on licences that are presented on paper and on phones, each by its name. None of them may end in "accept"."""

from __future__ import annotations

import base64
import zlib

import cbor2
import pytest

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import cbor, codes
from tests.presented_world import DAY, HOST, Counter, Phone, Region, decision, found, now, printed


@pytest.fixture
def region() -> Region:
    return Region()


def _packed(url: str) -> bytes:
    part = url.split("#")[1]
    return zlib.decompress(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def _url(raw: bytes, host: str = HOST) -> str:
    return f"https://{host}/v#" + base64.urlsafe_b64encode(zlib.compress(raw, 9)).rstrip(b"=").decode()


def test_a_shown_code_replayed_after_its_minute_is_refused(region: Region) -> None:
    counter, phone = Counter(region), Phone(region)
    assert decision(counter.scan(phone.show())) == "accept"
    verdict = counter.scan(phone.show(ago=120))
    assert (decision(verdict), "shown-too-old" in found(verdict)) == ("refuse", True)
    assert "每分钟" in verdict["answer"]["next_step_zh"]


def test_no_question_about_another_time_makes_an_old_code_good(region: Region) -> None:
    verdict = Counter(region).scan(Phone(region).show(ago=3600), at=now() - DAY / 24)
    assert (decision(verdict), "shown-too-old" in found(verdict)) == ("refuse", True)


def test_a_screenshot_relayed_within_the_minute_does_not_count_twice(region: Region) -> None:
    counter, phone = Counter(region), Phone(region)
    screenshot = phone.show()
    assert decision(counter.scan(screenshot)) == "accept"
    again = counter.scan(screenshot)
    assert (decision(again), "shown-seen-before" in found(again)) == ("check", True)
    assert decision(counter.scan(phone.show())) == "accept"  # the holder's next code does


def test_a_screenshot_relayed_to_a_counter_that_names_digits_is_refused(region: Region) -> None:
    counter, phone = Counter(region), Phone(region)
    assert decision(counter.scan(phone.show(), challenge="2718")) == "refuse"
    assert decision(counter.scan(phone.show(challenge="3141"), challenge="2718")) == "refuse"


def test_a_code_made_for_another_counters_digits_is_not_accepted_where_nobody_asked(region: Region) -> None:
    verdict = Counter(region).scan(Phone(region).show(challenge="3141"))
    assert (decision(verdict), "challenge-unasked" in found(verdict)) == ("check", True)


def test_a_copied_credential_without_the_phones_key_is_refused(region: Region) -> None:
    counter, phone, thief = Counter(region), Phone(region), SoftwareKey.generate(Suite.P256)
    verdict = counter.scan(phone.show(key=thief))
    assert (decision(verdict), verdict["verdict"], "shown-not-held" in found(verdict)) == ("refuse", "TOTAL-FAILED", True)
    bare = counter.scan(_url(phone.credential))
    assert (decision(bare), "code-without-holder" in found(bare)) == ("refuse", True)
    assert counter.memory.known == {}  # nor is it remembered in the holder's place


def test_a_copied_credential_rebound_to_the_thiefs_key_is_refused(region: Region) -> None:
    phone, thief = Phone(region), Phone(region)
    outer = cbor2.loads(phone.credential).value.value
    claims = {**cbor2.loads(outer[2]), 8: cbor2.loads(cbor2.loads(thief.credential).value.value[2])[8]}
    forged = cbor.write(cbor2.CBORTag(61, cbor2.CBORTag(18, [outer[0], {}, cbor.write(claims), outer[3]])))
    verdict = Counter(region).scan(codes.encode_shown(forged, thief.key, HOST, at=now()))
    assert (decision(verdict), "code-altered" in found(verdict)) == ("refuse", True)


def test_the_time_in_a_screenshot_cannot_be_renewed(region: Region) -> None:
    outer = cbor2.loads(_packed(Phone(region).show(ago=600))).value.value
    body = {**cbor2.loads(outer[2]), 6: int(now().timestamp())}
    raw = cbor.write(cbor2.CBORTag(61, cbor2.CBORTag(18, [outer[0], {}, cbor.write(body), outer[3]])))
    verdict = Counter(region).scan(_url(raw))
    assert (decision(verdict), "shown-not-held" in found(verdict)) == ("refuse", True)


@pytest.mark.parametrize(
    ("claim", "value"), [(-70002, "别家公司"), (-70003, "91310000MA1FL11111"), (4, 4102444800), (-70007, 4102444800)]
)
def test_an_altered_print_is_refused(region: Region, claim: int, value: object) -> None:
    outer = cbor2.loads(_packed(printed(region, copy_id="c", purpose="开户", purpose_until=now() - DAY))).value.value
    claims = {**cbor2.loads(outer[2]), claim: value}
    raw = cbor.write(cbor2.CBORTag(61, cbor2.CBORTag(18, [outer[0], {}, cbor.write(claims), outer[3]])))
    verdict = Counter(region).scan(_url(raw))
    assert (decision(verdict), verdict["verdict"], "code-altered" in found(verdict)) == ("refuse", "TOTAL-FAILED", True)
    assert "code-altered" in {one["code"] for one in verdict["signatures"][0]["reasons"]}


def test_a_code_that_points_to_a_fake_domain_is_refused_though_its_signature_is_genuine(region: Region) -> None:
    for text in (printed(region, host="yunjiang-licence.example"), Phone(region).show(host="yunjiang.example.evil.example")):
        verdict = Counter(region).scan(text)
        assert (decision(verdict), "code-fake-domain" in found(verdict)) == ("refuse", True)
        assert verdict["verdict"] == "TOTAL-PASSED"
        assert "请勿打开" in verdict["answer"]["document"]["message_zh"]


def test_another_listed_regions_domain_is_a_fake_one_too(region: Region) -> None:
    other = Region("330000", "zhejiang.example")
    counter = Counter(region)
    counter.trust = type(counter.trust)([*region.trust().lists, *other.trust().lists])
    assert decision(counter.scan(printed(region, host="zhejiang.example"))) == "refuse"


def test_a_region_cannot_speak_for_another(region: Region) -> None:
    verdict = Counter(region).scan(Phone(region, region="330000").show())
    assert (decision(verdict), "code-other-region" in found(verdict)) == ("refuse", True)


def test_staff_outside_their_matters_are_refused(region: Region) -> None:
    counter = Counter(region)
    staff = Phone(region, role="staff", bearer="样本 王店员", matters=("tax-registration",))
    outside = counter.scan(staff.show(), matter="open-bank-account")
    assert (decision(outside), "bearer-outside-matters" in found(outside)) == ("refuse", True)
    assert "税务登记" in outside["answer"]["matter"]["message_zh"]
    unasked = counter.scan(staff.show())
    assert (decision(unasked), "bearer-matters-open" in found(unasked)) == ("check", True)
    within = counter.scan(staff.show(), matter="tax-registration")
    assert "bearer-outside-matters" not in found(within)


def test_a_withdrawn_staff_members_phone_is_refused_at_once(region: Region) -> None:
    staff = Phone(region, role="staff", bearer="样本 王店员", matters=("tax-registration",), status=region.place(99))
    owner = Phone(region)
    region.states[99] = 1
    counter = Counter(region)
    verdict = counter.scan(staff.show(), matter="tax-registration")
    assert (decision(verdict), "status-withdrawn" in found(verdict)) == ("refuse", True)
    assert decision(counter.scan(owner.show())) == "accept"


def test_a_status_list_signed_by_a_stranger_says_nothing(region: Region) -> None:
    region.states = {7: 1}
    counter = Counter(region)
    stranger = Region()
    counter.lists.texts = {uri: stranger.status_list() for uri in counter.lists.texts}
    verdict = counter.scan(Phone(region).show())
    assert (decision(verdict), "status-unknown" in found(verdict)) == ("check", True)
