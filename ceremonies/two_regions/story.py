"""The story: from two regions that know nothing of each other to a licence that is accepted, refused, asked about, withdrawn.

It prints nothing: a :class:`ceremonies.demo.Narrator` is told what happens, and the outcome with an expectation for every
answer is returned.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ceremonies.demo import Narrator
from ceremonies.sample import EXAMPLES, REGISTRAR, sample_uscc
from ceremonies.two_regions import nodes
from ceremonies.two_regions.browser import Browser
from ceremonies.two_regions.nodes import Region
from ceremonies.two_regions.phone import Phone
from crypto.errors import Unavailable
from formats.identifiers import uscc_check_char
from formats.regions import region_name
from people.demo import CITIZENS
from policies.presenting import matters

SECOND = "91310000MA1FL9K31" + uscc_check_char("91310000MA1FL9K31")
ACCEPTED_FOR, REFUSED_FOR, CONDITIONAL_FOR = "open-bank-account", "road-transport-permit", "food-business-permit"
ASKED_FOR = "bid-for-contract"
_PATIENCE = 60.0
_WORDS = {
    "yes": ("是", "yes"),
    "no": ("否", "no"),
    "none": ("未答复", "none"),
    "holds": ("有效", "holds"),
    "broken": ("无效", "broken"),
    "accept": ("可以采信", "accept"),
    "check": ("需要核实", "check"),
    "refuse": ("不予采信", "refuse"),
}


@dataclass(frozen=True)
class Scene:
    """One thing that came to an answer: what, what should come out, what did."""

    zh: str
    en: str
    expected: str
    found: str
    said_zh: str = ""
    said: str = ""

    @property
    def as_expected(self) -> bool:
        return self.found == self.expected

    @property
    def words(self) -> tuple[str, str]:
        """What was found, in Chinese and English."""
        return _WORDS.get(self.found, (self.found, self.found))


@dataclass
class Outcome:
    """How it went. ``folder`` holds the files that the people of the story handled."""

    folder: Path
    regions: list[Region] = field(default_factory=list)
    scenes: list[Scene] = field(default_factory=list)
    files: list[tuple[Path, str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether every expectation held."""
        return bool(self.scenes) and all(scene.as_expected for scene in self.scenes)


def run(base: Path, tell: Narrator) -> Outcome:
    """Found both regions afresh under ``base``, serve them and tell the story; they run on, :meth:`Region.stop` ends them."""
    began = time.monotonic()
    outcome = Outcome(base / nodes.FILES)
    story = _Story(base, tell, outcome)
    try:
        for chapter in story.chapters():
            chapter()
    except BaseException:
        for region in outcome.regions:
            region.stop()
        raise
    finally:
        story.close()
    outcome.seconds = time.monotonic() - began
    return outcome


