"""Parts of the HTTP room on their own: limits, kept results, links, and the catalogue of sentences."""

from __future__ import annotations

import re
from pathlib import Path

from api import texts
from api.limits import DOCUMENT_BYTES, RateLimit, body_limit
from api.pages import verify
from api.render import local_path, moment, short_name
from api.results import Results

TEMPLATES = Path(__file__).resolve().parents[2] / "api" / "templates"


def test_a_caller_over_the_rate_is_refused_and_others_are_not() -> None:
    limit = RateLimit(per_second=1, burst=2)
    assert [limit.allow("a", now=0.0) for _ in range(3)] == [True, True, False]
    assert limit.allow("b", now=0.0)
    assert limit.allow("a", now=1.5), "a token has come back"
    assert not limit.allow("a", now=1.6)


def test_only_addresses_that_take_documents_take_large_bodies() -> None:
    assert body_limit("/api/v1/verifications") > DOCUMENT_BYTES
    assert body_limit("/ocsp") <= 64 << 10
    assert body_limit("/api/v1/licences") < 4 << 20


def test_results_are_kept_for_a_while_and_bounded() -> None:
    results = Results(count=2)
    names = [results.put({"n": n}, "t") for n in range(3)]
    assert results.get(names[0]) is None
    assert results.get(names[2]) == ("t", {"n": 2})
    assert Results(seconds=-1).get(Results(seconds=-1).put({}, "t")) is None
    assert len(names[0]) >= 22, "128 random bits"


def test_a_link_back_never_leads_to_another_host() -> None:
    for bad in (
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
        None,
        "/signout",
        "/lang/en",
    ):
        assert local_path(bad) == "/"
    assert local_path("/verify/abc-_1") == "/verify/abc-_1"


def test_times_are_shown_as_people_in_china_read_them() -> None:
    assert moment("2026-11-21T16:30:00Z", "zh") == "2026 年 11 月 22 日 00:30:00（北京时间）"
    assert moment("2026-11-21T16:30:00Z", "en") == "22 November 2026, 00:30:00 (Beijing time)"
    assert moment("not a time", "zh") == "not a time"


def test_a_distinguished_name_is_shortened_to_its_common_name() -> None:
    assert short_name("C=CN,O=云江市行政审批局,CN=云江市行政审批局（样本）") == "云江市行政审批局（样本）"
    assert short_name("something else") == "something else"


def test_every_sentence_of_every_page_exists_in_both_languages() -> None:
    assert texts.subjects("zh") == texts.subjects("en")
    for subject in texts.subjects("zh"):
        zh, en = texts.sentences("zh", subject), texts.sentences("en", subject)
        assert list(zh) == list(en), f"{subject}: the same keys in the same order"
        for lang, one in (("zh", zh), ("en", en)):
            written = re.findall(r'^msgid "(?!")', (texts.LOCALE / lang / f"{subject}.po").read_text("utf-8"), re.MULTILINE)
            assert len(written) == len(one), f"{lang}/{subject}: a key stands there twice"
        for key in zh:
            assert zh[key].strip(), f"{subject}: {key}"
            assert en[key].strip(), f"{subject}: {key}"
            names = [sorted(re.findall(r"\{(\w+)\}", one[key])) for one in (zh, en)]
            assert names[0] == names[1], f"{subject}: {key}"


def test_every_sentence_that_a_page_asks_for_is_there() -> None:
    found = texts.catalogue("zh")
    used = set()
    for page in TEMPLATES.rglob("*.html"):
        used |= set(re.findall(r"""\bt\(["']([\w-]+)["'][,)]""", page.read_text("utf-8")))
    assert used <= set(found), sorted(used - set(found))
    for verdict in ("TOTAL-PASSED", "INDETERMINATE", "TOTAL-FAILED", "NO-SIGNATURE", "UNREADABLE"):
        assert f"verdict_{verdict}" in found
    for sample in verify._TRY:
        assert f"try_{sample}" in found
    for change in ("none", "permitted", "annotation", "undefined"):
        assert f"changes_{change}" in found


def test_no_page_has_inline_script_style_or_foreign_assets() -> None:
    for page in TEMPLATES.rglob("*.html"):
        source = page.read_text("utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)", source), page.name
        assert not re.search(r"\son\w+=", source), page.name
        assert "style=" not in source, page.name
        assert "<style" not in source, page.name
        assert not re.search(r"""(src|href)=["'](https?:)?//""", source), page.name
