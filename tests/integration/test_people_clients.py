"""Systems with keys: client credentials with private_key_jwt, as Authlib's own client asks, and every way to be refused."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from authlib.oauth2.rfc7523 import private_key_jwt_sign
from joserfc import jwk, jwt

from people.clients import TokenAnswer
from people.errors import BadClientKey, BadToken, NameTaken, NoSuchClientKey
from people.service import AccountService
from store.audit import AuditLog
from store.db import Database

BASE = "http://310000.localhost:8310"
ENDPOINT = f"{BASE}/oauth/token"
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ON_POSTGRESQL = {"test_a_system_gets_a_token_for_ten_minutes_with_its_key", "test_an_assertion_counts_once"}


@pytest.fixture
def people(database: Database) -> AccountService:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    made = AccountService(database, AuditLog(database, "310000"), "310000", hasher=cheap, base_url=BASE)
    made.create("approvals", None, roles={"handler"}, kind="system")
    made.create("li.hua", "correct horse battery", roles={"handler"})
    return made


def key_of(people: AccountService, kind: str = "EC", crv: Any = "P-256") -> Any:
    key = jwk.generate_key(kind, crv)
    people.clients.add("approvals", json.dumps(key.as_dict(private=False)), name="审批系统", actor="admin")
    return key


def assertion(key: Any, alg: str = "ES256", kid: str | None = None, **claims: Any) -> str:
    now = int(time.time())
    wanted = {
        "iss": "approvals",
        "sub": "approvals",
        "aud": ENDPOINT,
        "iat": now,
        "exp": now + 120,
        "jti": f"{time.time_ns()}",
        **claims,
    }
    header = {"alg": alg, "kid": kid or key.thumbprint()}
    return jwt.encode(header, {k: v for k, v in wanted.items() if v is not None}, key, algorithms=[alg])


def ask(people: AccountService, signed: str, **more: str) -> TokenAnswer:
    form = {"grant_type": "client_credentials", "client_assertion_type": TYPE, "client_assertion": signed, **more}
    return people.clients.token(form)


@pytest.mark.parametrize(
    ("kind", "crv", "alg"), [("EC", "P-256", "ES256"), ("RSA", 2048, "RS256"), ("OKP", "Ed25519", "EdDSA")]
)
def test_a_system_gets_a_token_for_ten_minutes_with_its_key(people: AccountService, kind: str, crv: Any, alg: str) -> None:
    answer = ask(people, assertion(key_of(people, kind, crv), alg))
    assert (answer.status, answer.body["token_type"], answer.body["expires_in"]) == (200, "Bearer", 600)
    assert answer.headers["Cache-Control"] == "no-store"
    bearer = answer.body["access_token"]
    assert people.by_token(bearer).name == "approvals"
    assert people.tokens("approvals") == [], "no token that an administrator would have to look after"
    people._now = lambda: datetime.now(UTC) + timedelta(minutes=11)
    with pytest.raises(BadToken):
        people.by_token(bearer)


def test_authlib_s_own_client_is_understood(people: AccountService) -> None:
    key = key_of(people)
    signed = private_key_jwt_sign(key, "approvals", ENDPOINT, alg="ES256", header={"kid": key.thumbprint()})
    assert ask(people, signed).status == 200


def test_an_assertion_counts_once(people: AccountService) -> None:
    signed = assertion(key_of(people))
    assert ask(people, signed).status == 200
    again = ask(people, signed)
    assert (again.status, again.body["error"]) == (400, "invalid_client")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "li.hua"},
        {"sub": "li.hua", "iss": "li.hua"},
        {"sub": "nobody", "iss": "nobody"},
        {"sub": None},
        {"sub": ["approvals"]},
        {"aud": "https://elsewhere.example/oauth/token"},
        {"aud": None},
        {"exp": timedelta(minutes=-5)},
        {"exp": timedelta(days=1)},
        {"exp": None},
        {"exp": "soon"},
        {"jti": None},
        {"jti": 5},
        {"jti": "x" * 300},
        {"nbf": timedelta(hours=1)},
    ],
    ids=lambda claims: str(claims)[:40],
)
def test_an_assertion_that_says_something_else_is_refused(people: AccountService, claims: dict[str, Any]) -> None:
    said = {k: int(time.time() + v.total_seconds()) if isinstance(v, timedelta) else v for k, v in claims.items()}
    answer = ask(people, assertion(key_of(people), **said))
    assert (answer.status, answer.body["error"]) == (400, "invalid_client")


def test_other_keys_algorithms_and_grants_are_refused(people: AccountService) -> None:
    key = key_of(people)
    stranger = jwk.generate_key("EC", "P-256")
    assert ask(people, assertion(stranger)).status == 400
    assert ask(people, assertion(stranger, kid=key.thumbprint())).status == 400
    head, body, _ = assertion(key).split(".")
    mixed = (
        urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": key.thumbprint()}).encode()).rstrip(b"=") + b"." + body.encode()
    )
    mac = urlsafe_b64encode(hmac.digest(key.as_pem(private=False), mixed, "sha256")).rstrip(b"=")
    assert ask(people, f"{mixed.decode()}.{mac.decode()}").status == 400, "a public key is no shared secret"
    unsigned = jwt.encode({"alg": "none"}, {"sub": "approvals"}, jwk.OctKey.generate_key(), algorithms=["none"]).split(".")[0]
    assert ask(people, f"{unsigned}.{body}.").status == 400
    for broken in ("", "x", "a.b.c", head, f"{head}.{body}."):
        assert ask(people, broken).status == 400
    assert ask(people, assertion(key), grant_type="password").body["error"] == "unsupported_grant_type"
    plain = people.clients.token({"grant_type": "client_credentials", "client_id": "approvals", "client_secret": "x"})
    assert plain.status == 400


def test_a_revoked_key_and_a_disabled_system_are_out_at_once_with_their_tokens(people: AccountService) -> None:
    key, second = key_of(people), key_of(people)
    bearer = ask(people, assertion(key)).body["access_token"]
    other = ask(people, assertion(second)).body["access_token"]
    first = people.clients.list("approvals")[0]
    with pytest.raises(NoSuchClientKey):
        people.clients.revoke(first.id, actor="admin", account="account_0")
    assert people.clients.revoke(first.id, actor="admin").status == "revoked"
    with pytest.raises(BadToken):
        people.by_token(bearer)
    assert ask(people, assertion(key)).status == 400
    assert people.by_token(other).name == "approvals"
    people.set_status("approvals", "disabled", actor="admin")
    with pytest.raises(BadToken):
        people.by_token(other)
    assert ask(people, assertion(second)).status == 400


def test_only_public_keys_of_systems_that_count_are_registered(people: AccountService) -> None:
    good = jwk.generate_key("EC", "P-256")
    wrong = [
        json.dumps(good.as_dict(private=True)),
        good.as_pem(private=True).decode(),
        json.dumps(jwk.OctKey.generate_key().as_dict()),
        json.dumps(jwk.generate_key("RSA", 1024).as_dict(private=False)),
        json.dumps(jwk.generate_key("EC", "secp256k1").as_dict(private=False)),
        json.dumps(jwk.generate_key("OKP", "X25519").as_dict(private=False)),
        "",
        "{}",
        "no key",
    ]
    for text in wrong:
        with pytest.raises(BadClientKey):
            people.clients.add("approvals", text, name="x", actor="admin")
    with pytest.raises(BadClientKey):
        people.clients.add("li.hua", json.dumps(good.as_dict(private=False)), name="x", actor="admin")
    made = people.clients.add("approvals", good.as_pem(private=False).decode(), name="x", actor="admin")
    assert made.kid == good.thumbprint()
    with pytest.raises(NameTaken):
        people.clients.add("approvals", json.dumps(good.as_dict(private=False)), name="x", actor="admin")
