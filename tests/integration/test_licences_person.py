"""A licence of a natural person (残疾人证): its number is composed, its page says everything, its code only what is masked."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
import zxingcpp

from formats import codes, pdfa
from licences.catalogue import BadLicenceData, licence_type
from licences.service import LicenceService
from tests.integration.seals_world import OPERATOR, World

DATA: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[2] / "examples" / "disability-certificate.json").read_text(encoding="utf-8")
)
TODAY = date(2026, 11, 22)
NUMBER = DATA["id_number"] + "42"  # 肢体残疾, 二级


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], bytes]:
    world = World(tmp_path_factory.mktemp("node"))
    world.seal()
    world.seal("云江市残疾人联合会", owner_uscc="11310000MB0X700355")
    service = LicenceService(
        world.db, world.keys, world.seals, world.intents, world.audit, world.blobs, world.authoriser, "310000", now=world.now
    )
    return service.issue(OPERATOR, "disability-certificate", DATA)


def test_the_number_is_the_identity_number_with_kind_and_grade(issued: tuple[dict[str, Any], bytes]) -> None:
    licence, document = issued
    assert licence["issuer"] == "云江市残疾人联合会"  # the one organ here that by its name issues it
    with pikepdf.open(io.BytesIO(document)) as pdf:
        attached = json.loads(pdf.attachments["metadata.json"].get_file().read_bytes())
    assert (attached["ZZBH"], attached["CZZTDM"], attached["CZZTDMLXDM"]) == (NUMBER, DATA["id_number"], "111")
    with pypdfium2.PdfDocument(document) as pdf:
        text = "".join(pdf[0].get_textpage().get_text_bounded().split())
    for said in (NUMBER, "肢体残疾", "二级", "2024年05月20日至2034年05月19日", "批准残联", "样本"):
        assert said in text
    assert pdfa.check(document) == []


def test_the_printed_code_of_a_person_is_masked(issued: tuple[dict[str, Any], bytes]) -> None:
    licence, document = issued
    with pypdfium2.PdfDocument(document) as pdf:
        pdf.init_forms()
        picture = pdf[0].render(scale=300 / 72).to_pil().convert("L")
    (found,) = zxingcpp.read_barcodes(picture)
    claims = codes.decode(found.text).claims  # type: ignore[union-attr]
    assert (claims.holder, claims.number) == ("赵*", "9900************19**")
    assert claims.subject == licence["identifier"]
    for secret in (DATA["name"], DATA["id_number"], DATA["id_number"][6:14]):
        assert secret not in repr(claims)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"category": "重度残疾"}, "category"),
        ({"level": "五级"}, "level"),
        ({"number": DATA["id_number"] + "41"}, "number"),
        ({"id_number": "99000019500101001"}, "id_number"),
    ],
)
def test_what_does_not_agree_is_refused_by_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadLicenceData) as refused:
        licence_type("disability-certificate").check({**DATA, **change}, issued=TODAY)
    assert [p["field"] for p in refused.value.detail["problems"]] == [field]


def test_a_composed_number_may_be_typed_where_it_agrees() -> None:
    assert licence_type("disability-certificate").check({**DATA, "number": NUMBER}, issued=TODAY).text("number") == NUMBER