class _Story:
    """The chapters, in order."""

    def __init__(self, base: Path, tell: Narrator, outcome: Outcome) -> None:
        self.base = base
        self.tell = tell
        self.outcome = outcome
        self.seal = ""
        self.licence: dict[str, Any] = {}
        self.second: dict[str, Any] = {}

    def chapters(self) -> tuple[Callable[[], None], ...]:
        return (
            self.found,
            self.agree,
            self.issue,
            self.download,
            self.verify_file,
            self.verify_phone,
            self.verify_print,
            self.receipt,
            self.ask,
            self.withdraw,
            self.cut_off,
        )

    def close(self) -> None:
        """Give connections back."""
        for name in ("clerk", "phone"):
            one = self.__dict__.get(name)
            if isinstance(one, Browser):
                one.close()

    # -- chapters -------------------------------------------------------------------------------------------------------

    def found(self) -> None:
        self.tell.chapter("两个地区，各建各的", "Two regions, each its own")
        self.outcome.regions = nodes.make(self.base, self.tell.line)
        self.shanghai, self.zhejiang = self.outcome.regions
        self.outcome.folder.mkdir(exist_ok=True)
        self.tell.line("启动两地的服务", "Starting the services of both")
        nodes.start(self.outcome.regions)
        for region in self.outcome.regions:
            self.tell.line(f"{region.name}：{region.base_url}", f"{region.name_en}: {region.base_url}")

    def agree(self) -> None:
        self.tell.chapter("互相登记，订立互认规则", "They register each other, and Zhejiang says what it accepts")
        for here, there in ((self.zhejiang, self.shanghai), (self.shanghai, self.zhejiang)):
            pin = next(one["id"] for one in there.command("trust", "list")["items"] if one["region"] == there.code)
            found = here.command("trust", "import", f"{there.base_url}/trust/list.jws", "--pin", pin)
            self.tell.line(
                f"{here.name}登记了{there.name}的信任列表第 {found['sequence']} 号；密钥指纹 {pin[:16]}… 须经电话核对",
                f"{here.name_en} registers {there.name_en}'s list {found['sequence']}; key {pin[:16]}… compared by telephone",
            )
        self.zhejiang.command("recognition", "put", str(EXAMPLES / "recognition" / "zhejiang.cedar"))
        self.tell.line(
            "浙江省的互认规则：上海营业执照可开立银行账户；不可申请道路运输许可，须先设分支机构",
            "Zhejiang's rules: a Shanghai business licence opens a bank account; a road transport permit needs a branch first",
        )

    def issue(self) -> None:
        self.tell.chapter("上海发照", "Shanghai issues two business licences")
        self.seal = self._registrar()
        data = json.loads((EXAMPLES / "licence.json").read_bytes())
        self.licence = self._issue(data, "licence.pdf")
        self.second = self._issue({**data, "uscc": SECOND, "name": "云江市样本面馆有限公司"}, "second.pdf")
        self._file("licence.pdf", "上海签发的电子营业执照（样本）", "the Shanghai e-business licence (sample)")

    def download(self) -> None:
        self.tell.chapter("店主把执照领到手机上", "The shop owner puts it on a phone")
        owner = next(iter(CITIZENS))
        self.phone = Phone(self.shanghai.base_url)
        self.phone.sign_in(owner.key)
        self.phone.download(self.licence["id"])
        self.tell.line(
            f"{owner.name.replace(' ', '')}经身份认证登录，执照与手机的密钥绑定（此处由程序代替手机）",
            f"{owner.name} signs in; the licence is bound to the phone's key (a program stands in for the phone here)",
        )

    def verify_file(self) -> None:
        self.tell.chapter("浙江窗口：收到 PDF", "At the counter in Zhejiang: the PDF")
        self.clerk = _clerk(self.zhejiang)
        document = (self.outcome.folder / "licence.pdf").read_bytes()
        self._shown("PDF，开立银行账户", "PDF, to open a bank account", "accept", ACCEPTED_FOR, file=("licence.pdf", document))
        self._shown("PDF，申请食品经营许可", "PDF, for a food permit", "check", CONDITIONAL_FOR, file=("licence.pdf", document))
        self._shown("PDF，申请道路运输许可", "PDF, for road transport", "refuse", REFUSED_FOR, file=("licence.pdf", document))

    def verify_phone(self) -> None:
        self.tell.chapter("浙江窗口：店主出示手机", "At the counter: the phone")
        code = self.phone.show()
        self._shown("手机二维码，开立银行账户", "Code on the phone, to open a bank account", "accept", ACCEPTED_FOR, code=code)
        self._shown("同一个二维码的截图，再次出示", "A screenshot of that code, shown again", "check", ACCEPTED_FOR, code=code)

    def verify_print(self) -> None:
        self.tell.chapter("浙江窗口：纸质打印件", "At the counter: the printed licence")
        picture = _photographed((self.outcome.folder / "licence.pdf").read_bytes())
        (self.outcome.folder / "print.png").write_bytes(picture)
        self._file("print.png", "打印件的照片", "a photograph of the print")
        self._shown("打印件照片", "Photograph of the print", "accept", ACCEPTED_FOR, file=("print.png", picture))

    def receipt(self) -> None:
        self.tell.chapter("留存回执；店主看得到谁核验过", "A receipt for the file, and the owner sees who looked")
        page = self.clerk.form("/v", {"code": self.phone.show(), "matter": ACCEPTED_FOR})
        where = urlsplit(page.url).path + "/receipt"
        kept = self.clerk.form(where, page.fields(where))
        path = self.outcome.folder / "receipt.jws"
        path.write_bytes(self.clerk.get(urlsplit(kept.url).path + "/file").body)
        self._file(path.name, "浙江窗口的核验回执（签名）", "the receipt of the counter, signed")
        checked = self.zhejiang.command("receipt", "verify", str(path))
        self._came("核对回执的签名", "The receipt, checked by command", "accept", checked["answer"]["decision"])
        uses = self._until(lambda: self.phone.uses(self.licence["id"]))
        for use in uses[:1]:
            matter = matters()[use["matter"]]
            named, named_zh = region_name(use["region"])
            self.tell.line(
                f"店主手机上显示：{use['organ']}（{named_zh}）为“{matter.zh}”核验过",
                f"On the owner's phone: {use['organ']} ({named}) verified it for “{matter.en}”",
            )
        self._came("店主看到核验记录", "The owner sees who verified", "1", str(len(uses)))

    def ask(self) -> None:
        self.tell.chapter("没有规则的事项：协查", "A matter without a rule: Zhejiang asks Shanghai")
        document = (self.outcome.folder / "licence.pdf").read_bytes()
        self._shown(
            "PDF，参加政府采购投标", "PDF, to bid for a public contract", "check", ASKED_FOR, file=("licence.pdf", document)
        )
        csrf = self.clerk.get("/verify").fields("/signout")["csrf"]
        holder = json.loads((EXAMPLES / "licence.json").read_bytes())["name"]
        question = {
            "region": self.shanghai.code,
            "identifier": self.licence["identifier"],
            "document_sha256": sha256(document).hexdigest(),
            "matter": ASKED_FOR,
            "particulars": {"holder": holder},
        }
        sent = self.clerk.json("/api/v1/enquiries", question, X_CSRF_Token=csrf)
        self.tell.line(
            "浙江窗口发起协查：是否有效、是否原件、名称是否一致（只问是否，不索取数据）",
            "The counter asks: in force? this very file? this name? Yes or no, never data",
        )
        answered = self._until(
            lambda: [one] if (one := self.clerk.get(f"/api/v1/enquiries/{sent['id']}").json())["status"] == "answered" else []
        )
        outcome = answered[0]["answer"]["outcome"] if answered else "none"
        self._came("上海的答复", "Shanghai's answer", "yes", outcome)
        letter = self.outcome.folder / "letter.pdf"
        letter.write_bytes(self.clerk.get(f"/api/v1/enquiries/{sent['id']}/letter").body)
        self._file(letter.name, "上海的协查复函（盖章）", "Shanghai's letter of answer, sealed")
        self._shown("协查复函", "The letter of answer", "accept", "", file=(letter.name, letter.read_bytes()))

    def withdraw(self) -> None:
        self.tell.chapter("上海吊销该执照", "Shanghai withdraws the licence")
        self.shanghai.command("licence", "revoke", self.licence["id"], "--kind", "吊销", "--basis", "样本：行政处罚决定书")
        self.zhejiang.command("trust", "refresh")
        self.tell.line("浙江取得上海新的状态列表", "Zhejiang fetches Shanghai's new status list")
        document = (self.outcome.folder / "licence.pdf").read_bytes()
        self._shown(
            "吊销后，同一份 PDF", "The same PDF, withdrawn since", "refuse", ACCEPTED_FOR, file=("licence.pdf", document)
        )
        self._shown("吊销后，同一部手机", "The same phone, withdrawn since", "refuse", ACCEPTED_FOR, code=self.phone.show())

    def cut_off(self) -> None:
        self.tell.chapter("上海的服务中断", "Shanghai's service is down")
        self.shanghai.stop()
        document = (self.outcome.folder / "second.pdf").read_bytes()
        self._shown(
            "上海中断时，另一份执照",
            "Another licence, Shanghai being down",
            "accept",
            ACCEPTED_FOR,
            file=("second.pdf", document),
            age=True,
        )

    # -- what they do ---------------------------------------------------------------------------------------------------

    def _registrar(self) -> str:
        """The seal in force of the registrar, which the practice cases of a fresh node may have made already."""
        for one in self.shanghai.command("seal", "list")["items"]:
            if one["name"] == REGISTRAR and one["status"] == "in-force":
                return str(one["id"])
        code = sample_uscc(self.shanghai.code, REGISTRAR)
        return str(self.shanghai.command("seal", "create", "--owner", REGISTRAR, "--uscc", code)["id"])

    def _issue(self, data: dict[str, Any], name: str) -> dict[str, Any]:
        source = self.outcome.folder / f".{name}.json"
        owner = next(iter(CITIZENS))
        told = {**data, "representative": owner.name, "representative_id": owner.id_number}
        source.write_text(json.dumps(told, ensure_ascii=False), "utf-8")
        out = self.outcome.folder / name
        try:
            made: dict[str, Any] = self.shanghai.command(
                "licence", "issue", "--type", "business-licence", "--data", str(source), "--out", str(out)
            )
        finally:
            source.unlink()
        self.tell.line(f"{data['name']}，证照标识 {made['identifier']}", f"{data['name']}, licence {made['identifier']}")
        return made

    def _shown(
        self,
        zh: str,
        en: str,
        expected: str,
        matter: str,
        *,
        file: tuple[str, bytes] | None = None,
        code: str | None = None,
        age: bool = False,
    ) -> None:
        """The clerk verifies what is shown; the narrator is told the answer."""
        fields = ({"matter": matter} if matter else {}) | ({"code": code} if code else {})
        verdict = self.clerk.upload("/api/v1/verifications", fields, file).json()
        self.tell.shown(zh, en, verdict)
        answer = verdict["answer"]
        if age:
            self.tell.line(answer["licence"]["message_zh"], answer["licence"]["message"])
        self.outcome.scenes.append(Scene(zh, en, expected, answer["decision"], answer["next_step_zh"], answer["next_step"]))

    def _came(self, zh: str, en: str, expected: str, found: str) -> None:
        scene = Scene(zh, en, expected, found)
        self.tell.line(f"{zh}：{scene.words[0]}", f"{en}: {scene.words[1]}")
        self.outcome.scenes.append(scene)

    def _until(self, look: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """What ``look`` finds, once it finds something; messages between regions take seconds."""
        deadline = time.monotonic() + _PATIENCE
        while not (found := look()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return found

    def _file(self, name: str, zh: str, en: str) -> None:
        self.outcome.files.append((self.outcome.folder / name, zh, en))


def _clerk(region: Region) -> Browser:
    """The window clerk's browser, signed in."""
    browser = region.browser()
    page = browser.get("/signin")
    fields = page.fields("/signin")
    done = browser.form("/signin", {**fields, "name": "window", "password": region.password("window")})
    if done.status != 200 or "xinyin_session" not in browser.cookies:
        raise Unavailable("The window clerk could not sign in.", "窗口人员未能登录。")
    return browser


def _photographed(document: bytes) -> bytes:
    """The first page as somebody photographs it: 150 dpi, a little askew. PNG."""
    import io

    import pypdfium2
    from PIL import Image

    page = pypdfium2.PdfDocument(document)[0].render(scale=150 / 72).to_pil().convert("L")
    out = io.BytesIO()
    page.rotate(3, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()
