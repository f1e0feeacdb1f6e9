"""Annotated copies (加注件): made for one purpose, verified by file, by code and by 查验码, and ended with everything else."""

from __future__ import annotations

import io
import json
import math
import random
import secrets
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pikepdf
import pypdfium2
import pytest
import zxingcpp
from PIL import Image, ImageChops, ImageFilter

from crypto.errors import Forbidden
from formats import checkcode, codes, pdfa
from formats.dates import BEIJING
from licences.annotated import AnnotatedCopies, BadCopy, NoSuchCopy
from licences.documents import qr
from licences.events import LicenceStateRefused
from licences.grants import GrantEnded
from licences.service import NoSuchLicence
from policies import presenting
from tests.integration.holdings_world import Holdings, Someone
from tests.integration.seals_world import MARKET, OPERATOR, staff
from verify import pictures

TODAY = datetime.now(BEIJING).date()
SOON = TODAY + timedelta(days=30)
CLERK = staff("clerk", "licensing_clerk", department=MARKET)


class Office:
    """A node's annotated copies, with a business and a person to make them of."""

    def __init__(self, holdings: Holdings) -> None:
        self.held = holdings
        self.copies = AnnotatedCopies(holdings.licences, matters=presenting.matters, now=holdings.world.now)
        holdings.licences.followers.append(self.copies.follow)
        holdings.book.followers.append(self.copies.follow_grants)
        self.owner = holdings.someone("李店主")
        self.elder = holdings.someone("赵大爷")
        self.stranger = holdings.someone("孙路人")
        self.business = holdings.business(self.owner)
        self.personal = holdings.personal(self.elder)

    def make(self, who: Someone, licence: dict[str, Any], **more: Any) -> tuple[dict[str, Any], bytes]:
        wish = {"purpose": "办理残疾人补贴", "until": SOON, "matter": "disability-benefit", **more}
        return self.copies.make(who.citizen, licence["id"], **wish)

    def published(self, copy: dict[str, Any]) -> int:
        """What the status list says of the copy's place."""
        claims = codes.decode(self.copies.by_check_code(copy["check_code"])["code"]).claims  # type: ignore[union-attr]
        assert claims.status is not None
        state = self.held.statuses.state(claims.status, self.held.world.now())
        assert state is not None
        return state.value


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(Holdings(tmp_path_factory.mktemp("node")))


@pytest.fixture(scope="module")
def made(office: Office) -> tuple[dict[str, Any], bytes]:
    return office.make(office.elder, office.personal)


@pytest.fixture
def clock(office: Office) -> Iterator[Any]:
    yield office.held.world
    office.held.world.offset = timedelta()


def page(data: bytes, dpi: int) -> Image.Image:
    with pypdfium2.PdfDocument(data) as pdf:
        pdf.init_forms()
        return pdf[0].render(scale=dpi / 72).to_pil().convert("L")


def text_of(data: bytes) -> str:
    with pypdfium2.PdfDocument(data) as pdf:
        return "".join(pdf[0].get_textpage().get_text_bounded().split())


# -- what it is -----------------------------------------------------------------------------------------------------------


def test_the_page_says_what_it_is_for_until_when_and_who_made_it(made: tuple[dict[str, Any], bytes]) -> None:
    copy, data = made
    text = text_of(data)
    day = f"{SOON.year}年{SOON.month:02d}月{SOON.day:02d}日"
    for said in ("加注件", "仅供办理残疾人补贴使用", f"有效至{day}", "持证人赵*", copy["check_code"], "样本"):
        assert said in text, said
    assert text.count("再复印无效") > 10  # across the whole page, so that no part of it can be cut out
    assert pdfa.check(data) == []
    with pikepdf.open(io.BytesIO(data)) as pdf:
        attached = json.loads(pdf.attachments["metadata.json"].get_file().read_bytes())
    assert (attached["JZJZZSY"], attached["JZJYXQJZSJ"]) == ("办理残疾人补贴", SOON.strftime("%Y%m%d"))
    assert (attached["KZ_JZJBS"], attached["KZ_JZJSXBM"]) == (copy["id"], "disability-benefit")


