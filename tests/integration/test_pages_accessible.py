"""Every page, as every kind of person sees it: axe finds nothing, nothing runs over the edge, and it is light and quick."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from api import pages
from ceremonies import training
from ceremonies.node import Node
from ceremonies.sample import FEDERATION, sample_seal
from ceremonies.training import Cases
from formats.dates import BEIJING
from people.demo import demo_citizen
from tests.browser import SCREENSHOTS, Person, chromium, needs_chromium
from tests.documents import office_document
from tests.foreign_region import ForeignRegion
from tests.neighbour import Neighbour
from tests.node_home import EXAMPLES as EXAMPLES_FOLDER
from tests.node_home import Service, founded_home, serving

pytestmark = needs_chromium

Concrete = Callable[[Service, Cases], str | None]

NO_PAGES = {
    "/lang/{lang}": "a redirect",
    "/try/{name}": "a redirect to a result",
    "/training/case/{case}": "a redirect to a result",
    "/training/step/{key}/{step}": "a redirect to where the step is done",
    "/signin/oidc": "a redirect to the provider",
    "/signin/oidc/return": "a redirect from the provider",
    "/phone/signin/start": "a redirect to the provider",
    "/phone/signin/return": "a redirect from the provider",
    "/audit/checkpoint": "a file",
    "/counter/{visit_id}/copies/{annotated_id}": "a file",
    "/audit/export": "a file",
    "/audit/keys": "a file",
    "/audit/proof/{leaf_id}": "a file",
    "/phone/large/{how}": "a redirect",
    **dict.fromkeys(
        (
            "/phone",
            "/phone/authorise",
            "/phone/authorise/new",
            "/phone/authorise/{grant_id}",
            "/phone/authorise/{grant_id}/withdraw",
            "/phone/download/{licence_id}",
            "/phone/lost",
            "/phone/lost/{copy_id}",
            "/phone/print/{licence_id}",
            "/phone/settings",
            "/phone/show",
            "/phone/uses",
        ),
        "looked at as the citizen whose it is, in test_phone_accessible.py",
    ),
    "/receipts/{receipt_id}/file": "a file",
}
"""Addresses that answer GET with something else than a page; those that say so at their end (.pdf) are known anyhow."""

FILES = (".pdf", ".png", ".csv", ".json", ".js", ".webmanifest")

EXAMPLES: dict[str, Concrete] = {
    "/audit/entry/{leaf_id}": lambda service, cases: f"/audit/entry/{service.node.audit.entries(limit=1)[0].id}",
    "/audit/trace": lambda service, cases: f"/audit/trace?id={cases.applications['sealed']}",
    "/desk/{application_id}": lambda service, cases: f"/desk/{cases.applications['waiting']}",
    "/desk/{application_id}/confirm": lambda service, cases: f"/desk/{cases.applications['returned']}/confirm?do=withdraw",
    "/desk/{application_id}/void/{n}": lambda service, cases: f"/desk/{cases.applications['mistaken']}/void/1",
    "/enquiries/new": lambda service, cases: f"/enquiries/new?region={_neighbour(service).region}&document={'0' * 64}",
    "/enquiries/{enquiry_id}": lambda service, cases: f"/enquiries/{_enquiry(service)}",
    "/officer/approvals/{approval_id}": lambda service, cases: _approval(service),
    "/officer/ceremonies/{ceremony_id}": lambda service, cases: f"/officer/ceremonies/{_drill(service)}",
    "/officer/compromise/{generation_id}": lambda service, cases: (
        f"/officer/compromise/{service.node.keys.active(cases.role).id}"
    ),
    "/officer/keys/{role_id}": lambda service, cases: f"/officer/keys/{cases.role}",
    "/people/{account_id}": lambda service, cases: f"/people/{service.node.accounts.get('reviewer').id}",
    "/people/{account_id}/close": lambda service, cases: f"/people/{service.node.accounts.get('reviewer').id}/close",
    "/people/{account_id}/hand-over": lambda service, cases: f"/people/{service.node.accounts.get('reviewer').id}/hand-over",
    "/identity/authorize": lambda service, cases: _identity(service),
    "/provisionals/{provisional_id}": lambda service, cases: f"/provisionals/{_provisional(service, cases)['id']}",
    "/receipts/{receipt_id}": lambda service, cases: f"/receipts/{_provisional(service, cases)['receipt']}",
    "/receipts/{receipt_id}/provisional": lambda service, cases: f"/receipts/{_doubtful(service, cases)}/provisional",
    "/s/{slip}": lambda service, cases: f"/s/{_provisional(service, cases)['slip']}",
    "/t/{code}": lambda service, cases: f"/t/{cases.track['sealed']}",
    "/trust/regions/{region}": lambda service, cases: f"/trust/regions/{_trusted(service)}",
    "/trust/regions/{region}/forget": lambda service, cases: f"/trust/regions/{_trusted(service)}/forget",
    "/verify/{name}": lambda service, cases: _result(service, cases),
    "/training/{key}": lambda service, cases: "/training/counter",
    "/counter/{visit_id}": lambda service, cases: _counter(service, "?done=copied"),
    "/counter/{visit_id}/copy": lambda service, cases: _counter(service, "/copy?licence=LICENCE&matter=disability-benefit"),
    "/counter/{visit_id}/agent": lambda service, cases: _counter(service, "/agent?licence=LICENCE&matter=disability-benefit"),
    "/counter/{visit_id}/withdraw": lambda service, cases: _counter(service, "/withdraw?what=COPY"),
    "/counter/{visit_id}/slip": lambda service, cases: _counter(service, "/slip"),
    "/desk/new/{draft}": lambda service, cases: _draft(service),
}
"""For an address with a name in it: a real one."""

SEEN_BY: dict[str, str | None] = {
    "/": None,
    "/account": "handler",
    "/audit": "auditor",
    "/counter": "window",
    "/desk": "handler",
    "/desk/{application_id}/void": "signer",
    "/t": None,
    "/enquiries": "clerk",
    "/officer": "officer",
    "/people": "admin",
    "/identity": None,
    "/phone": None,
    "/trust": "officer",
    "/provisionals": "signer",
    "/receipts": "window",
    "/register": "keeper",
    "/s": None,
}
"""Whose page it is; None: nobody needs to be signed in. By the longest prefix."""

MAX_BYTES = 150_000
"""Of a page with everything that it loads, unpacked; the pictures of a document's own pages are counted apart."""


