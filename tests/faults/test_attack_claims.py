"""Genuine seals put to a false use: on another's licence, under another's esID, on another department's sign-off."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pikepdf
import pytest

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from seals.schemas import ApplicationNeeded, NoSuchSeal
from seals.sealing import Placement
from tests.integration.seals_world import APPROVAL, APPROVALS, staff
from tests.integration.seals_world import World as Node
from tests.integration.test_verify_reasons import PASSED, codes, fresh, judge, outcome
from tests.node_home import EXAMPLES, Service, founded_home, serving
from tests.verify_world import DAY, ES_ID, NOW
from verify.schemas import SealStatus

LICENCE = json.loads((EXAMPLES / "licence.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home()) as running:
        yield running


def verify(client: httpx.Client, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = client.post("/api/v1/verifications", files={"file": ("x.pdf", data)}).json()
    return found


# Licences


def test_a_genuine_seal_on_anothers_licence_is_refused(service: Service) -> None:
    """Whoever has any seal can attach a living licence's metadata to a page of his own and seal both."""
    service.registrar()
    with service.client("clerk") as clerk, service.client("keeper") as keeper, service.client() as anyone:
        licence = clerk.post("/api/v1/licences", json={"type": "business-licence", "data": LICENCE}).json()
        document = clerk.get(licence["document_url"]).content
        genuine = verify(anyone, document)
        assert (genuine["answer"]["decision"], genuine["answer"]["licence"]["state"]) == ("accept", "ok")
        with pikepdf.open(io.BytesIO(document)) as original:
            attached = original.attachments["metadata.json"].get_file().read_bytes()
        page = pikepdf.open(io.BytesIO(APPROVAL))
        page.attachments["metadata.json"] = pikepdf.AttachedFileSpec(page, attached, filename="metadata.json")
        forged = io.BytesIO()
        page.save(forged)
        form = {"seal": service.seal()["id"], "page": "1", "x_mm": "100", "y_mm": "100"}
        made = keeper.post("/api/v1/impressions", files={"file": forged.getvalue()}, data=form).json()
        verdict = verify(anyone, keeper.get(made["document_url"]).content)
        assert verdict["verdict"] == "TOTAL-PASSED", "the seal itself is genuine"
        assert verdict["answer"]["decision"] == "refuse"
        assert "licence-not-the-document" in codes(verdict)


# Seals


class Register:
    """A register that knows one seal."""

    def __init__(self, region: str, keys: tuple[str, ...] = ()) -> None:
        self.known = SealStatus(ES_ID, "云江市人民政府", region, "in-force", NOW - DAY, "register", keys)

    def status(self, es_id: str, at: datetime) -> SealStatus | None:
        return self.known if es_id == ES_ID else None


def test_a_listed_authority_cannot_write_certificates_for_another_regions_seal() -> None:
    world = fresh(Suite.P256)
    sealed = world.sealed("B")
    assert outcome(judge(sealed, world.context(seals=Register("310000")))) == PASSED
    verdict = judge(sealed, world.context(seals=Register("440000")))
    assert verdict["answer"]["decision"] == "refuse"
    assert verdict["signatures"][0]["seal"]["name"] != "云江市人民政府", "the other's name is not shown as the signer's"


def test_a_certificate_with_the_esid_of_a_seal_whose_key_it_has_not_is_refused() -> None:
    world = fresh(Suite.P256)
    sealed = world.sealed("B")
    own = Register("310000", (world.key("seal").public_key.fingerprint,))
    assert outcome(judge(sealed, world.context(seals=own))) == PASSED
    other = Register("310000", (SoftwareKey.generate(Suite.P256).public_key.fingerprint,))
    verdict = judge(sealed, world.context(seals=other))
    assert verdict["answer"]["decision"] == "refuse"
    assert "seal-not-its-own" in codes(verdict)


# Applications


def test_a_department_cannot_sign_off_the_use_of_anothers_seal(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Another department's seal is not even known to whoever applies; an application for one's own cannot be lent to it."""
    node = Node(tmp_path_factory.mktemp("node"))
    seal = node.seal()
    own = node.seal("云江市行政审批局", owner_uscc=APPROVALS)
    handler, signer = (staff(f"account_{role}", role, department=APPROVALS) for role in ("handler", "signer_off"))
    keeper = staff("account_keeper", "seal_keeper")
    wish = {
        "purpose": "use-seal",
        "department": APPROVALS,
        "document_sha256": hashlib.sha256(APPROVAL).hexdigest(),
        "matter": "A-118",
    }
    with pytest.raises(NoSuchSeal):
        node.seals.applications.submit(handler, seal_id=seal["id"], **wish)
    put = node.seals.applications.submit(handler, seal_id=own["id"], **wish)
    node.seals.applications.sign_off(signer, put["id"])
    with pytest.raises(ApplicationNeeded):
        node.seals.apply(keeper, APPROVAL, seal_id=seal["id"], placement=Placement(2, 137, 175), application=put["id"])