def test_its_code_says_the_purpose_and_nothing_personal(office: Office, made: tuple[dict[str, Any], bytes]) -> None:
    copy, data = made
    (found,) = zxingcpp.read_barcodes(page(data, 300))
    claims = codes.decode(found.text).claims
    assert isinstance(claims, codes.Claims)
    assert (claims.copy_id, claims.purpose, claims.matter) == (copy["id"], "办理残疾人补贴", "disability-benefit")
    assert claims.purpose_until == datetime(SOON.year, SOON.month, SOON.day, 23, 59, 59, tzinfo=BEIJING)
    assert claims.subject == office.personal["identifier"]
    assert (claims.holder, claims.number[:4], set(claims.number[4:16])) == ("赵*", "9900", {"*"})
    assert office.elder.id_number not in repr(claims)


def test_the_register_holds_no_identity_number_and_the_leaf_nothing_personal(
    office: Office, made: tuple[dict[str, Any], bytes]
) -> None:
    copy, _ = made
    (leaf,) = [one for one in office.held.world.audit.history(copy["id"]) if one.kind == "licence.copied"]
    said = json.dumps([leaf.subject, leaf.data], ensure_ascii=False)
    for secret in ("赵大爷", "办理残疾人补贴", office.elder.id_number, office.elder.key, copy["check_code"].replace("-", "")):
        assert secret not in said


# -- reading it ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["business", "personal"])
def test_the_code_is_read_from_a_rendering_at_300_dpi_and_its_size_is_known(office: Office, which: str) -> None:
    """Prints the sizes that docs/annotated-copies.md gives, for the longest purpose."""
    who, licence = (office.owner, office.business) if which == "business" else (office.elder, office.personal)
    copy, data = office.make(who, licence, purpose="办理三十个字的用途说明文字占满一行以测试二维码的最大尺寸数")
    (found,) = zxingcpp.read_barcodes(page(data, 300))
    address = office.copies.by_check_code(copy["check_code"])["code"]
    assert found.text == address
    corner = found.position
    side = math.hypot(corner.top_right.x - corner.top_left.x, corner.top_right.y - corner.top_left.y) / 300 * 25.4
    modules = int(qr(address, copy=True).symbol_size(border=0)[0])
    print(f"\n{which}: {len(address)} characters, {modules} modules, {side:.1f} mm, {side / modules:.2f} mm each")
    assert side / modules >= 0.4  # five dots of a 300 dpi printer, two and a half pixels of a scan at 150 dpi


