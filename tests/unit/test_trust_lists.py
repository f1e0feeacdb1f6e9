"""Trust lists: what is published can be read by anybody, and what is read never goes back, sideways or unsigned."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from crypto.errors import NotFound
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats.jose import public_jwk
from formats.x509 import Certificate, to_pem
from tests.node_home import founded_home
from tests.verify_world import DAY, NOW, World, list_key
from trust.schemas import ListContent, TrustedEntity
from trust.service import LowerSequence, TrustService, WrongRegion, fingerprint_of, sign_list
from verify.trust import SERVICE_TYPE_PREFIX, ServiceType, TrustedService, TrustList, TrustListRefused, TrustStore, read_list

PIN = list_key().public_key.fingerprint


@pytest.fixture(scope="module")
def world() -> World:
    return World(Suite.P256)


def problems_of(body: Any, folder: Path) -> list[str]:
    """What ETSI's own JSON Schema (draft 7, formats checked) finds wrong with a list."""
    schema = json.loads((folder / "1960201_json_schema.json").read_text("utf-8"))
    jwk = Resource.from_contents(json.loads((folder / "rfc7517.json").read_text("utf-8")), default_specification=DRAFT7)
    registry: Registry[Any] = Registry().with_resource("rfcs/rfc7517.json", jwk)
    validator = Draft7Validator(schema, registry=registry, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]


def body_of(jws: str) -> dict[str, Any]:
    part = jws.split(".")[1]
    result: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return result


@pytest.mark.corpus
def test_our_list_is_valid_by_the_schema_of_ts_119_602(world: World, corpus: Path) -> None:
    folder = corpus / "trust-lists"
    assert problems_of(body_of(world.signed_list()), folder) == []
    # The check itself tells good from bad: ETSI's own samples.
    for name in ("valid.json", "valid-full.json", "valid-emptyTE.json"):
        assert problems_of(json.loads((folder / name).read_text("utf-8")), folder) == [], name
    for name in ("invalid.json", "empty-only-schema-extensions.json"):
        assert problems_of(json.loads((folder / name).read_text("utf-8")), folder), name


@pytest.mark.corpus
def test_a_nodes_own_list_is_valid_by_the_schema_and_a_jades_signature(corpus: Path) -> None:
    home = founded_home("trust-lists")
    compact = (home / "trust" / "list.jws").read_text("ascii")
    body = body_of(compact)
    assert problems_of(body, corpus / "trust-lists") == []
    kinds = {
        s["ServiceInformation"]["ServiceTypeIdentifier"].removeprefix(SERVICE_TYPE_PREFIX)
        for entity in body["LoTE"]["TrustedEntitiesList"]
        for s in entity["TrustedEntityServices"]
    }
    assert {"ca/root", "ca/issuing", "tsa", "seal-maker", "status-list", "credential-issuer", "receipt", "audit"} <= kinds
    header = json.loads(base64.urlsafe_b64decode(compact.split(".")[0] + "=="))
    [der] = [base64.b64decode(one) for one in header["x5c"]]
    assert header["x5t#S256"] == base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert Certificate.parse(der).public_key.fingerprint == header["kid"]
    assert (header["alg"], header["cty"], type(header["iat"])) == ("ES256", "application/json", int)


def test_a_list_whose_certificate_is_that_of_another_key_is_refused(world: World) -> None:
    content = ListContent("310000", "上海市（样本）", 1, NOW - DAY, NOW + DAY, [])
    with pytest.raises(TrustListRefused, match="another key"):
        read_list(sign_list(content, list_key(), world.ca), [PIN])


def test_a_list_is_read_back_as_it_was_written(world: World) -> None:
    found = read_list(world.signed_list(sequence=9), [PIN])
    assert (found.region, found.sequence, found.fingerprint) == ("310000", 9, PIN)
    assert {s.type for s in found.services} == {ServiceType.CA_ISSUING, ServiceType.TSA}
    assert found.services[0].certificate == world.ca
    assert found.state(NOW) == "current"


