"""Systems that prove themselves with a key: OAuth 2.0 client credentials with ``private_key_jwt``.

A system signs a short statement with its private key, which never leaves it, and gets a bearer token for ten minutes (RFC 6749
§4.4, RFC 7523 §2.2). The protocol is Authlib's and joserfc's; this module fills in who the clients are, which keys count, and
that a statement counts once.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, InvalidClientError, OAuth2Request
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from joserfc import jwk, jwt
from joserfc.errors import JoseError
from sqlalchemy.orm import Session

from people import pending
from people.errors import BadClientKey, NameTaken, NoSuchClientKey
from people.models import AccountRow, ApiTokenRow, ClientKeyRow
from people.room import Room, digest, find
from people.schemas import ClientKey
from store.audit import AuditLog
from store.db import Database
from store.ids import new_id

ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "RS256", "EdDSA", "Ed25519")
METHOD = "private_key_jwt"
LASTS = timedelta(minutes=10)
"""How long a token lasts."""
AHEAD = timedelta(hours=1)
"""How far ahead an assertion may expire: its ``jti`` is remembered until then."""
_LEEWAY = 60
_RSA_BITS = 2048


@dataclass(frozen=True)
class TokenAnswer:
    """What the token endpoint answers (RFC 6749 §5)."""

    status: int
    body: dict[str, Any] = field(repr=False)
    headers: dict[str, str]


class ClientKeyService(Room):
    """Keys of systems, and the token endpoint.

    :param base_url: the node's address; assertions are meant for it or for its token endpoint
    """

    def __init__(self, db: Database, audit: AuditLog, region: str, *, base_url: str, now: Any) -> None:
        super().__init__(db, audit, region, now=now)
        self.issuer = base_url.rstrip("/")
        self.token_endpoint = f"{self.issuer}/oauth/token"
        self._server = _Server(self)

    # -- keys -----------------------------------------------------------------------------------------------------------

    def add(self, name_or_id: str, key: str, *, name: str, days: int = 730, actor: str, rule: str | None = None) -> ClientKey:
        """Register a public key of a system.

        :param key: a public JWK as JSON, or PEM
        :param name: what it is called in lists
        :raises BadClientKey: not a public key that counts, or the account is a person's
        :raises NameTaken: the account has this key already
        """
        public, thumbprint = _public_jwk(key)

        def insert(session: Session) -> ClientKey:
            account = find(session, name_or_id)
            if account.kind != "system":
                raise _bad("keys are for systems; people sign in", "密钥只登记给系统账户；工作人员请直接登录")
            there = sa.select(ClientKeyRow).where(ClientKeyRow.account_id == account.id, ClientKeyRow.thumbprint == thumbprint)
            if session.scalars(there).first() is not None:
                raise NameTaken("The account has this key already.", "该账户已登记此密钥。")
            now = self._now()
            row = ClientKeyRow(
                id=new_id("clientkey"),
                account_id=account.id,
                name=name.strip()[:200] or "key",
                jwk=public,
                thumbprint=thumbprint,
                created_at=now,
                expires_at=now + timedelta(days=days),
            )
            session.add(row)
            session.flush()
            data = {"thumbprint": thumbprint, "kty": public["kty"], "days": days}
            self._leaf(session, "people.key-added", actor, {"account": account.id, "client_key": row.id}, data, rule)
            return _shown(row, now)

        return self.db.run(insert)

    def list(self, name_or_id: str) -> tuple[ClientKey, ...]:
        """A system's keys, oldest first."""
        with self.db.read() as session:
            account = find(session, name_or_id)
            rows = session.scalars(
                sa.select(ClientKeyRow).where(ClientKeyRow.account_id == account.id).order_by(ClientKeyRow.id)
            )
            return tuple(_shown(row, self._now()) for row in rows)

    def revoke(self, key_id: str, *, actor: str, account: str | None = None, rule: str | None = None) -> ClientKey:
        """The key and every token given for it count no more, at once.

        :param account: whose key it must be
        :raises NoSuchClientKey: there is none
        """

        def end(session: Session) -> ClientKey:
            row = session.get(ClientKeyRow, key_id)
            if row is None or account not in (None, row.account_id):
                raise NoSuchClientKey("There is no such key; list the system's keys.", "没有该密钥；请查看该系统的密钥列表。")
            if row.revoked_at is None:
                row.revoked_at = self._now()
                session.execute(sa.delete(ApiTokenRow).where(ApiTokenRow.key_id == row.id))
                self._leaf(session, "people.key-revoked", actor, {"account": row.account_id, "client_key": row.id}, {}, rule)
            return _shown(row, self._now())

        return self.db.run(end)

    # -- token endpoint -------------------------------------------------------------------------------------------------

    def token(self, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> TokenAnswer:
        """Answer ``POST /oauth/token``: a bearer token for a good assertion, else an error of RFC 6749 §5.2.

        :param form: the posted fields, each once
        """
        answer: TokenAnswer = self._server.create_token_response(_Request(self.token_endpoint, dict(form), headers or {}))
        return answer

    def metadata(self) -> dict[str, Any]:
        """What clients need to know (RFC 8414)."""
        return {
            "issuer": self.issuer,
            "token_endpoint": self.token_endpoint,
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": [METHOD],
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        }

    def client(self, client_id: str) -> _Client | None:
        """A system in service with the keys that count now; its name or identifier is its ``client_id``."""
        now = self._now()
        with self.db.read() as session:
            account = session.scalars(
                sa.select(AccountRow).where(sa.or_(AccountRow.id == client_id, AccountRow.name == client_id))
            ).one_or_none()
            if account is None or account.kind != "system" or account.status != "active":
                return None
            keys = session.scalars(
                sa.select(ClientKeyRow).where(
                    ClientKeyRow.account_id == account.id,
                    ClientKeyRow.revoked_at.is_(None),
                    ClientKeyRow.expires_at > now,
                )
            ).all()
        return _Client(client_id, account.id, [row.jwk for row in keys], {row.jwk["kid"]: row.id for row in keys})

    def first_use(self, client: str, jti: object, until: object) -> bool:
        """Whether this assertion is new; remembered until it has expired."""
        if not isinstance(jti, str) or not 1 <= len(jti) <= 255 or not isinstance(until, int | float):
            return False
        expires = datetime.fromtimestamp(until, UTC) + timedelta(seconds=2 * _LEEWAY)
        return self.db.run(lambda session: pending.spend(session, f"jti:{client}:{jti}", expires, self._now()))

    def keep(self, client: _Client, secret: str) -> None:
        """Keep a token that was given; those that ran out go."""
        now = self._now()

        def insert(session: Session) -> None:
            session.execute(sa.delete(ApiTokenRow).where(ApiTokenRow.key_id.is_not(None), ApiTokenRow.expires_at <= now))
            key = session.get(ClientKeyRow, client.used_key, with_for_update=True)
            if key is None or key.revoked_at is not None:
                raise InvalidClientError(description="The key was revoked.")
            session.add(
                ApiTokenRow(
                    id=new_id("token"),
                    token_digest=digest(secret),
                    account_id=client.account_id,
                    name="oauth",
                    created_at=now,
                    expires_at=now + LASTS,
                    key_id=key.id,
                )
            )

        self.db.run(insert)


@dataclass
class _Client(ClientMixin):  # type: ignore[misc]
    """A system as Authlib sees it."""

    client_id: str
    account_id: str
    jwks: list[dict[str, Any]]
    key_ids: dict[str, str]
    used_key: str = ""

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        return ""

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == METHOD and endpoint == "token"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


class _Request(OAuth2Request):  # type: ignore[misc]
    """A posted form."""

    def __init__(self, uri: str, form: dict[str, str], headers: Mapping[str, str]) -> None:
        # Authlib refuses to speak of tokens over plain HTTP. Whether this node is reached over TLS is `serve --tls` or a proxy.
        super().__init__("POST", "https://" + uri.partition("://")[2], headers=dict(headers))
        self._form = form
        self.payload = BasicOAuth2Payload(form)

    @property
    def args(self) -> dict[str, str]:
        return {}

    @property
    def form(self) -> dict[str, str]:
        return self._form


class _Assertion(JWTBearerClientAssertion):  # type: ignore[misc]
    """RFC 7523 §3 as this node has it: listed algorithms only, an hour at most, once."""

    CLIENT_AUTH_METHOD = METHOD

    def __init__(self, keys: ClientKeyService) -> None:
        super().__init__(leeway=_LEEWAY)
        self._keys = keys

    def get_audiences(self) -> list[str]:
        return [self._keys.issuer, self._keys.token_endpoint]

    def resolve_client_public_key(self, client: _Client) -> jwk.KeySet:
        if not client.jwks:
            raise InvalidClientError(description="No key of this client counts at present.")
        return jwk.KeySet.import_key_set({"keys": client.jwks})

    def __call__(self, query_client: Any, request: _Request) -> _Client | None:
        client: _Client | None = super().__call__(query_client, request)
        if client is not None:
            headers, _ = self.extract_assertion(request.form["client_assertion"])
            only = next(iter(client.key_ids.values())) if len(client.key_ids) == 1 else ""
            client.used_key = client.key_ids.get(str(headers.get("kid")), only)
        return client

    def process_assertion_claims(self, assertion: str, resolve_key: jwk.KeySet) -> dict[str, Any]:
        try:
            token = jwt.decode(assertion, resolve_key, algorithms=list(ALGORITHMS))
        except (JoseError, ValueError, TypeError) as exc:
            raise InvalidClientError(
                description="The assertion's signature does not verify with a key of this client."
            ) from exc
        expires = token.claims.get("exp")
        latest = self._keys._now().timestamp() + AHEAD.total_seconds() + _LEEWAY
        if not isinstance(expires, int | float) or expires > latest:
            raise InvalidClientError(description="The assertion must expire within an hour.")
        self.verify_claims(token.claims)
        return dict(token.claims)

    def validate_jti(self, claims: Mapping[str, Any], jti: str) -> bool:
        return self._keys.first_use(claims["sub"], jti, claims["exp"])


class _Grant(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = [METHOD]  # noqa: RUF012 - Authlib's attribute


class _Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's authorization server over the accounts of this node."""

    def __init__(self, keys: ClientKeyService) -> None:
        super().__init__()
        self._keys = keys
        self.register_grant(_Grant)
        self.register_client_auth_method(METHOD, _Assertion(keys))
        seconds = int(LASTS.total_seconds())
        maker = BearerTokenGenerator(lambda *_, **__: f"xinyin_{secrets.token_urlsafe(32)}", expires_generator=seconds)
        self.register_token_generator("default", maker)

    def query_client(self, client_id: str) -> _Client | None:
        return self._keys.client(client_id)

    def save_token(self, token: Mapping[str, Any], request: _Request) -> None:
        self._keys.keep(request.client, token["access_token"])

    def create_oauth2_request(self, request: _Request) -> _Request:
        return request

    def handle_response(self, status: int, body: dict[str, Any], headers: list[tuple[str, str]]) -> TokenAnswer:
        return TokenAnswer(status, body, dict(headers))

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""


def _public_jwk(text: str) -> tuple[dict[str, Any], str]:
    """``(public JWK with kid, RFC 7638 thumbprint)``. :raises BadClientKey: not a public key that counts"""
    text = text.strip()
    try:
        given: Any = json.loads(text) if text.startswith("{") else text
        if isinstance(given, dict):
            key = jwk.import_key(given)
        elif "-----BEGIN" in text:
            key = next(_from_pem(text))
        else:
            raise ValueError("neither JWK nor PEM")
    except (JoseError, ValueError, TypeError, KeyError, StopIteration) as exc:
        raise _bad("give a public key as JWK or PEM", "请提供 JWK 或 PEM 格式的公钥") from exc
    if isinstance(key, jwk.OctKey):
        raise _bad("a shared secret is no public key", "共享密钥不是公钥")
    if key.is_private:
        raise _bad(
            "this is a private key, which now counts as disclosed; make a new pair and hand in its public half",
            "这是私钥，应视为已泄露；请重新生成密钥对，只提交公钥",
        )
    if isinstance(key, jwk.RSAKey) and key.raw_value.key_size < _RSA_BITS:
        raise _bad("an RSA key has at least 2048 bits", "RSA 密钥至少 2048 位")
    if isinstance(key, jwk.ECKey) and key.curve_name not in ("P-256", "P-384", "P-521"):
        raise _bad("use one of the curves P-256, P-384 and P-521", "请使用 P-256、P-384 或 P-521 曲线")
    if isinstance(key, jwk.OKPKey) and key.curve_name != "Ed25519":
        raise _bad("use Ed25519", "请使用 Ed25519")
    thumbprint = key.thumbprint()
    kid = given.get("kid") if isinstance(given, dict) else None
    public: dict[str, Any] = {k: v for k, v in key.as_dict(private=False).items() if k in ("kty", "crv", "x", "y", "n", "e")}
    return {**public, "kid": kid if isinstance(kid, str) and 1 <= len(kid) <= 200 else thumbprint}, thumbprint


def _from_pem(text: str) -> Any:
    """The key of a PEM file under each key type that it may be of."""
    for kind in (jwk.ECKey, jwk.RSAKey, jwk.OKPKey):
        try:
            yield kind.import_key(text)
        except (JoseError, ValueError, TypeError):
            continue


def _shown(row: ClientKeyRow, now: datetime) -> ClientKey:
    status = "revoked" if row.revoked_at is not None else "expired" if row.expires_at <= now else "active"
    kid = str(row.jwk["kid"])
    return ClientKey(row.id, row.account_id, row.name, kid, row.thumbprint, status, row.created_at, row.expires_at)


def _bad(why: str, why_zh: str) -> BadClientKey:
    return BadClientKey(f"This key cannot be registered: {why}.", f"无法登记该密钥：{why_zh}。")
