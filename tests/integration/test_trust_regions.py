"""A Shanghai licence in Zhejiang: unknown, imported, accepted, suspended, withdrawn; and with Shanghai's service off."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from ceremonies.node import Node
from ceremonies.upkeep import side_tasks
from people.schemas import Actor
from policies.authorise import NotAllowed
from seals.placement import Placement
from tests.node_home import EXAMPLES
from tests.regions_world import zhejiang_home
from tests.served_region import Neighbour, allow_private, neighbour
from trust.held import HeldLists
from verify.service import verify_bytes
from verify.trust import TrustListRefused
from verify.worker import verify_many

DATA: dict[str, Any] = json.loads((EXAMPLES / "licence.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shanghai() -> Iterator[Neighbour]:
    with neighbour("regions-shanghai") as made:
        made.registrar()
        yield made


@pytest.fixture(scope="module")
def zhejiang(shanghai: Neighbour) -> Iterator[Node]:
    home = zhejiang_home("regions-zhejiang")
    allow_private(home, shanghai.host)
    node = Node.open(home)
    yield node
    node.close()


@pytest.fixture(scope="module")
def issued(shanghai: Neighbour) -> tuple[dict[str, Any], bytes]:
    found = shanghai.node.licences.issue(shanghai.node.actor(None), "business-licence", DATA)
    shanghai.node.renew_trust()
    return found


@pytest.fixture
def imported(shanghai: Neighbour, zhejiang: Node, issued: tuple[dict[str, Any], bytes]) -> Node:
    zhejiang.region_desk.import_from(zhejiang.actor(None), shanghai.base_url, pin=shanghai.pin)
    return zhejiang


def verdict(node: Node, data: bytes, **how: Any) -> dict[str, Any]:
    return verify_bytes(data, name="licence.pdf", context=node.verification_context(**how))


def asked_again(node: Node) -> None:
    """As if the time to live were over."""
    node.region_desk.refresh(node.actor(None))


def test_from_unknown_to_accepted_by_one_import(
    shanghai: Neighbour, zhejiang: Node, issued: tuple[dict[str, Any], bytes]
) -> None:
    _, data = issued
    before = verdict(zhejiang, data)
    assert before["answer"]["decision"] == "check"
    assert before["signatures"][0]["sub_indication"] == "NO_CERTIFICATE_CHAIN_FOUND"
    assert before["licence"]["status"] == "unknown"
    operator = zhejiang.actor(None)
    with pytest.raises(TrustListRefused) as refused:
        zhejiang.region_desk.import_from(operator, shanghai.base_url)
    assert refused.value.detail["fingerprint"] == shanghai.pin
    spoken = " ".join(shanghai.pin.upper()[i : i + 4] for i in range(0, 64, 4))  # as it is read out on the telephone
    found = zhejiang.region_desk.import_from(operator, shanghai.base_url, pin=spoken)
    assert found.region == "310000"
    after = verdict(zhejiang, data)
    assert after["answer"]["decision"] == "accept", after["answer"]
    assert (after["licence"]["status"], after["licence"]["source"]) == ("in-force", "status-list 310000")
    assert "依据上海市的状态列表，距今不到 1 分钟" in after["answer"]["licence"]["message_zh"]
    assert after["signatures"][0]["seal"]["status"] == "in-force"  # as Shanghai's signed seal list says
    assert {"region": "310000", "state": "current"}.items() <= after["signatures"][0]["recognition"].items()


def test_the_confined_process_reaches_the_same_answer(imported: Node, issued: tuple[dict[str, Any], bytes]) -> None:
    [confined] = verify_many([("licence.pdf", issued[1])], imported.verification_context)
    here = verdict(imported, issued[1])
    assert confined["answer"]["decision"] == "accept"
    assert confined["licence"] == here["licence"] | {"as_of": confined["licence"]["as_of"]}


def test_suspended_and_withdrawn_in_shanghai_is_refused_in_zhejiang(shanghai: Neighbour, imported: Node) -> None:
    operator = shanghai.node.actor(None)
    licence, data = shanghai.node.licences.issue(operator, "business-licence", DATA)
    assert verdict(imported, data)["answer"]["decision"] == "accept"
    shanghai.node.licences.suspend(operator, licence["id"], basis="x")
    asked_again(imported)
    suspended = verdict(imported, data)
    assert suspended["answer"]["decision"] == "refuse"
    assert "已暂扣" in suspended["answer"]["licence"]["message_zh"]
    shanghai.node.licences.resume(operator, licence["id"], basis="x")
    asked_again(imported)
    assert verdict(imported, data)["answer"]["decision"] == "accept"
    shanghai.node.licences.revoke(operator, licence["id"], kind="吊销", basis="x")
    asked_again(imported)
    withdrawn = verdict(imported, data)
    assert (withdrawn["verdict"], withdrawn["answer"]["decision"]) == ("TOTAL-PASSED", "refuse")
    assert withdrawn["licence"]["status"] == "withdrawn"
    assert withdrawn["answer"]["next_step_zh"] == "不予采信。请告知持有人向证照颁发机构咨询。"


def test_a_seal_stopped_in_shanghai_is_stopped_in_zhejiang(shanghai: Neighbour, imported: Node) -> None:
    operator = shanghai.node.actor(None)
    seal = shanghai.node.seals.create(
        operator, owner_name="云江市停用局", owner_uscc="11310000MB2F300255", suites=("p256",), idempotency_key="stopped"
    )
    document = (EXAMPLES / "approval.pdf").read_bytes()
    place = Placement(1, 120.0, 230.0)
    _, data = shanghai.node.seals.apply(operator, document, seal_id=seal["id"], suite="p256", placement=place)
    shanghai.node.publish_trust()
    asked_again(imported)
    assert verdict(imported, data)["signatures"][0]["seal"]["status"] == "in-force"
    shanghai.node.seals.suspend(operator, seal["id"], reason="x")
    asked_again(imported)
    found = verdict(imported, data)
    assert found["signatures"][0]["seal"]["status"] == "suspended"
    assert found["answer"]["decision"] != "accept"


def test_another_organs_seal_on_copied_licence_data_is_refused(
    shanghai: Neighbour, imported: Node, issued: tuple[dict[str, Any], bytes]
) -> None:
    """A genuine seal of Shanghai, genuine data of a genuine licence with its place in the list, on a page of one's own."""
    operator = shanghai.node.actor(None)
    other = shanghai.node.seals.create(
        operator, owner_name="云江市另一局", owner_uscc="11310000MB2F300255", suites=("p256",), idempotency_key="other"
    )
    with pikepdf.open(io.BytesIO(issued[1])) as genuine:
        metadata = genuine.attachments["metadata.json"].get_file().read_bytes()
    with pikepdf.open(EXAMPLES / "approval.pdf") as forged:
        forged.attachments["metadata.json"] = pikepdf.AttachedFileSpec(forged, metadata, filename="metadata.json")
        out = io.BytesIO()
        forged.save(out)
    place = Placement(1, 120.0, 230.0)
    _, data = shanghai.node.seals.apply(operator, out.getvalue(), seal_id=other["id"], suite="p256", placement=place)
    shanghai.node.publish_trust()
    asked_again(imported)
    found = verdict(imported, data)
    assert found["answer"]["licence"]["state"] == "bad"
    assert "licence-not-its-issuer" in {r["code"] for r in found["reasons"]}


