"""Citizens sign in at the development provider as at any other, through the pages; production takes none of it."""

from __future__ import annotations

import json
import re
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwk, jwt

from api.app import create_app
from api.auth import Citizen
from api.devprovider import CLIENT_ID, PATH
from api.sessions import CITIZEN_COOKIE, COOKIE
from ceremonies.config import FILE
from ceremonies.node import Node
from crypto.errors import Misconfigured
from people.citizen_oidc import (
    DEVELOPMENT_ASSURANCE,
    CitizenSettings,
    CitizenSignIn,
    refuse_development,
)
from people.demo import CITIZENS, demo_citizen
from people.errors import AssuranceTooLow, BadIdentityNumber, DevelopmentProvider, ProviderRefused, TicketOver
from store.db import utc_now
from tests import citizens
from tests.node_home import Service, founded_home, serving

VERIFIER = "v" * 64
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(founded_home("citizen-signin")) as running:

        @running.app.get("/test/citizen")
        @running.app.post("/test/citizen")
        def whoami(citizen: Citizen) -> dict[str, Any]:
            return {"name": citizen.name, "id": citizen.id, "assurance": citizen.assurance, "kind": citizen.kind}

        yield running


def choose(client: httpx.Client, at: httpx.Response, key: str) -> httpx.Response:
    """Tap one of the persons on the provider's page; where that leads."""
    fields = {n: unescape(v) for n, v in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', at.text)}
    assert f'value="{key}"' in at.text
    return client.post(f"{PATH}/authorize", data={**fields, "citizen": key})


def sign_in(client: httpx.Client, key: str, to: str = "") -> httpx.Response:
    begun = client.get("/phone/signin/start", params={"to": to})
    assert begun.status_code == 303, begun.text
    chosen = choose(client, client.get(begun.headers["location"]), key)
    assert chosen.status_code == 303, chosen.text
    return client.get(chosen.headers["location"])


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as found:
        yield found


@pytest.mark.parametrize("key", [one.key for one in CITIZENS])
def test_every_demo_citizen_signs_in_with_one_tap_and_is_where_they_wanted_to_be(
    service: Service, client: httpx.Client, key: str
) -> None:
    back = sign_in(client, key, to="/phone/show")
    assert 'content="0; url=/phone/show"' in back.text
    cookie = next(line for line in back.headers.get_list("set-cookie") if line.startswith(CITIZEN_COOKIE))
    for attribute in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert attribute in cookie
    known = client.get("/test/citizen").json()
    assert (known["name"], known["assurance"]) == (demo_citizen(key).name, DEVELOPMENT_ASSURANCE)
    assert known["id"] == citizens.citizen(service.node, key).id
    assert client.get("/phone/signin").headers["location"] == "/phone"  # signed in already


def test_nothing_of_the_identity_number_is_in_what_the_browser_gets_or_a_url(client: httpx.Client) -> None:
    begun = client.get("/phone/signin/start")
    page = client.get(begun.headers["location"])
    chosen = choose(client, page, "owner")
    back = client.get(chosen.headers["location"])
    number = demo_citizen("owner").id_number
    for answer in (begun, page, chosen, back):
        assert number not in answer.text + str(answer.headers)


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/\\evil.example", "/phone/signin", "/signout"])
def test_a_sign_in_never_leads_elsewhere(client: httpx.Client, to: str) -> None:
    assert 'content="0; url=/phone"' in sign_in(client, "owner", to=to).text


def test_whoever_is_not_signed_in_is_led_to_the_citizens_sign_in_and_back(client: httpx.Client) -> None:
    asked = client.get("/test/citizen?a=1", headers={"Accept": "text/html"})
    assert (asked.status_code, asked.headers["location"]) == (303, "/phone/signin?to=/test/citizen%3Fa%3D1")
    program = client.get("/test/citizen", headers={"Accept": "application/json"})
    assert (program.status_code, program.json()["code"]) == (401, "citizen-not-signed-in")


def test_a_change_needs_the_sessions_token_and_signing_out_too(service: Service) -> None:
    with citizens.client(service, "owner") as known:
        token = known.headers.pop("X-CSRF-Token")
        assert known.get("/test/citizen").status_code == 200
        for wrong in ({}, {"X-CSRF-Token": "0" * 64}):
            assert known.post("/test/citizen", headers=wrong).json()["code"] == "csrf"
        assert known.post("/test/citizen", headers={"X-CSRF-Token": token}).status_code == 200
        assert known.post("/phone/signout", data={"csrf": "wrong"}).status_code == 403
        assert known.post("/phone/signout", data={"csrf": token}).status_code == 303
        known.cookies.set(CITIZEN_COOKIE, known.cookies.get(CITIZEN_COOKIE) or "gone")
        assert known.get("/test/citizen", headers={"Accept": "application/json"}).status_code == 401


def test_staff_and_citizens_do_not_open_each_others_doors(service: Service, client: httpx.Client) -> None:
    citizen = citizens.browser(service.node, "owner")
    client.cookies.set(COOKIE, citizen.token)
    assert client.get("/api/v1/licences").status_code == 401
    staff = service.node.accounts.open_session(service.node.accounts.get("clerk"))
    client.cookies.clear()
    client.cookies.set(CITIZEN_COOKIE, staff.token)
    assert client.get("/test/citizen", headers={"Accept": "application/json"}).status_code == 401
    with citizens.client(service, "owner") as signed_in:
        for path in ("/api/v1/licences", "/api/v1/seals", "/api/v1/licences/some", "/api/v1/audit/leaves"):
            assert signed_in.get(path).status_code in (401, 404), path


# -- answers that must not count ---------------------------------------------------------------------------------------------


def answered(service: Service, client: httpx.Client, key: str = "owner") -> dict[str, str]:
    """What the provider sends back for a sign-in that this process began itself."""
    url, ticket = own(service).begin(service.url)
    back = choose(client, client.get(url), key).headers["location"]
    return {"ticket": ticket, **{name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}}


def own(service: Service, **settings: Any) -> CitizenSignIn:
    found: CitizenSignIn = service.app.state.identity.client(service.url)
    found.citizen_settings = replace(found.citizen_settings, **settings)
    return found


def test_an_answer_counts_once_in_the_browser_where_the_sign_in_was_begun(service: Service, client: httpx.Client) -> None:
    answer = answered(service, client)
    ticket = answer.pop("ticket")
    with pytest.raises(TicketOver):
        own(service).finish("another browser", answer)
    citizen, _ = own(service).finish(ticket, answer)
    assert citizen.name == demo_citizen("owner").name
    with pytest.raises(TicketOver):
        own(service).finish(ticket, answer)
    other = answered(service, client)
    with pytest.raises(ProviderRefused):  # a code that was spent, under a ticket and state of its own
        own(service).finish(other["ticket"], {"state": other["state"], "code": answer["code"]})


def test_an_answer_for_another_sign_in_or_with_somebody_elses_code_is_refused(service: Service, client: httpx.Client) -> None:
    first, second = answered(service, client), answered(service, client, "staff")
    with pytest.raises(ProviderRefused, match="another sign-in"):
        own(service).finish(first["ticket"], {"state": second["state"], "code": second["code"]})
    third = answered(service, client)
    # The right state with another's code: its PKCE verifier is that of another sign-in.
    with pytest.raises(ProviderRefused, match="code"):
        own(service).finish(third["ticket"], {"state": third["state"], "code": second["code"]})


def test_who_presses_back_is_told_so_calmly(client: httpx.Client) -> None:
    begun = client.get("/phone/signin/start")
    page = client.get(begun.headers["location"])
    fields = {n: unescape(v) for n, v in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)}
    back = client.post(f"{PATH}/authorize", data={**fields, "citizen": ""})
    answer = client.get(back.headers["location"])
    assert "您没有完成认证" in answer.text
    assert CITIZEN_COOKIE not in client.cookies


