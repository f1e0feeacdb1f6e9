"""Attacks from between the regions: old lists played back, lists by strangers, hosts that only pretend, and what must go on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crypto.errors import XinyinError
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats.identifiers import LicenceIdentifier
from formats.statuslist import StatusRef, ref_to_json
from net.errors import AddressRefused
from tests.foreign_region import DAY, ForeignRegion, Server
from trust.held import HeldLists
from trust.outbound import Outbound
from trust.regions import Regions
from trust.service import DomainTaken, LowerSequence, TrustService, WrongRegion
from verify.licence import LicenceData, Sealer, judge
from verify.reasons import Reason
from verify.schemas import TokenState, VerificationContext
from verify.trust import TrustListRefused

LIST = "/trust/list.jws"


@pytest.fixture
def shanghai() -> Iterator[ForeignRegion]:
    made = ForeignRegion()
    made.server.pages[LIST] = made.trust_list(5)
    made.server.pages["/status/a"] = made.status_list({7: 1, 8: 2, 9: 3})
    yield made
    made.server.close()


class Here:
    """A verifier in Zhejiang that may reach ``hosts``; ``offset`` moves its clock."""

    def __init__(self, folder: Path, *hosts: str) -> None:
        self.offset = timedelta()
        self.trust = TrustService(folder / "trust")
        outbound = Outbound(hosts)
        self.regions = Regions(self.trust, outbound, "330000", now=self.now)
        self.held = HeldLists(folder / "held", self.trust.store, outbound, region="330000", now=self.now)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def state(self, ref: StatusRef, *, offline: bool = False) -> TokenState | None:
        return self.held.state(ref, self.now(), offline=offline)

    def knows(self, ref: StatusRef) -> int | None:
        found = self.state(ref)
        return found.value if found is not None else None

    def later(self, **age: float) -> None:
        """Time passes here; a failure before it is no longer fresh."""
        self.offset += timedelta(**age)
        self.held._failed.clear()


@pytest.fixture
def here(tmp_path: Path, shanghai: ForeignRegion) -> Here:
    made = Here(tmp_path, shanghai.host)
    made.regions.import_from(shanghai.base_url + LIST, pin=shanghai.pin)
    return made


# -- whose licence it is ----------------------------------------------------------------------------------------------------


def test_an_organ_of_a_listed_region_cannot_vouch_for_the_licence_of_another_organ(here: Here, shanghai: ForeignRegion) -> None:
    registrar, sports = "11310000MB2F30005X", "11310000MB2F30006X"
    identifier = str(LicenceIdentifier.build(type_code="11100000MB0390445A001", issuer_code=registrar, serial="1"))
    context = VerificationContext(here.trust.store(), statuses=here.held.statuses())

    def sealed_by(organ: str) -> tuple[object, str]:
        """What is said of metadata that an organ sealed under its own code, over a place in force of its own."""
        fields = {"ZZBS": identifier, "ZZBFJGDM": organ, "ZZBFJG": "样本机关", "status": ref_to_json(shanghai.ref(6))}
        block, found = judge(LicenceData(identifier, fields), list, [Sealer("310000", organ)], context, here.now())
        assert block is not None
        return block["status"], found.code if isinstance(found, Reason) else "ok"

    assert sealed_by(registrar) == ("in-force", "ok")
    assert sealed_by(sports) == ("unknown", "licence-not-its-issuer")


# -- trust lists ------------------------------------------------------------------------------------------------------------


def test_a_list_is_imported_by_address_once_its_fingerprint_was_compared(tmp_path: Path, shanghai: ForeignRegion) -> None:
    zhejiang = Here(tmp_path, shanghai.host)
    with pytest.raises(TrustListRefused) as refused:
        zhejiang.regions.import_from(shanghai.base_url)
    assert refused.value.detail["fingerprint"] == shanghai.pin
    assert zhejiang.trust.store().lists == []
    found = zhejiang.regions.import_from(shanghai.base_url, pin=shanghai.pin)
    assert (found.region, found.sequence) == ("310000", 5)
    [told] = zhejiang.regions.described()
    assert (told["url"], told["status"], told["problem"]) == (shanghai.base_url + LIST, "current", "")


def test_an_older_list_played_back_is_refused_and_the_last_good_one_stays(here: Here, shanghai: ForeignRegion) -> None:
    shanghai.server.pages[LIST] = shanghai.trust_list(4)
    [told] = here.regions.refresh()
    assert told["status"] == "failed"
    assert "number 4, but number 5 is known" in told["message"]
    assert here.trust.store().lists[0].sequence == 5
    [shown] = here.regions.described()
    assert "序号为 4" in shown["problem_zh"]
    with pytest.raises(LowerSequence):
        here.regions.import_text(shanghai.trust_list(4))
    shanghai.server.pages[LIST] = shanghai.trust_list(6)
    assert here.regions.refresh()[0]["status"] == "updated"
    assert here.regions.refresh()[0]["status"] == "unchanged"
    assert here.regions.described()[0]["problem"] == ""


def test_a_list_signed_by_a_stranger_changes_nothing(here: Here, shanghai: ForeignRegion) -> None:
    stranger = SoftwareKey.generate(Suite.P256)
    shanghai.server.pages[LIST] = shanghai.trust_list(99, key=stranger)
    [told] = here.regions.refresh()
    assert told["status"] == "failed"
    assert "not pinned" in told["message"]
    assert here.trust.store().lists[0].fingerprint == shanghai.pin
    # A key that counts for one region does not count for another either.
    greedy = shanghai.trust_list(1, key=stranger, domains=())
    other = ForeignRegion("440000", "广东省", server=shanghai.server, list_key=stranger)
    here.regions.import_text(other.trust_list(1, domains=("440000.localhost",)), pin=other.pin)
    with pytest.raises(WrongRegion):
        here.regions.import_text(greedy)
    assert here.trust.store().list_of("310000").fingerprint == shanghai.pin  # type: ignore[union-attr]


def test_nobody_is_imported_as_our_own_region_even_where_the_fingerprint_was_compared(
    here: Here, shanghai: ForeignRegion
) -> None:
    ours = ForeignRegion("330000", "浙江省", server=shanghai.server)
    here.trust._write("list.jws", ours.trust_list(1, domains=("330000.localhost",)).decode())
    here.trust._write_pins({**here.trust._pins(), ours.pin: {"region": "330000", "sequence": 1}})
    usurper = ForeignRegion("330000", "浙江省", server=shanghai.server)
    with pytest.raises(WrongRegion, match="our own region"):
        here.regions.import_text(usurper.trust_list(9, domains=("evil.localhost",)), pin=usurper.pin)
    assert here.trust.store().list_of("330000").fingerprint == ours.pin  # type: ignore[union-attr]


def test_a_region_cannot_claim_the_hosts_of_another(here: Here, shanghai: ForeignRegion) -> None:
    greedy = ForeignRegion("440000", "广东省", server=shanghai.server)
    with pytest.raises(DomainTaken, match="belongs to region 310000"):
        here.regions.import_text(greedy.trust_list(1, domains=(shanghai.host,)), pin=greedy.pin)
    assert [one.region for one in here.trust.store().lists] == ["310000"]


def test_a_list_that_ran_out_is_stale_and_one_that_was_never_imported_unknown(here: Here, shanghai: ForeignRegion) -> None:
    assert here.trust.lists(here.now())[0]["status"] == "current"
    here.later(days=31)
    shanghai.server.close()
    assert here.regions.refresh()[0]["status"] == "failed"
    [stale] = here.trust.lists(here.now())
    assert (stale["status"], stale["sequence"]) == ("stale", 5)
    assert here.trust.store().list_of("440000") is None


def test_an_address_on_a_private_network_is_not_fetched_unless_the_operator_said_so(
    tmp_path: Path, shanghai: ForeignRegion
) -> None:
    careful = Here(tmp_path)
    for url in (shanghai.base_url, f"http://127.0.0.1:{shanghai.server.port}", f"https://127.0.0.1:{shanghai.server.port}"):
        with pytest.raises(AddressRefused):
            careful.regions.import_from(url + LIST, pin=shanghai.pin)
    assert shanghai.server.asked == []


# -- status lists -----------------------------------------------------------------------------------------------------------


def test_states_are_those_that_the_region_signed_and_their_age_is_told(here: Here, shanghai: ForeignRegion) -> None:
    assert [here.knows(shanghai.ref(place)) for place in (6, 7, 8, 9)] == [0, 1, 2, 3]
    found = here.state(shanghai.ref(7))
    assert found is not None
    assert (found.status, found.stale, found.source) == ("withdrawn", False, "status-list 310000")
    assert found.fetched is not None
    assert abs(here.now() - found.as_of) < timedelta(seconds=10)
    assert shanghai.server.asked.count("/status/a") == 1  # within its time to live nobody is asked twice
    here.later(seconds=61)
    here.knows(shanghai.ref(6))
    assert shanghai.server.asked.count("/status/a") == 2


def test_a_withdrawal_is_known_as_soon_as_the_list_may_be_asked_for_again(here: Here, shanghai: ForeignRegion) -> None:
    assert here.knows(shanghai.ref(6)) == 0
    shanghai.server.pages["/status/a"] = shanghai.status_list({6: 1}, issued=here.now() + timedelta(seconds=30))
    here.later(seconds=61)
    assert here.knows(shanghai.ref(6)) == 1


def test_an_older_status_list_played_back_does_not_bring_a_licence_back_to_life(here: Here, shanghai: ForeignRegion) -> None:
    before = shanghai.status_list({}, issued=here.now() - timedelta(hours=2))
    assert here.knows(shanghai.ref(7)) == 1
    shanghai.server.pages["/status/a"] = before
    here.later(minutes=5)
    assert here.knows(shanghai.ref(7)) == 1
    assert here.held.refresh() == [
        {"region": "310000", "url": shanghai.base_url + "/status/a", "status": "kept"},
        {"region": "310000", "url": shanghai.base_url + "/status/seals.jws", "status": "missing"},
    ]
    assert here.knows(shanghai.ref(7)) == 1


@pytest.mark.parametrize("which", ["stranger", "another address", "future", "nonsense"])
def test_a_status_list_that_the_region_did_not_sign_for_this_address_is_nothing(
    here: Here, shanghai: ForeignRegion, which: str
) -> None:
    stranger = SoftwareKey.generate(Suite.P256)
    shanghai.server.pages["/status/a"] = {
        "stranger": shanghai.status_list({}, key=stranger),
        "another address": shanghai.status_list({}, uri=shanghai.base_url + "/status/b"),
        "future": shanghai.status_list({}, issued=here.now() + DAY),
        "nonsense": b"\xff\xfe not a token",
    }[which]
    assert here.knows(shanghai.ref(6)) is None
    assert list((here.held.folder / "310000").glob("status-*")) == []


def test_a_host_that_no_list_names_is_never_fetched(tmp_path: Path, shanghai: ForeignRegion) -> None:
    fake = Server()
    try:
        # Even an operator who lets this verifier reach the fake's address does not make it a region.
        careful = Here(tmp_path, shanghai.host, f"310000.localhost:{fake.port}", f"127.0.0.1:{fake.port}")
        careful.regions.import_from(shanghai.base_url + LIST, pin=shanghai.pin)
        for uri in (
            f"http://310000.localhost:{fake.port}/status/a",
            f"http://127.0.0.1:{fake.port}/status/a",
            f"http://{shanghai.host}@310000.localhost:{fake.port}/status/a",
            f"http://310000.localhost:{fake.port}#{shanghai.host}/status/a",
            "http://[::1/status/a",
            "file:///etc/passwd",
        ):
            assert careful.state(StatusRef(uri, 1)) is None, uri
        assert fake.asked == []
        assert "/status/a" not in shanghai.server.asked
    finally:
        fake.close()


def test_with_the_region_off_what_is_held_still_counts_until_it_is_stale(here: Here, shanghai: ForeignRegion) -> None:
    assert here.knows(shanghai.ref(7)) == 1
    shanghai.server.close()
    here.later(hours=20)
    held = here.state(shanghai.ref(6))
    assert held is not None
    assert (held.value, held.stale) == (0, False)
    assert timedelta(hours=19) < here.now() - held.as_of < timedelta(hours=21)
    here.later(hours=5)
    old = here.state(shanghai.ref(6))
    assert old is not None
    assert (old.value, old.stale) == (0, True)
    assert here.knows(shanghai.ref(7)) == 1
    assert [one["stale"] for one in here.held.holdings()] == [True]


def test_offline_nobody_is_asked(here: Here, shanghai: ForeignRegion) -> None:
    before = len(shanghai.server.asked)
    assert here.state(shanghai.ref(7), offline=True) is None
    assert len(shanghai.server.asked) == before
    here.knows(shanghai.ref(7))
    here.later(hours=1)
    asked = len(shanghai.server.asked)
    found = here.state(shanghai.ref(7), offline=True)
    assert found is not None
    assert found.value == 1
    assert len(shanghai.server.asked) == asked


def test_a_place_that_the_list_does_not_have_is_not_in_force(here: Here, shanghai: ForeignRegion) -> None:
    assert here.knows(shanghai.ref(1024)) is None
    assert here.knows(shanghai.ref(1023)) == 0


def test_a_status_key_that_the_region_withdrew_signs_nothing_more(here: Here, shanghai: ForeignRegion) -> None:
    assert here.knows(shanghai.ref(7)) == 1
    shanghai.status_key = SoftwareKey.generate(Suite.P256)
    shanghai.server.pages[LIST] = shanghai.trust_list(6)
    here.regions.refresh()
    here.later(minutes=5)
    assert here.knows(shanghai.ref(7)) is None  # what was held is signed by a key that is listed no more
    shanghai.server.pages["/status/a"] = shanghai.status_list({7: 1})
    here.later(minutes=5)
    assert here.knows(shanghai.ref(7)) == 1


def test_a_dead_service_slows_only_the_first_answer(here: Here, shanghai: ForeignRegion) -> None:
    shanghai.server.pages.pop("/status/a")
    for _ in range(5):
        assert here.knows(shanghai.ref(1)) is None
    assert shanghai.server.asked.count("/status/a") == 1


def test_what_was_held_of_a_forgotten_region_is_gone(here: Here, shanghai: ForeignRegion) -> None:
    here.knows(shanghai.ref(7))
    here.regions.forget("310000")
    here.held.forget("310000")
    assert here.state(shanghai.ref(7)) is None
    assert here.trust.store().lists == []
    with pytest.raises(XinyinError):
        here.regions.refresh("310000")
