"""The table: who gets where, by which rule."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.authority.recipes import recipe_of
from tests.authority.world import PERSONAS, Asked, Route, World

OPEN = frozenset(
    {
        "GET /ca/{ca}.crt",
        "GET /crl/{ca}.crl",
        "GET /ocsp/{encoded:path}",
        "POST /ocsp",
        "POST /tsa",
        "POST /oauth/token",
        "POST /identity/token",
        "GET /identity/userinfo",
        "POST /api/v1/peer-messages",
        "POST /api/v1/receipts/check",
    }
)
"""Protocols that whoever calls has no account for; what is malformed is refused without asking a rule."""

_LOOKING = (".show", ".list")
"""What is asked on the way to a deed, and for the answer to it."""

MARKS = {"yes": "✔", "no": "✘", "hidden": "∅", "signin": "–"}


@dataclass
class Cell:
    """What became of one caller at one address: yes, no, hidden (as if it were not there), signin (who are you?)."""

    answer: str
    rule: str
    status: int


@dataclass
class Row:
    """One address for every caller."""

    route: Route
    cells: dict[str, Cell] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """The same for everybody, without any rule."""
        return len({cell.answer for cell in self.cells.values()}) == 1 and not any(c.rule for c in self.cells.values())

    @property
    def is_closed(self) -> bool:
        """There for nobody."""
        return all(cell.answer == "hidden" for cell in self.cells.values())


class Unsound(AssertionError):
    """An address that was not tried as it should, or that answered as none may."""


def try_all(world: World, routes: list[Route], closed: frozenset[str]) -> list[Row]:
    """Every address by every caller.

    :param closed: addresses that are not there on such a node
    """
    rows, wrong = [], []
    for route in routes:
        try:
            rows.append(_try_one(world, route, closed))
        except Unsound as exc:
            wrong.append(str(exc))
        except Exception as exc:  # noqa: BLE001 - every address that cannot be tried is named, not only the first
            wrong.append(f"{route}: {type(exc).__name__}: {exc}")
    if wrong:
        raise Unsound("\n".join(wrong))
    return rows


def _try_one(world: World, route: Route, closed: frozenset[str]) -> Row:
    row = Row(route)
    for persona in PERSONAS:
        world.persona = persona
        ask = recipe_of(route, world)
        if ask is None:
            raise Unsound(f"{route} is in no recipe: say in tests/authority/recipes.py how it is asked")
        answer, asked = world.try_it(persona, route, ask)
        row.cells[persona] = _cell(route, persona, answer, asked)
        if row.cells[persona].answer == "yes":
            world.unused.clear()
        if persona == "other" and row.cells[persona].answer == "yes":
            shown = [one for one in world.of_the_department() if one in answer.text]
            if shown:
                raise Unsound(f"{route} shows {shown} to somebody of another department")
    missing = all(cell.status == 404 for cell in row.cells.values())
    if missing != (str(route) in closed):
        raise Unsound(f"{route} was {'not found by anybody' if missing else 'found'}: its recipe names what is not there")
    return row


def _cell(route: Route, persona: str, answer: object, asked: list[Asked]) -> Cell:
    status: int = answer.status_code  # type: ignore[attr-defined]
    location: str = answer.headers.get("location", "")  # type: ignore[attr-defined]
    if status >= 500 and status != 503:
        raise Unsound(f"{route} by {persona}: {status} {answer.text[:500]}")  # type: ignore[attr-defined]
    if status == 401 or (status == 303 and location.startswith(("/signin", "/phone/signin"))):
        return Cell("signin", "", status)
    if status == 404:
        return Cell("hidden", "", status)
    deeds = asked if route.method == "GET" else [one for one in asked if not one.decision.action.endswith(_LOOKING)]
    if status == 403:
        refused = [one.decision for one in deeds if not one.decision.allowed]
        rule = (refused[0].closest or refused[0].rule) if refused else ""
        return Cell("no", rule, status)
    looked = [one.decision.rule for one in asked if one.decision.allowed]
    done = [one.decision.rule for one in deeds if one.decision.allowed]
    required = [one.decision.rule for one in deeds if one.required and one.decision.allowed]
    if status in (400, 422) and not looked and persona != "nobody" and not _is_ones_own(route):
        raise Unsound(f"{route} by {persona}: {status} before any rule was asked: {answer.text[:300]}")  # type: ignore[attr-defined]
    return Cell("yes", (required or done or looked or [""])[0], status)


def _is_ones_own(route: Route) -> bool:
    """Whether an address speaks of nobody but the caller, or of nobody at all: no rule need be asked."""
    return str(route) in OPEN or route.path.startswith(("/account", "/signin", "/phone/sign"))


def as_markdown(rows: list[Row]) -> str:
    """The page docs/authority.md."""
    named = [row for row in rows if not row.is_open and not row.is_closed]
    lines = [*_HEAD]
    for title, chosen in _sections(named):
        lines += ["", f"## {title}", "", _line(["地址 / address", *(zh for zh, _ in PERSONAS.values()), "规则 / rule"])]
        lines.append(_line(["---", *(":-:" for _ in PERSONAS), "---"]))
        lines += [_line([f"`{row.route}`", *(MARKS[c.answer] for c in row.cells.values()), _rules(row)]) for row in chosen]
    lines += ["", "## 对所有人开放 / open to everyone", ""]
    lines += [f"- `{row.route}`" for row in rows if row.is_open and not row.is_closed]
    lines += ["", "## 仅演示环境，或须先有结果 / only with the demo, or for a result that is kept", ""]
    lines += [f"- `{row.route}`" for row in rows if row.is_closed]
    return "\n".join(lines) + "\n"


def _sections(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    api = [row for row in rows if not row.route.is_page]
    pages = [row for row in rows if row.route.is_page]
    return [(title, found) for title, found in (("接口 / HTTP", api), ("页面 / pages", pages)) if found]


def _rules(row: Row) -> str:
    allowed = list(dict.fromkeys(c.rule for c in row.cells.values() if c.answer == "yes" and c.rule))
    refused = list(dict.fromkeys(c.rule for c in row.cells.values() if c.answer == "no" and c.rule and c.rule not in allowed))
    said = [f"`{rule}`" for rule in allowed] + [f"✘ `{rule}`" for rule in refused]
    return " ".join(said) or "—"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


_HEAD = (
    "# 权限一览 / Who may do what",
    "",
    "此表由测试逐一调用每个地址得出（`tests/integration/test_authority.py`），与实际不符时测试失败；用 `make authority` 更新。",
    "This table is made by a test that calls every address as every kind of caller; the test fails where it differs, and",
    "`make authority` renews it.",
    "",
    "✔ 可以 allowed · ✘ 被规则拒绝 refused by a rule · ∅ 如同不存在 hidden · – 须先登录 sign in first.",
    "",
    "除“他部门人员”外，各工作人员均属于对象所在的部门；证照属于“持证人”；节点为非生产模式。",
    "规则的原意见 `xinyin policy list`，逐条说明见 `xinyin policy explain`。",
    "All staff but “another department” belong to the department of the objects, the licence is the holder's; the node is",
    "not in production mode.",
)