def test_a_level_of_assurance_that_the_node_wants_is_asked_for_and_demanded(service: Service, client: httpx.Client) -> None:
    wanted = own(service, levels=("urn:face",))
    assert "acr_values=urn%3Aface" in wanted.begin(service.url)[0]
    answer = answered(service, client)
    with pytest.raises(AssuranceTooLow):
        wanted.finish(answer.pop("ticket"), answer)
    enough, answer = own(service, levels=(DEVELOPMENT_ASSURANCE,)), answered(service, client)
    assert enough.finish(answer.pop("ticket"), answer)[0].assurance == DEVELOPMENT_ASSURANCE


def test_a_provider_that_keeps_the_number_to_itself_is_named(service: Service, client: httpx.Client) -> None:
    answer = answered(service, client)
    with pytest.raises(BadIdentityNumber, match="identity number"):
        own(service, id_claim="citizen_id").finish(answer.pop("ticket"), answer)


# -- the provider as any client sees it --------------------------------------------------------------------------------------


def request(metadata: dict[str, Any], service: Service, **changed: str | None) -> dict[str, str]:
    asked = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{service.url}/phone/signin/return",
        "scope": "openid profile",
        "state": "s" * 20,
        "nonce": "n" * 20,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changed,
    }
    return {name: value for name, value in asked.items() if value is not None}