def test_a_key_can_be_listed_instead_of_a_certificate() -> None:
    issuer = SoftwareKey.generate(Suite.P256)
    service = TrustedService(ServiceType.LICENCE_ISSUER, "签码", "310000", jwk=public_jwk(issuer.public_key), since=NOW)
    content = ListContent("310000", "上海市（样本）", 1, NOW, NOW + DAY, [TrustedEntity("样本", [service])], ["310000.example"])
    found = read_list(sign_list(content, list_key()), [PIN])
    store = TrustStore([found])
    assert [s.jwk for s in store.keys(ServiceType.LICENCE_ISSUER, "310000")] == [public_jwk(issuer.public_key)]
    assert store.keys(ServiceType.LICENCE_ISSUER, "440000") == []
    assert found.domains == ("310000.example",)


def test_an_unpinned_list_is_refused_with_its_fingerprint(world: World) -> None:
    with pytest.raises(TrustListRefused) as caught:
        read_list(world.signed_list(), ["0" * 64])
    assert PIN in caught.value.message
    assert PIN in caught.value.message_zh
    assert fingerprint_of(world.signed_list().encode()) == PIN


def test_any_change_to_a_list_is_refused(world: World) -> None:
    header, body, signature = world.signed_list().split(".")
    altered = base64.urlsafe_b64encode(
        json.dumps(body_of(world.signed_list())).replace("LoTESequenceNumber", "LoTESequenceNumbeR").encode()
    ).decode()
    other = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    for text in (
        f"{header}.{altered.rstrip('=')}.{signature}",
        f"{other}.{body}.",
        f"{other}.{body}.{signature}",
        f"{header}.{body}.{'A' * len(signature)}",
        f"{header}.{body}",
        "not a list",
        "",
    ):
        with pytest.raises(TrustListRefused):
            read_list(text, [PIN])


def test_hmac_with_the_public_key_is_not_a_signature(world: World) -> None:
    """The classic confusion of algorithms."""
    import hashlib
    import hmac

    _, body, _ = world.signed_list().split(".")
    head = {"alg": "HS256", "jwk": public_jwk(list_key().public_key)}
    header = base64.urlsafe_b64encode(json.dumps(head).encode()).decode().rstrip("=")
    mac = hmac.new(list_key().public_key.spki, f"{header}.{body}".encode(), hashlib.sha256).digest()
    with pytest.raises(TrustListRefused):
        read_list(f"{header}.{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}", [PIN])


def content(world: World, **more: Any) -> ListContent:
    service = TrustedService(ServiceType.CA_ISSUING, "样本签发机构", "310000", certificate=world.ca, since=NOW - DAY)
    values: dict[str, Any] = {
        "region": "310000",
        "name": "上海市（样本）",
        "sequence": 0,
        "issued": NOW,
        "next_update": NOW + DAY,
        "entities": [TrustedEntity("样本", [service])],
    }
    return ListContent(**{**values, **more})


def test_publishing_counts_up_and_pins_our_own_key(world: World, tmp_path: Path) -> None:
    service = TrustService(tmp_path)
    assert [service.publish(content(world), list_key()).sequence for _ in range(3)] == [1, 2, 3]
    with pytest.raises(LowerSequence):
        service.publish(content(world, sequence=3), list_key())
    store = TrustStore.from_folder(tmp_path)
    assert [one.sequence for one in store.lists] == [3]
    assert store.problems == []


def test_importing_needs_the_pin_once_and_never_goes_back(world: World, tmp_path: Path) -> None:
    service = TrustService(tmp_path)
    first, second = (world.signed_list(sequence=n).encode() for n in (5, 6))
    with pytest.raises(TrustListRefused):
        service.accept(second)
    service.accept(second, pin=PIN)
    with pytest.raises(LowerSequence):
        service.accept(first, pin=PIN)
    with pytest.raises(LowerSequence):
        service.accept(world.signed_list(sequence=6, next_update=NOW + 99 * DAY).encode())
    assert [one.sequence for one in service.store().lists] == [6]
    assert service.accept(world.signed_list(sequence=7).encode()).sequence == 7
    assert [item["status"] for item in service.lists()] == ["current"]


