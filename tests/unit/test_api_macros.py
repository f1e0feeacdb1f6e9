"""The parts that pages are built from, each rendered as a page would."""

from __future__ import annotations

import re

import pytest

from api.history import Event
from api.render import environment
from api.texts import text

CONTEXT = {
    "lang": "zh",
    "t": lambda key, **values: text("zh", key, **values),
    "m": lambda said: said["message_zh"],
    "when": str,
    "short_when": str,
    "csrf": "the-token",
    "history": lambda subject: [Event("2026-11-22T01:30:00Z", "签发", "李华", "王芳", "规则的话", "缺文号", "leaf_1", 7)],
}
PARTS = {
    "head": ("{{ head('标题', '说明', [('/', '首页')]) }}", ["<h1", "标题", "说明", 'href="/"']),
    "head with actions": ("{% call head('标题') %}<a href='/x'>新建</a>{% endcall %}", ["head-actions", "新建"]),
    "status": ("{{ status('有效', 'good') }}", ["tag good", "<svg", "有效"]),
    "say": ("{{ say({'message_zh': '不行', 'message': 'no'}) }}{{ say(none) }}", ['role="alert"', "不行"]),
    "facts": ("{{ facts([('文号', '一号'), ('空', '')]) }}", ["<dt>文号</dt><dd>一号</dd>"]),
    "listing": ("{% call listing('清单', ['甲', '']) %}<tr><td>1</td></tr>{% endcall %}", ["<caption", 'scope="col"', "操作"]),
    "filters": ("{% call filters('/x', [('/x.csv', 'CSV')]) %}字段{% endcall %}", ['method="get"', "字段", "/x.csv"]),
    "paging": ("{{ paging('/x?cursor=1') }}{{ paging(none) }}", ['href="/x?cursor=1"']),
    "empty": ("{{ empty('没有', '/new', '新建') }}", ["没有", 'href="/new"']),
    "stepper": (
        "{{ stepper([{'label': '签发', 'state': 'current', 'who': '李华', 'at': none, 'note': ''}]) }}",
        ['aria-current="step"', "李华", "办理中"],
    ),
    "timeline": ("{{ timeline('application_1') }}", ["办理记录", "李华 代 王芳", "规则的话", "缺文号", "日志第 7 号"]),
    "form": ("{% call form('/x', upload=true) %}…{% endcall %}", ['value="the-token"', "multipart/form-data"]),
    "confirm": (
        "{% call confirm('/x', '真的？', '作废', '/y', 'bad') %}…{% endcall %}",
        ['value="the-token"', "danger", 'href="/y"'],
    ),
    "field": (
        "{{ field('n', '文号', hint='提示', error='太长') }}",
        ['for="f-n"', 'aria-describedby="e-n h-n"', 'aria-invalid="true"'],
    ),
    "textarea": ("{{ field('n', '理由', type='textarea', required=false) }}", ["<textarea", "选填"]),
    "choice": ("{{ choice('s', '印章', [('1', '甲'), ('2', '乙')], '2') }}", ['<option value="2" selected>乙']),
    "ticks": ("{{ ticks('d', '部门', [('1', '甲', '')], ['1']) }}", ["<legend>部门", " checked"]),
    "drop": ("{{ drop('file', '要盖章的文件', multiple=true) }}", ['type="file"', " multiple"]),
    "progress": ("{{ progress('盖章', 3, 10, '/x') }}", ['max="10" value="3"', 'data-follow="/x"']),
    "notice": ("{% call notice('doubt') %}<p>注意</p>{% endcall %}", ["alert doubt", "注意"]),
    "section": ("{% call section('s', '节') %}内容{% endcall %}", ['aria-labelledby="s"', "内容"]),
}


@pytest.mark.parametrize("name", PARTS)
def test_each_part_renders_what_it_is_given(name: str) -> None:
    source, expected = PARTS[name]
    macros = environment().get_template("macros.html").module
    names = ", ".join(sorted(one for one in dir(macros) if not one.startswith("_")))
    page = environment().from_string(f"{{% from 'macros.html' import {names} with context %}}{source}").render(CONTEXT)
    for words in expected:
        assert words in page, page


def test_whatever_a_part_is_given_is_text_and_never_markup() -> None:
    evil = "<script>alert(1)</script>"
    source = (
        "{% from 'macros.html' import head, facts, field, choice, stepper, status, say with context %}"
        "{{ head(evil, evil, [('/', evil)]) }}{{ facts([(evil, evil)]) }}{{ field('n', evil, evil, hint=evil, error=evil) }}"
        "{{ choice('s', evil, [(evil, evil)]) }}"
        "{{ stepper([{'label': evil, 'state': 'done', 'who': evil, 'at': none, 'note': evil}]) }}"
        "{{ status(evil) }}{{ say({'message_zh': evil}) }}"
    )
    page = environment().from_string(source).render({**CONTEXT, "evil": evil})
    assert "<script" not in page
    assert len(re.findall("&lt;script&gt;", page)) >= 12