def redeem(client: httpx.Client, metadata: dict[str, Any], service: Service, code: str, **changed: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": f"{service.url}/phone/signin/return",
        "client_id": CLIENT_ID,
        "code_verifier": VERIFIER,
        **changed,
    }
    return client.post(metadata["token_endpoint"], data=form)


@pytest.fixture
def metadata(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{PATH}/.well-known/openid-configuration").json()
    return found


def code_of(client: httpx.Client, metadata: dict[str, Any], service: Service, **changed: str | None) -> str:
    page = client.get(metadata["authorization_endpoint"], params=request(metadata, service, **changed))
    back = choose(client, page, "elder").headers["location"]
    return parse_qs(urlsplit(back).query)["code"][0]


def test_over_http_it_is_an_openid_provider_like_another(
    service: Service, client: httpx.Client, metadata: dict[str, Any]
) -> None:
    assert metadata["issuer"] == service.url + PATH
    answer = redeem(client, metadata, service, code_of(client, metadata, service)).json()
    keys = jwk.KeySet.import_key_set(client.get(metadata["jwks_uri"]).json())
    claims = jwt.decode(answer["id_token"], keys, algorithms=["RS256"]).claims
    elder = demo_citizen("elder")
    wanted = {"iss": metadata["issuer"], "aud": CLIENT_ID, "nonce": "n" * 20, "sub": "elder", "name": elder.name}
    assert {name: claims[name] for name in wanted} == wanted
    assert claims["exp"] - claims["iat"] <= 60
    assert claims["acr"] == DEVELOPMENT_ASSURANCE
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    assert client.get(metadata["userinfo_endpoint"], headers=bearer).json()["id_number"] == elder.id_number
    assert client.get(metadata["userinfo_endpoint"], headers=bearer).status_code == 401  # once
    private = {"d", "p", "q", "dp", "dq", "qi"}
    assert not private & set(client.get(metadata["jwks_uri"]).json()["keys"][0])


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "https://evil.example/phone/signin/return"},
        {"redirect_uri": None, "client_id": "another"},
        {"client_id": None},
        {"response_type": "token"},
        {"nonce": None},
        {"code_challenge_method": "plain"},
        {"code_challenge": "short"},
    ],
    ids=str,
)
def test_a_request_that_does_not_hold_is_not_asked_of_anybody(
    service: Service, client: httpx.Client, metadata: dict[str, Any], changed: dict[str, str | None]
) -> None:
    answer = client.get(metadata["authorization_endpoint"], params=request(metadata, service, **changed))
    assert (answer.status_code, "location" in answer.headers) == (400, False)


def test_a_code_counts_once_with_its_own_verifier_and_address(
    service: Service, client: httpx.Client, metadata: dict[str, Any]
) -> None:
    for changed in (
        {"code_verifier": "w" * 64},
        {"code_verifier": ""},
        {"redirect_uri": "https://evil.example/"},
        {"client_id": "x"},
    ):
        code = code_of(client, metadata, service)
        assert redeem(client, metadata, service, code, **changed).status_code in (400, 401), changed
    code = code_of(client, metadata, service)
    assert redeem(client, metadata, service, code).status_code == 200
    assert redeem(client, metadata, service, code).json()["error"] == "invalid_grant"
    without = code_of(client, metadata, service, code_challenge=None, code_challenge_method=None)
    assert redeem(client, metadata, service, without).status_code == 400
    assert redeem(client, metadata, service, without, code_verifier="").status_code == 400


def test_nobody_is_made_to_choose_by_a_foreign_page(service: Service, client: httpx.Client, metadata: dict[str, Any]) -> None:
    client.get(metadata["authorization_endpoint"], params=request(metadata, service))
    form = {**request(metadata, service), "citizen": "owner", "csrf": "guessed"}
    assert client.post(metadata["authorization_endpoint"], data=form).status_code == 403


def test_its_page_says_in_red_that_nobody_is_authenticated(
    service: Service, client: httpx.Client, metadata: dict[str, Any]
) -> None:
    page = client.get(metadata["authorization_endpoint"], params=request(metadata, service))
    assert re.search(r'<header class="warning">.*演示身份认证，非真实身份', page.text, re.DOTALL)
    style = client.get("/static/identity.css").text
    assert re.search(r"\.warning \{ background: #a11212; color: #fff", style)