@pytest.mark.parametrize("which", ["business", "personal"])
@pytest.mark.parametrize("seed", range(3))
def test_the_code_is_read_from_a_rotated_noisy_picture_at_150_dpi(office: Office, which: str, seed: int) -> None:
    who, licence = (office.owner, office.business) if which == "business" else (office.elder, office.personal)
    copy, data = office.make(who, licence, idempotency_key=f"noisy-{which}")
    picture = page(data, 150).rotate([7, -13, 24][seed], expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)
    dirty = ImageChops.add(picture.filter(ImageFilter.GaussianBlur(0.5)), noise(picture.size, seed), offset=-128)
    photo = io.BytesIO()
    dirty.save(photo, "JPEG", quality=75)
    assert pictures.read(photo.getvalue()).ours == [office.copies.by_check_code(copy["check_code"])["code"]]


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    """Gaussian noise around 128 (σ 14) with specks of dust, from tiles."""
    draw, edge = random.Random(seed), 256
    values = [min(255, max(0, round(draw.gauss(128, 14)))) for _ in range(edge * edge)]
    for _ in range(edge * edge // 500):
        values[draw.randrange(len(values))] = draw.choice((0, 255))
    tile, whole = Image.frombytes("L", (edge, edge), bytes(values)), Image.new("L", size)
    for x in range(0, size[0], edge):
        for y in range(0, size[1], edge):
            whole.paste(tile.rotate(draw.choice((0, 90, 180, 270))), (x, y))
    return whole


# -- who makes one --------------------------------------------------------------------------------------------------------


def test_whose_licence_it_is_makes_copies_and_nobody_else(office: Office) -> None:
    assert office.make(office.owner, office.business)[0]["maker"] == "法定代表人 李*"
    for licence in (office.business, office.personal):
        with pytest.raises(NoSuchLicence):
            office.make(office.stranger, licence)
    with pytest.raises(NoSuchLicence):
        office.make(office.owner, office.personal)
    assert office.copies.make(CLERK, office.business["id"], purpose="存档", until=SOON)[0]["channel"] == "staff"
    with pytest.raises((Forbidden, NoSuchLicence)):
        office.copies.make(staff("w", "window_clerk"), office.business["id"], purpose="存档", until=SOON)


def test_staff_makes_copies_for_the_matters_that_they_are_authorised_for(office: Office) -> None:
    member = office.held.someone("王店员")
    office.held.grant(office.owner, office.business, "staff", member, "tax-registration", days=40)
    copy, _ = office.make(member, office.business, matter="tax-registration", purpose="税务登记")
    assert copy["maker"] == "办事人 王*"
    for matter in ("open-bank-account", None):
        with pytest.raises(Forbidden):
            office.make(member, office.business, matter=matter, purpose="开户")
    assert [one["id"] for one in office.copies.of_licence(member.citizen, office.business["id"])] == [copy["id"]]
    office.copies.withdraw(member.citizen, copy["id"])
    mine, _ = office.make(office.owner, office.business)
    with pytest.raises(NoSuchCopy):  # the owner's copies are not hers to see or end
        office.copies.withdraw(member.citizen, mine["id"])


def test_no_printed_copy_lasts_longer_than_the_authorisation_it_rests_on(office: Office) -> None:
    agent = office.held.someone("钱代办")
    office.held.grant(office.owner, office.business, "agent", agent, "tax-registration", days=3)
    wish = {"matter": "tax-registration", "purpose": "税务登记"}
    with pytest.raises(BadCopy, match=f"until {TODAY + timedelta(days=2)} at the latest"):
        office.make(agent, office.business, **wish)
    assert office.make(agent, office.business, until=TODAY + timedelta(days=2), **wish)[0]["status"] == "in-force"


@pytest.mark.parametrize(
    "wrong",
    [
        {"purpose": "  "},
        {"purpose": "长" * 31},
        {"purpose": "办理\u202e事项"},
        {"until": TODAY - timedelta(days=1)},
        {"until": TODAY + timedelta(days=400)},
        {"matter": "no-such-matter"},
    ],
)
def test_what_cannot_be_made_is_refused_with_a_sentence(office: Office, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadCopy) as refused:
        office.make(office.owner, office.business, **wrong)
    assert refused.value.message_zh


def test_the_same_request_gives_the_same_copy(office: Office) -> None:
    key = secrets.token_hex(8)
    first, data = office.make(office.owner, office.business, idempotency_key=key)
    again, same = office.make(office.owner, office.business, idempotency_key=key)
    assert (first, data) == (again, same)


def test_a_print_ends_with_the_authorisation_that_it_was_made_by(office: Office) -> None:
    manager, member, other = (office.held.someone(name) for name in ("周经理", "王店员", "吴店员"))
    first = office.held.grant(office.owner, office.business, "manager", manager, days=60)
    office.held.grant(manager, office.business, "staff", member, "tax-registration", days=40)
    office.held.grant(office.owner, office.business, "staff", other, "tax-registration", days=40)
    wish = {"matter": "tax-registration", "purpose": "税务登记"}
    ends = [office.make(who, office.business, **wish)[0] for who in (manager, member)]
    stays = [office.make(who, office.business, **wish)[0] for who in (other, office.owner)]
    office.held.grants.withdraw(office.owner.citizen, first["id"])
    assert [office.published(one) for one in (*ends, *stays)] == [1, 1, 0, 0]
    states = {one["id"]: one["status"] for one in office.copies.of_licence(office.owner.citizen, office.business["id"])}
    assert [states[one["id"]] for one in (*ends, *stays)] == ["withdrawn", "withdrawn", "in-force", "in-force"]


def test_a_new_representative_ends_the_prints_that_rest_on_the_old_ones_word(office: Office) -> None:
    member, business = office.held.someone("王店员"), office.held.business(office.owner)
    office.held.grant(office.owner, business, "staff", member, "tax-registration", days=40)
    copy, _ = office.make(member, business, matter="tax-registration", purpose="税务登记")
    office.held.changed(business, office.held.someone("新代表"))
    assert office.published(copy) == 1
    assert office.copies.show(OPERATOR, copy["id"])["status"] == "withdrawn"


def test_an_authorisation_withdrawn_while_a_print_is_made_leaves_no_print(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = office.held.someone("王店员")
    grant = office.held.grant(office.owner, office.business, "staff", member, "tax-registration", days=40)
    before = office.copies.of_licence(office.owner.citizen, office.business["id"])
    made = office.copies._make

    def slowly(*order: Any) -> Any:
        done = made(*order)
        office.held.grants.withdraw(office.owner.citizen, grant["id"])
        return done

    monkeypatch.setattr(office.copies, "_make", slowly)
    with pytest.raises(GrantEnded):
        office.make(member, office.business, matter="tax-registration", purpose="税务登记")
    assert office.copies.of_licence(office.owner.citizen, office.business["id"]) == before


# -- how it ends ----------------------------------------------------------------------------------------------------------


def test_a_withdrawn_copy_says_so_everywhere_and_the_licence_stays(office: Office) -> None:
    copy, _ = office.make(office.owner, office.business)
    assert office.published(copy) == 0
    ended = office.copies.withdraw(office.owner.citizen, copy["id"])
    assert (ended["status"], office.published(copy)) == ("withdrawn", 1)
    impression = office.held.world.seals.show_impression(OPERATOR, copy["impression"])
    assert impression["status"] == "voided"
    assert office.held.licences.show(OPERATOR, office.business["id"])["status"] == "in-force"
    assert office.copies.withdraw(office.owner.citizen, copy["id"]) == ended


def test_copies_follow_their_licence(office: Office) -> None:
    owner = office.held.someone("吴老板")
    licence = office.held.business(owner)
    copy, _ = office.make(owner, licence)
    office.held.licences.suspend(OPERATOR, licence["id"], basis="检查")
    assert office.published(copy) == 2
    with pytest.raises(LicenceStateRefused):
        office.make(owner, licence)
    office.held.licences.resume(OPERATOR, licence["id"], basis="检查完毕")
    assert office.published(copy) == 0
    office.held.licences.revoke(OPERATOR, licence["id"], kind="吊销", basis="处罚决定")
    assert office.published(copy) == 1
    assert office.copies.show(OPERATOR, copy["id"])["status"] == "licence-withdrawn"


def test_a_copy_of_a_changed_licence_is_superseded(office: Office) -> None:
    owner = office.held.someone("郑老板")
    licence = office.held.business(owner)
    copy, _ = office.make(owner, licence)
    office.held.changed(licence, owner, address="云江市滨江区新路1号")
    assert office.published(copy) == 3


def test_a_copy_ends_with_its_day(office: Office, clock: Any) -> None:
    copy, _ = office.make(office.owner, office.business, until=TODAY)
    assert office.copies.show(office.owner.citizen, copy["id"])["status"] == "in-force"
    clock.offset = timedelta(days=1)
    assert office.copies.show(office.owner.citizen, copy["id"])["status"] == "expired"


def test_nothing_has_a_code_that_was_made_up(office: Office) -> None:
    with pytest.raises(NoSuchCopy):
        office.copies.by_check_code(checkcode.new())


def test_the_day_is_the_last_one_of_the_region(office: Office) -> None:
    copy, _ = office.make(office.owner, office.business, until=date(SOON.year, SOON.month, SOON.day))
    end = datetime.fromisoformat(copy["until"]).astimezone(UTC)
    assert end == datetime(SOON.year, SOON.month, SOON.day, 15, 59, 59, tzinfo=UTC)