def _result(service: Service, cases: Cases) -> str:
    data = (training.folder(service.node) / cases.licences["withdrawn"]).read_bytes()
    verdict = service.app.state.verifier.verify(data, name="licence.pdf")
    return f"/verify/{service.app.state.results.put(verdict, '2026-11-22T01:30:00Z')}"


def _doubtful(service: Service, cases: Cases) -> str:
    """A receipt of the window for a code that nobody here vouches for."""
    verdict = service.app.state.verifier.verify_code(f"https://elsewhere.example/v#{cases.code}")
    verdict["answer"]["decision"] = "check"
    return str(service.app.state.verifier.receipt(service.node.accounts.get("window"), verdict)["id"])


def _provisional(service: Service, cases: Cases) -> dict[str, Any]:
    """Something gone on with that waits for the signer-off."""
    node = service.node
    until = (datetime.now(UTC) + timedelta(days=5)).date()
    wish: dict[str, Any] = {"reason": "已电话核实", "bring": "营业执照原件（样本）", "until": until}
    signer = node.accounts.get("signer").id
    return node.provisionals.record(node.accounts.get("window"), _doubtful(service, cases), supervisor=signer, **wish)


_NEIGHBOURS: dict[str, Neighbour] = {}


def _neighbour(service: Service) -> Neighbour:
    if service.url not in _NEIGHBOURS:
        _NEIGHBOURS[service.url] = Neighbour(service.node)
    return _NEIGHBOURS[service.url]


def _enquiry(service: Service) -> str:
    """A question of the neighbour that waits for the clerk, with particulars that do not agree."""
    licence = service.node.licences.list(service.node.actor(None)).items[0]
    return _neighbour(service).ask(licence["identifier"], particulars={"holder": "0" * 64}, matter="open-bank-account")


def _trusted(service: Service) -> str:
    """Another region that is trusted here; its service is off."""
    if service.node.trust_store().list_of("440000") is None:
        guangdong = ForeignRegion("440000", "广东省")
        guangdong.server.close()
        service.node.region_desk.import_text(service.node.actor(None), guangdong.trust_list(7), pin=guangdong.pin)
        service.node.region_desk.refresh(service.node.actor(None))
    return "440000"


def _draft(service: Service) -> str:
    """Two uploaded documents of the handler, one of them with things to be pointed out."""
    files = [("批复.pdf", (EXAMPLES_FOLDER / "approval.pdf").read_bytes())]
    files.append(
        ("草稿.pdf", office_document("申请人：\\_\\_\\_\\_\\_\\_", date="　年　月　日", after="#pagebreak() #pagebreak()"))
    )
    return f"/desk/new/{service.app.state.uploads.create(service.node.accounts.get('handler').id, files).id}"


@cache
def _errand(node: Node) -> tuple[str, str, str]:
    """A visit of the holder of a 残疾人证 at the counter, the certificate, and a copy for one purpose of it."""
    sample_seal(node, FEDERATION)
    data = json.loads((EXAMPLES_FOLDER / "disability-certificate.json").read_text("utf-8"))
    licence = node.licences.issue(node.actor(None), "disability-certificate", data)[0]["id"]
    clerk = node.accounts.get("window")
    visit = node.counter.identify(clerk, demo_citizen("elder").name)["id"]
    until = datetime.now(BEIJING).date() + timedelta(days=9)
    wish = {"purpose": "申领补贴", "until": until, "matter": "disability-benefit"}
    copy = node.counter.copy(clerk, visit, licence, **wish)[0]["id"]
    node.counter.authorise(clerk, visit, licence, card=demo_citizen("agent").name, matter="disability-benefit", until=until)
    node.counter.use(clerk, visit, licence, "disability-benefit")
    return visit, licence, copy