# -- production ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def production(tmp_path: Path) -> Path:
    """The home of a node that says of itself that it is for real."""
    source, home = founded_home("citizen-signin"), tmp_path / "node"
    shutil.copytree(source, home, ignore=shutil.ignore_patterns("*.sock", "run"))
    (home / "run").mkdir()
    text = (home / FILE).read_text("utf-8").replace(str(source), str(home))
    (home / FILE).write_text(re.sub(r"(?m)^mode = .*$", 'mode = "production"', text), "utf-8")
    return home


def add_provider(home: Path, issuer: str, **more: str) -> None:
    lines = [f"{name} = {json.dumps(value)}" for name, value in {"issuer": issuer, "client_id": "x", **more}.items()]
    with (home / FILE).open("a", encoding="utf-8") as file:
        file.write("\n[citizens]\n" + "\n".join(lines) + "\n")


def test_production_has_no_development_provider_and_says_that_nobody_can_sign_in_yet(production: Path) -> None:
    from starlette.testclient import TestClient

    node = Node.open(production)
    with TestClient(create_app(node), base_url="https://310000.example") as client:
        for path in ("/.well-known/openid-configuration", "/authorize", "/jwks.json", "/userinfo"):
            assert client.get(PATH + path).status_code == 404
        page = client.get("/phone/signin")
        assert (page.status_code, "尚未开通" in page.text, "/phone/signin/start" in page.text) == (200, True, False)
        assert client.get("/phone/signin/start").status_code == 404
    node.close()


@pytest.mark.parametrize(
    "issuer",
    [
        "http://310000.localhost:8310/identity",
        "https://310000.example/identity",
        "https://localhost/",
        "https://127.0.0.1:8443/idp",
        "http://id.example.gov.cn",
    ],
)
def test_a_production_node_does_not_start_with_a_provider_that_is_not_for_real(production: Path, issuer: str) -> None:
    add_provider(production, issuer)
    node = Node.open(production)
    with pytest.raises(DevelopmentProvider, match="authenticates nobody"):
        create_app(node)
    node.close()
    with pytest.raises(DevelopmentProvider):
        refuse_development(issuer)


def test_a_production_node_believes_the_development_provider_under_no_name(service: Service, client: httpx.Client) -> None:
    """Behind another address, without its mark: its statements still say that nobody was authenticated."""
    node, within = service.node, own(service)._web

    def real(web: Any) -> CitizenSignIn:
        settings = CitizenSettings(replace(own(service).settings))
        return CitizenSignIn(node.db, node.audit, node.region, settings, web, node.citizens, production=True, now=utc_now)

    with pytest.raises(DevelopmentProvider):
        real(within).begin(service.url)

    class Unmarked:
        def get(self, url: str, headers: Any) -> bytes:
            found = json.loads(within.get(url, headers))
            return json.dumps({k: v for k, v in found.items() if not k.startswith("xinyin")}).encode()

        def post(self, url: str, body: bytes, headers: Any) -> bytes:
            return within.post(url, body, headers)

    disguised = real(Unmarked())
    url, ticket = disguised.begin(service.url)
    back = choose(client, client.get(url), "owner").headers["location"]
    with pytest.raises(DevelopmentProvider):
        disguised.finish(ticket, {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()})


@pytest.mark.parametrize("table", ["issuer = 5", 'issuer = "a"\nclient_id = "b"\nlevels = "face"', 'issuer = "a"', "x = 1"])
def test_a_node_file_that_does_not_fit_is_named_before_anybody_signs_in(production: Path, table: str) -> None:
    with (production / FILE).open("a", encoding="utf-8") as file:
        file.write(f"\n[citizens]\n{table}\n")
    node = Node.open(production)
    with pytest.raises(Misconfigured, match=r"\[citizens\]"):
        create_app(node)
    node.close()


def test_a_real_provider_of_node_toml_is_named_on_the_page(production: Path) -> None:
    from starlette.testclient import TestClient

    add_provider(production, "https://id.yunjiang.example", name="云江市统一身份认证", id_claim="sfzh")
    node = Node.open(production)
    assert node.citizen_provider is not None
    assert node.citizen_provider.citizen_settings.id_claim == "sfzh"
    with TestClient(create_app(node), base_url="https://310000.example") as client:
        page = client.get("/phone/signin").text
        assert "云江市统一身份认证" in page
        assert "演示身份认证" not in page
        begun = client.get("/phone/signin/start")
        assert (begun.status_code, "统一认证暂不可用" in begun.text) == (503, True)  # it does not resolve
    node.close()
