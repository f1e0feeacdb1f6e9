"""The demo story: the main job from two seals to a withdrawn licence, on real parts, with an expectation for every verdict.

It prints nothing: a :class:`Narrator` is told what happens, in Chinese and English, and the outcome is returned.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from ceremonies import training
from ceremonies.forgery import tampered
from ceremonies.node import Node
from ceremonies.plain import plain
from ceremonies.sample import APPROVER, EXAMPLES, REGISTRAR, sample_seal
from crypto.errors import Forbidden, NotFound, XinyinError
from people.demo import represented_by
from people.schemas import Actor


class Narrator(Protocol):
    """Who tells the story to people."""

    def chapter(self, zh: str, en: str) -> None: ...

    def line(self, zh: str, en: str) -> None: ...

    def shown(self, zh: str, en: str, verdict: dict[str, Any]) -> None:
        """A document was shown and verified."""
        ...


@dataclass(frozen=True)
class Scene:
    """One verification: what was shown, what should come out, what did."""

    zh: str
    en: str
    file: Path
    expected: tuple[str, str]
    verdict: dict[str, Any]

    @property
    def found(self) -> tuple[str, str]:
        """``(verdict, decision)``."""
        return self.verdict["verdict"], self.verdict["answer"]["decision"]

    @property
    def as_expected(self) -> bool:
        return self.found == self.expected


@dataclass
class Outcome:
    """How the demo went."""

    folder: Path
    scenes: list[Scene] = field(default_factory=list)
    files: list[tuple[Path, str, str]] = field(default_factory=list)
    refused: list[tuple[str, XinyinError]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether every expectation held."""
        return all(scene.as_expected for scene in self.scenes)


PASSED = ("TOTAL-PASSED", "accept")
ALTERED = ("TOTAL-FAILED", "refuse")
WITHDRAWN = ("TOTAL-PASSED", "refuse")
UNSEALED = ("NO-SIGNATURE", "check")


def run(node: Node, pdfs: Sequence[Path], narrator: Narrator) -> Outcome:
    """Tell and do the story on ``node``; further ``pdfs`` are sealed as well.

    :raises Forbidden: the node is a production node
    """
    if node.mode == "production":
        raise Forbidden("The demo does not run on a production node.", "演示不能在生产节点上运行。")
    began = time.monotonic()
    outcome = Outcome(node.home / "demo")
    outcome.folder.mkdir(exist_ok=True)
    story = _Story(node, node.actor(None), narrator, outcome)
    story.seals()
    story.licence()
    story.approval()
    for path in pdfs:
        story.another(path)
    story.verify_all()
    story.tamper()
    story.withdraw()
    story.doors()
    node.audit.sequence(node.checkpoint_key())
    outcome.seconds = time.monotonic() - began
    return outcome