def test_a_refused_list_leaves_the_last_good_one_in_use(world: World, tmp_path: Path) -> None:
    service = TrustService(tmp_path)
    service.accept(world.signed_list(sequence=5).encode(), pin=PIN)
    for bad in (b"junk", world.signed_list(sequence=4).encode(), world.signed_list(sequence=8, issued=NOW + DAY).encode()):
        with pytest.raises((TrustListRefused, LowerSequence)):
            service.accept(bad)
    assert [one.sequence for one in service.store().lists] == [5]


def test_a_key_speaks_for_its_own_region_only(world: World, tmp_path: Path) -> None:
    service = TrustService(tmp_path)
    service.accept(world.signed_list().encode(), pin=PIN)
    with pytest.raises(WrongRegion):
        service.accept(world.signed_list(region="440000", sequence=99).encode())
    stranger = SoftwareKey.generate(Suite.P256)
    takeover = sign_list(content(world, sequence=99), stranger).encode()
    with pytest.raises(TrustListRefused):
        service.accept(takeover)
    # Pinning a new key for a known region is a decision that a person makes explicitly, and it replaces the old pin.
    assert service.accept(takeover, pin=stranger.public_key.fingerprint).sequence == 99
    with pytest.raises(TrustListRefused):
        service.accept(world.signed_list(sequence=100).encode())


def test_forgetting_a_region_takes_its_pin_too(world: World, tmp_path: Path) -> None:
    service = TrustService(tmp_path)
    service.accept(world.signed_list().encode(), pin=PIN)
    service.forget("310000")
    assert service.store().lists == []
    with pytest.raises(TrustListRefused):
        service.accept(world.signed_list().encode())
    with pytest.raises(NotFound):
        service.forget("310000")


def test_a_region_dropped_while_its_list_arrives_stays_dropped(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, data = TrustService(tmp_path), world.signed_list().encode()
    service.accept(data, pin=PIN)
    officer = threading.Thread(target=lambda: TrustService(tmp_path).forget("310000"))
    check = service._check_domains

    def slowly(found: TrustList) -> None:
        officer.start()
        officer.join(0.3)
        check(found)

    monkeypatch.setattr(service, "_check_domains", slowly)
    service.accept(data)
    officer.join(20)
    assert service.store().lists == []
    with pytest.raises(TrustListRefused):
        service.accept(data)


def test_stale_and_closed_are_told_apart(world: World) -> None:
    stale = read_list(world.signed_list(next_update=NOW - timedelta(seconds=1)), [PIN])
    closed = read_list(world.signed_list(next_update=None), [PIN])
    assert (stale.state(NOW), closed.state(NOW)) == ("stale", "closed")


def test_a_damaged_list_in_the_folder_is_a_problem_that_is_shown(world: World, tmp_path: Path) -> None:
    service = TrustService(tmp_path)
    service.accept(world.signed_list().encode(), pin=PIN)
    (tmp_path / "lists" / "440000.jws").write_text("eyJ.broken.list")
    store = service.store()
    assert len(store.lists) == 1
    assert [p.code for p in store.problems] == ["trust-list-refused"]
    assert {item["status"] for item in service.lists()} == {"current", "refused"}


def test_trust_from_paths(world: World, tmp_path: Path) -> None:
    pem, der, jws = tmp_path / "root.pem", tmp_path / "root.der", tmp_path / "list.jws"
    pem.write_text(to_pem(world.root.der, "CERTIFICATE") + to_pem(world.ca.der, "CERTIFICATE"))
    der.write_bytes(world.root.der)
    jws.write_text(world.signed_list())
    assert len(TrustStore.from_paths([pem, der]).anchors) == 3
    assert len(TrustStore.from_paths([jws], pins=[PIN.upper()]).lists) == 1
    with pytest.raises(TrustListRefused):
        TrustStore.from_paths([jws])
    copy = TrustStore.from_json(TrustStore.from_paths([pem, jws], pins=[PIN]).to_json())
    assert (len(copy.anchors), len(copy.lists)) == (2, 1)


def test_of_two_lists_of_a_region_the_newer_counts(world: World, tmp_path: Path) -> None:
    for n in (3, 4):
        (tmp_path / f"{n}.jws").write_text(world.signed_list(sequence=n))
    store = TrustStore.from_paths(sorted(tmp_path.iterdir()), pins=[PIN])
    assert [one.sequence for one in store.lists] == [4]
