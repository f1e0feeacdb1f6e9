"""``[[watch]]`` of node.toml: folders whose documents are to be sealed, for systems that nobody may change."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ceremonies.config import FILE, read_toml
from crypto.errors import BadInput, Misconfigured
from seals.placement import AnyPlacement, KeywordPlacement, Placement, StraddlePlacement

_TEXTS = ("name", "in", "out", "failed", "account", "seal")
_MORE = {
    "department": str,
    "matter": str,
    "at": str,
    "keyword": str,
    "straddle": str,
    "format": str,
    "suite": str,
    "level": str,
}
_OTHER = {"sealer": str, "copies": int, "stable_seconds": int | float, "facts": dict}


@dataclass(frozen=True)
class WatchConfig:
    """One watched folder.

    :ivar account: name of the system account that puts the applications (经办)
    :ivar sealer: name of the account that uses the seal once an application is signed off; ``account`` by default
    :ivar seal: identifier or esID; :ivar department: that of the seal's owner by default
    :ivar placement: None: the seal goes on its owner's name
    :ivar stable_seconds: a file is taken when it has not changed for so long
    :ivar facts: what the rules of an instant matter (秒批) are told of every document in this folder
    """

    name: str
    inbox: Path
    outbox: Path
    failed: Path
    account: str
    seal: str
    sealer: str
    matter: str = "default"
    department: str | None = None
    placement: AnyPlacement | None = None
    format: str | None = None
    suite: str | None = None
    level: str = "B"
    copies: int = 1
    stable_seconds: float = 5.0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def taken(self) -> Path:
        """Where a file waits while people decide: on the same file system, so that taking it is one step."""
        return self.inbox / ".taken"


def watch_configs(home: Path) -> list[WatchConfig]:
    """Every ``[[watch]]``. :raises Misconfigured: one that cannot be used, and why"""
    found = read_toml(home).get("watch", [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise _bad(home, "write each folder as [[watch]]", "每个文件夹须以 [[watch]] 列出")
    made = [_read(home, one) for one in found]
    if len({one.name for one in made}) != len(made) or len({one.inbox for one in made}) != len(made):
        raise _bad(home, "two folders have the same name or the same place", "有两个文件夹名称或位置相同")
    return made


def _read(home: Path, values: dict[str, Any]) -> WatchConfig:
    known = {**dict.fromkeys(_TEXTS, str), **_MORE, **_OTHER}
    name = values.get("name", "?")
    missing = [key for key in _TEXTS if not values.get(key)]
    strange = [key for key in values if key not in known]
    wrong = [key for key, value in values.items() if key in known and not isinstance(value, known[key])]
    if missing or strange or wrong:
        which = ", ".join([*missing, *strange, *wrong])
        raise _bad(home, f"the folder {name} lacks or misspells: {which}", f"文件夹 {name} 缺少或误写：{which}")
    folders = [(home / Path(values[key]).expanduser()).resolve() for key in ("in", "out", "failed")]
    if len(set(folders)) != 3:
        raise _bad(home, f"in, out and failed of {name} must differ", f"文件夹 {name} 的 in、out、failed 须各不相同")
    return WatchConfig(
        name=name,
        inbox=folders[0],
        outbox=folders[1],
        failed=folders[2],
        account=values["account"],
        seal=values["seal"],
        sealer=values.get("sealer", values["account"]),
        matter=values.get("matter", "default"),
        department=values.get("department"),
        placement=_placement(home, name, values),
        format=values.get("format"),
        suite=values.get("suite"),
        level=values.get("level", "B"),
        copies=values.get("copies", 1),
        stable_seconds=float(values.get("stable_seconds", 5)),
        facts=values.get("facts", {}),
    )


def _placement(home: Path, name: str, values: dict[str, Any]) -> AnyPlacement | None:
    given = [key for key in ("at", "keyword", "straddle") if key in values]
    try:
        if len(given) > 1:
            raise ValueError("several places")
        if "keyword" in values:
            return KeywordPlacement(values["keyword"])
        if "straddle" in values:
            return StraddlePlacement.at(values["straddle"])
        if "at" in values:
            page, x, y = values["at"].split(",")
            return Placement(int(page), float(x), float(y))
    except (ValueError, BadInput) as exc:
        raise _bad(
            home,
            f"the place of the seal in {name} is one of at = “PAGE,X_MM,Y_MM”, keyword, straddle",
            f"文件夹 {name} 的盖章位置只能写 at = “页,X毫米,Y毫米”、keyword、straddle 之一",
        ) from exc
    return None


def _bad(home: Path, why: str, why_zh: str) -> Misconfigured:
    return Misconfigured(f"[[watch]] in {home / FILE}: {why}.", f"{home / FILE} 的 [[watch]]：{why_zh}。")