class _Story:
    """The chapters, in order; each leaves files in the outcome's folder."""

    def __init__(self, node: Node, actor: Actor, narrator: Narrator, outcome: Outcome) -> None:
        self.node = node
        self.actor = actor
        self.tell = narrator
        self.outcome = outcome
        self.run = secrets.token_hex(6)  # a second demo in the same home is a new story, not a replay of the first
        self.sealed: list[tuple[Path, str, str]] = []

    # -- chapters -------------------------------------------------------------------------------------------------------

    def seals(self) -> None:
        self.tell.chapter("制章", "Two departments get their seals")
        self.approver = self._seal(APPROVER)
        self.registrar = self._seal(REGISTRAR)

    def licence(self) -> None:
        self.tell.chapter("发照", "The market supervision bureau issues an e-business licence")
        data = json.loads(_example("licence.json")) | represented_by("owner")
        licence, pdf = self.node.licences.issue(
            self.actor, "business-licence", data, seal_id=self.registrar["id"], idempotency_key=f"demo-{self.run}-licence"
        )
        self.node.renew_trust()  # the bureau's key for codes belongs on the list
        self.licence_id = plain(licence)["id"]
        self.licence_file = self._keep("business-licence.pdf", pdf, "营业执照", "business licence")
        identifier = plain(licence)["identifier"]
        self.tell.line(f"已签发给 {data['name']}，证照标识 {identifier}", "Issued, with an identifier of GB/T 36904")

    def approval(self) -> None:
        self.tell.chapter("用印", "The approval is sealed, with RSA and with SM2")
        from seals.sealing import Placement

        original = _example("approval.pdf")
        self.original = self._keep("approval.pdf", original, "批复原件（未盖章）", "the approval, not sealed")
        place = Placement(2, 137.0, 175.0)
        for suite, format, level in (("rsa", "pades", "LTA"), ("sm2", "gm", "LTA")):
            path = self._apply(original, f"approval-{suite}.pdf", suite, format, level, place)
            self.sealed.append((path, f"批复，{suite.upper()} 签章", f"approval sealed with {suite.upper()}"))

    def another(self, path: Path) -> None:
        from formats.pdf.errors import OffThePage
        from seals.sealing import CentrePlacement, Placement

        data = path.read_bytes()
        for suite, format in (("rsa", "pades"), ("sm2", "gm")):
            name = f"{path.stem}-{suite}.pdf"
            try:
                try:
                    sealed = self._apply(data, name, suite, format, "B", Placement(1, 150.0, 240.0))
                except OffThePage:
                    sealed = self._apply(data, name, suite, format, "B", CentrePlacement(1))
            except XinyinError as exc:
                self.outcome.refused.append((path.name, exc))
                self.tell.line(f"{path.name} 未盖章：{exc.message_zh}", f"{path.name} was not sealed: {exc.message}")
                return
            self.sealed.append((sealed, f"{path.name}，{suite.upper()} 签章", f"{path.name} sealed with {suite.upper()}"))

    def verify_all(self) -> None:
        self.tell.chapter("核验", "Everything is verified, as anyone could")
        self._show("未盖章的原件", "the original without a seal", self.original, UNSEALED)
        for path, zh, en in self.sealed:
            self._show(zh, en, path, PASSED)
        self._show("营业执照", "business licence", self.licence_file, PASSED)

    def tamper(self) -> None:
        self.tell.chapter("篡改", "Somebody changes one byte in copies of the sealed files")
        for path, zh, en in [*self.sealed[:2], (self.licence_file, "营业执照", "business licence")]:
            edited = self._keep(
                f"{path.stem}-tampered.pdf", tampered(path.read_bytes()), f"{zh}：被篡改的副本", f"{en}: a tampered copy"
            )
            self._show(f"{zh}：被篡改", f"{en}: tampered", edited, ALTERED)

    def withdraw(self) -> None:
        self.tell.chapter("撤销", "The licence is withdrawn; its signature stays perfect, the answer does not")
        self.node.licences.revoke(self.actor, self.licence_id, kind="撤销", effective=None, basis="演示：以欺骗手段取得登记")
        self._show("营业执照：撤销之后", "business licence: after withdrawal", self.licence_file, WITHDRAWN)

    def doors(self) -> None:
        self.tell.chapter("五扇门", "Five doors")
        training.prepare(self.node)
        self.tell.line(
            "培训案例已备好：make serve 之后，在首页选一扇门进去",
            "cases are prepared: after make serve, choose a door on the first page",
        )

    # -- steps ----------------------------------------------------------------------------------------------------------

    def _seal(self, owner: str) -> dict[str, Any]:
        seal, made = sample_seal(self.node, owner)
        if not made:
            self.tell.line(f"{owner}：沿用已有印章 {seal['es_id']}", "it has its seal already")
            return seal
        self.tell.line(
            f"{owner}：印章编码 {seal['es_id']}；SM2、RSA、P-256 密钥各一对，均在令牌内生成",
            "its keys in SM2, RSA and P-256 were made inside the token",
        )
        return seal

    def _apply(self, data: bytes, name: str, suite: str, format: str, level: str, place: Any) -> Path:
        _, sealed = self.node.seals.apply(
            self.actor,
            data,
            seal_id=self.approver["id"],
            format=format,
            suite=suite,
            level=level,
            placement=place,
            idempotency_key=f"demo-{self.run}-{sha256(name.encode()).hexdigest()}",  # a file may be called anything
        )
        path = self._keep(name, sealed, f"{suite.upper()} 签章", f"sealed with {suite.upper()}")
        self.tell.line(f"{name}：{suite.upper()}，B-{level} 级", f"sealed with {suite.upper()}, level B-{level}")
        return path

    def _show(self, zh: str, en: str, path: Path, expected: tuple[str, str]) -> None:
        from verify.service import verify_bytes

        verdict = verify_bytes(path.read_bytes(), name=path.name, context=self.node.verification_context())
        self.outcome.scenes.append(Scene(zh, en, path, expected, verdict))
        self.tell.shown(zh, en, verdict)

    def _keep(self, name: str, data: bytes, zh: str, en: str) -> Path:
        path = self.outcome.folder / name
        path.write_bytes(data)
        self.outcome.files.append((path, zh, en))
        return path


def _example(name: str) -> bytes:
    path = EXAMPLES / name
    if not path.is_file():
        raise NotFound(
            f"The demo's example {name} is not there; run the demo from a checkout of the project.",
            f"缺少演示用的 {name}；请在项目源码目录中运行演示。",
        )
    return path.read_bytes()
