"""What a verifier is shown: licences of a node as files, codes, pictures and what a camera sees of them."""

from __future__ import annotations

import io
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import segno
from PIL import Image

from tests.node_home import EXAMPLES, Service

DATA: dict[str, Any] = json.loads((EXAMPLES / "licence.json").read_text(encoding="utf-8"))


class Shown:
    """Licences of one service: one in force, one suspended, one withdrawn."""

    def __init__(self, service: Service, name: str) -> None:
        self.service = service
        self.name = name

    def issue(self, which: str) -> tuple[dict[str, Any], bytes]:
        node, operator = self.service.node, self.service.node.actor(None)
        seal = self.service.registrar()
        made = node.licences.issue(
            operator, "business-licence", DATA, seal_id=seal["id"], idempotency_key=f"{self.name}-{which}"
        )
        node.renew_trust()
        return made

    @cached_property
    def good(self) -> tuple[dict[str, Any], bytes]:
        return self.issue("good")

    @cached_property
    def suspended(self) -> tuple[dict[str, Any], bytes]:
        made = self.issue("suspended")
        self.service.node.licences.suspend(self.service.node.actor(None), made[0]["id"], basis="样本：核实期间")
        return made

    @cached_property
    def withdrawn(self) -> tuple[dict[str, Any], bytes]:
        made = self.issue("withdrawn")
        node = self.service.node
        node.licences.revoke(node.actor(None), made[0]["id"], kind="撤销", effective=None, basis="样本：以欺骗手段取得登记")
        return made


def picture(code: str, *, size: tuple[int, int] = (1280, 960), side: int = 560, angle: float = 0) -> Image.Image:
    """A code held before a camera."""
    drawn = io.BytesIO()
    segno.make(code, error="m", micro=False).save(drawn, kind="png", scale=8, border=4)
    held = Image.open(drawn).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    held = held.rotate(angle, expand=True, fillcolor=(150, 140, 130), resample=Image.Resampling.BICUBIC)
    scene = Image.new("RGB", size, (150, 140, 130))
    scene.paste(held, ((size[0] - held.width) // 2, (size[1] - held.height) // 2))
    return scene


def jpeg(image: Image.Image, quality: int = 80) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=quality)
    return out.getvalue()


def camera(path: Path, code: str | None, *, angle: float = 0, empty: int = 12, shown: int = 30) -> Path:
    """What a camera sees, as Chromium plays it: a while nothing, then the code; over and over."""
    nothing = jpeg(Image.new("RGB", (1280, 960), (150, 140, 130)))
    frames = [nothing] * empty + ([jpeg(picture(code, angle=angle))] * shown if code else [])
    path.write_bytes(b"".join(frames))
    return path
