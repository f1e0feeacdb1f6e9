"""The page docs/personal-data.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from tests.personal_data.marks import Datum
from tests.personal_data.surfaces import Surface

_HEAD = """# 个人信息去向 / Where personal data go

此表由测试得出（`tests/integration/test_personal_data.py`）：签发两份带标记的证照，放到手机上、授权、核验、协查，再在每个界面里逐一查找这些标记；
与实际不符时测试失败，用 `XINYIN_RENEW_PERSONAL_DATA=1` 更新。
This table is made by a test that issues two licences with marked values, puts them on phones, authorises staff, verifies and
enquires, and then looks for those values in every surface: in text, attributes, attachments, escapes and base64. The test fails
where the table differs.

● 完整 in full · ◐ 遮蔽 masked · – 没有 nothing.

“代表人号码”“办事人号码”只在签发和授权时录入，当即换成“人员代号”（以节点密钥计算的摘要，见 [citizens.md](citizens.md)）；
任何界面、日志、数据库里都没有号码本身。
The numbers of representatives and staff come in when a licence is issued or an authorisation given, and are turned at once into
a person key (a digest under a secret of the node); the numbers themselves are nowhere, not in the database either.
"""

_FOOT = """
## 保存在哪里 / Where it is kept

按标记在数据库中实际查到的列；证照文件本身保存在 `blobs/`，内容与上表“PDF”两行相同。
Columns in which the marked values were found; the documents themselves lie in `blobs/`.

| 数据 / datum | 列 / columns |
| --- | --- |
"""


def as_markdown(
    columns: Sequence[Datum], seen: Sequence[tuple[Surface, Mapping[str, str]]], kept: Mapping[str, list[str]]
) -> str:
    """The whole page."""
    lines = [_HEAD]
    for group, rows in groupby(seen, key=lambda one: one[0].group):
        lines += [
            f"## {group}",
            "",
            _line(["界面 / surface", "谁看到 / who sees it", *(f"{one.zh}<br>{one.en}" for one in columns)]),
        ]
        lines.append(_line(["---", "---", *(":-:" for _ in columns)]))
        for surface, shown in rows:
            name = surface.zh if surface.zh == surface.en else f"{surface.zh}<br>{surface.en}"
            viewer = "<br>".join(surface.viewer)
            lines.append(_line([name, viewer, *(shown[one.key] for one in columns)]))
        lines.append("")
    body = "\n".join(lines).rstrip("\n") + "\n" + _FOOT
    return body + "".join(_line([f"{one.zh} / {one.en}", _columns(kept[one.key])]) + "\n" for one in columns)


def _columns(found: list[str]) -> str:
    return ", ".join(f"`{one}`" for one in found) or "没有 / nowhere"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