def test_imports_and_refreshes_are_in_the_log_and_only_officers_may(
    imported: Node, shanghai: Neighbour, issued: tuple[dict[str, Any], bytes]
) -> None:
    clerk: Actor = imported.accounts.get("handler")
    for forbidden in (
        lambda: imported.region_desk.import_from(clerk, shanghai.base_url, pin=shanghai.pin),
        lambda: imported.region_desk.forget(clerk, "310000"),
        lambda: imported.region_desk.refresh(clerk),
    ):
        with pytest.raises(NotAllowed):
            forbidden()
    leaf = next(e for e in imported.audit.history("trust_310000") if e.kind == "trust.imported")
    assert (leaf.data["region"], leaf.data["key"], leaf.rule) == ("310000", shanghai.pin, "keep-trust-lists")
    shanghai.node.publish_trust()
    imported.region_desk.refresh(imported.actor(None))
    newest = imported.audit.history("trust_310000")[0]
    listed = shanghai.node.trust_store().list_of("310000")
    assert listed is not None
    assert (newest.kind, newest.data["sequence"]) == ("trust.updated", listed.sequence)


def test_the_worker_asks_by_itself(imported: Node) -> None:
    [task] = [task for task in side_tasks(imported) if task.name == "regions"]
    before = imported.regions.source(imported.trust_store().list_of("310000"))  # type: ignore[arg-type]
    path = imported.trust.folder / "lists" / "310000.json"
    kept = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(kept | {"asked": (datetime.now(UTC) - timedelta(minutes=11)).isoformat()}), "utf-8")
    task.work()
    after = imported.regions.source(imported.trust_store().list_of("310000"))  # type: ignore[arg-type]
    assert after.answered is not None
    assert before.answered is not None
    assert after.answered > before.answered
    task.work()
    assert imported.regions.source(imported.trust_store().list_of("310000")) == after  # type: ignore[arg-type]


def test_with_shanghai_off_zhejiang_goes_by_what_it_holds_and_says_how_old_that_is(
    imported: Node, shanghai: Neighbour, issued: tuple[dict[str, Any], bytes], tmp_path: Path
) -> None:
    """The last test of this file: it switches the service off."""
    asked_again(imported)
    shanghai.stop()
    offline = verdict(imported, issued[1], offline=True)
    assert offline["answer"]["decision"] == "accept"
    assert imported.region_desk.refresh(imported.actor(None))[0]["status"] == "failed"

    def after(age: timedelta) -> dict[str, Any]:
        def later() -> datetime:
            return datetime.now(UTC) + age

        folder = imported.home / "trust" / "held"
        held = HeldLists(folder, imported.trust_store, imported.outbound, region="330000", now=later)
        context = replace(
            imported.verification_context(at=later()), statuses=held.statuses(), seals=held.seals(), licences=None
        )
        return verify_bytes(issued[1], name="licence.pdf", context=context)

    same_day = after(timedelta(hours=5))
    assert same_day["answer"]["decision"] == "accept"
    assert "距今5 小时" in same_day["answer"]["licence"]["message_zh"]
    next_day = after(timedelta(hours=26))
    assert next_day["answer"]["decision"] == "check"
    assert next_day["answer"]["licence"]["state"] == "doubt"
    assert (next_day["licence"]["status"], next_day["licence"]["stale"]) == ("in-force", True)
    assert "时间过久" in next_day["answer"]["licence"]["message_zh"]
    too_late = after(timedelta(days=31))
    assert too_late["signatures"][0]["sub_indication"] == "TRY_LATER"  # stale, which is not the same as unknown
    assert [one["status"] for one in imported.region_desk.lists(imported.actor(None))] == ["current", "current"]