def _counter(service: Service, rest: str) -> str:
    visit, licence, copy = _errand(service.node)
    return f"/counter/{visit}{rest}".replace("LICENCE", licence).replace("COPY", copy)


def _identity(service: Service) -> str:
    """Where a citizen is sent who signs in."""
    origin = service.url.replace("127.0.0.1", f"{service.node.region}.localhost")
    url: str = service.app.state.identity.client(origin).begin(origin)[0]
    return url.removeprefix(origin)


def _drill(service: Service) -> str:
    from ceremonies.drill import Drill

    node = service.node
    known = node.compromise.reports(node.actor(None), kind="drill")
    return str(known[0]["id"] if known else Drill(node).run(node.actor(None), "p256")["id"])


def addresses() -> list[str]:
    """The path of every page that is opened with GET."""
    found = set()
    for router in pages.routers():
        found |= {route.path for route in router.routes if "GET" in getattr(route, "methods", ())}
    found.add("/identity/authorize")  # the one page of the development identity provider
    return sorted(one for one in found - set(NO_PAGES) if not one.endswith(FILES))


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home("pages")) as running:
        running.seal()
        training.prepare(running.node)
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def people(browser: Any, service: Service) -> Iterator[list[Person]]:
    """One at a desk reading Chinese by day, one on the telephone reading English by night."""
    both = [
        Person(browser, service, size="desk", lang="zh", scheme="light"),
        Person(browser, service, size="phone", lang="en", scheme="dark"),
    ]
    yield both
    for person in both:
        person.close()


@pytest.fixture(scope="module")
def weights() -> Iterator[dict[str, Any]]:
    """Filled by the tests; left beside the screenshots for the documentation."""
    found: dict[str, Any] = {}
    yield found
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    (SCREENSHOTS / "weights.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")


@pytest.mark.parametrize("address", addresses())
def test_a_page_is_accessible_to_everyone_and_light(
    service: Service, people: list[Person], weights: dict[str, Any], address: str
) -> None:
    cases = training.prepared(service.node)
    assert cases is not None
    assert "{" not in address or address in EXAMPLES, f"say in EXAMPLES where {address} is found, or in NO_PAGES why not"
    path = EXAMPLES[address](service, cases) if address in EXAMPLES else address
    assert path is not None, f"there is no example of {address}"
    whose = SEEN_BY[max((p for p in SEEN_BY if address.startswith(p)), key=len)]
    for person in people:
        person.be(whose)
        person.learn("counter" if address == "/training/{key}" else None, cases)
        answer = person.go(path)
        assert answer.status == 200, f"{path} as {whose}: {answer.status}"
        assert person.violations() == []
        assert person.fits(), f"{path} needs scrolling sideways"
        assert person.page.locator("h1").count() == 1
        if person.size == "desk":
            weights[address] = _weight(person)
            assert weights[address]["bytes"] < MAX_BYTES


def test_axe_would_say_so(people: list[Person]) -> None:
    people[0].go("/verify")
    people[0].page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<input><img src=/static/icon.svg>')"
    )
    assert {one.split(":")[0] for one in people[0].violations()} >= {"image-alt", "label"}


def _weight(person: Person) -> dict[str, int]:
    """Bytes of everything that the page loads (unpacked), and milliseconds until it can be used."""
    return dict(
        person.page.evaluate(
            """() => {
              const page = performance.getEntriesByType("navigation")[0];
              const parts = performance.getEntriesByType("resource");
              const weight = (some) => some.reduce((sum, part) => sum + part.decodedBodySize, 0);
              const sheets = parts.filter((part) => /\\/\\d+\\.png\\?/.test(part.name));
              const bytes = page.decodedBodySize + weight(parts) - weight(sheets);
              const interactive_ms = Math.round(page.domContentLoadedEventEnd);
              return { bytes, sheets: weight(sheets), requests: parts.length + 1, interactive_ms };
            }"""
        )
    )


def _approval(service: Service) -> str:
    """A step on a key that waits for officers."""
    operator, keys = service.node.actor(None), service.node.keys
    staged = keys.stage(keys.create_role("receipt", "p256", "pages").id)
    step = keys.foresee("key.activate", staged.id)
    words = {"words_zh": step.words_zh, "words_en": step.words_en}
    asked = service.node.approvals.request(
        operator, action=step.action, subject=step.subject, statement=step.statement, **words
    )
    return f"/officer/approvals/{asked['id']}"
