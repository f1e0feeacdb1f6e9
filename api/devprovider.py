"""The development identity provider: an OpenID provider at ``/identity`` that authenticates nobody and says so in red.

Whoever comes chooses who to be among the demo citizens. Everything else is as at a real provider (Authlib's authorization
server, joserfc's keys): discovery, code flow with PKCE and nonce, signed ID token, JWKS, userinfo; codes and access tokens
count once and for a minute. Only a development node serves it; a production node neither starts with it nor believes it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from joserfc import jwk

from crypto.errors import BadInput, NotFound
from people import pending
from people.citizen_oidc import (
    DEVELOPMENT_ASSURANCE,
    DEVELOPMENT_MARK,
    RETURN_PATH,
    CitizenSettings,
    CitizenSignIn,
)
from people.clients import TokenAnswer
from people.demo import CITIZENS, DemoCitizen
from people.errors import TicketOver
from people.oidc import OidcSettings
from people.persons import write_once
from store.db import utc_now

if TYPE_CHECKING:
    from ceremonies.node import Node

PATH = "/identity"
CLIENT_ID = "xinyin-phone"
FILE = "development-identity.json"
NAME, NAME_EN = "演示身份认证（非真实身份）", "demo identity (nobody is authenticated)"
_ALGORITHM = "RS256"
"""What every OpenID provider has to offer (Discovery §3)."""
_LASTS = timedelta(minutes=1)
_CODE, _ACCESS = "identity-code", "identity-access"


class BadAuthorization(BadInput):
    """An authorization request that cannot be answered by sending the browser back."""

    code = "bad-authorization"


class DevelopmentProvider:
    """The provider of a development node. :raises NotFound: on a production node"""

    def __init__(self, node: Node) -> None:
        if node.mode != "development":
            raise NotFound("There is nothing at this address.", "此地址没有内容。")
        self.node = node

    def client(self, origin: str) -> CitizenSignIn:
        """How this node's own pages sign citizens in here.

        :param origin: of this service as the browser sees it; the way behind the browser's back stays within the process,
            because a development node on one machine cannot tell by which name and port it reaches itself
        """
        settings = CitizenSettings(OidcSettings(origin + PATH, CLIENT_ID, NAME, NAME_EN))
        node = self.node
        return CitizenSignIn(
            node.db, node.audit, node.region, settings, _Within(self), node.citizens, production=False, now=utc_now
        )

    # -- what the addresses answer --------------------------------------------------------------------------------------

    def metadata(self, issuer: str) -> dict[str, Any]:
        """OpenID Connect Discovery §4."""
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "jwks_uri": f"{issuer}/jwks.json",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [_ALGORITHM],
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "profile"],
            "claims_supported": ["sub", "name", "id_number", "acr"],
            "acr_values_supported": [DEVELOPMENT_ASSURANCE],
            DEVELOPMENT_MARK: True,
        }

    def jwks(self) -> dict[str, Any]:
        """The public key of the ID tokens."""
        return {"keys": [self.key.as_dict(private=False, use="sig", alg=_ALGORITHM)]}

    def check(self, issuer: str, query: Mapping[str, str]) -> None:
        """Whether somebody may be asked who to be. :raises BadAuthorization: the request does not hold"""
        try:
            server = _Server(self, issuer)
            server.get_consent_grant(_Request(f"{issuer}/authorize", dict(query)), None)
        except OAuth2Error as exc:
            raise _bad(exc) from exc

    def authorize(self, issuer: str, query: Mapping[str, str], citizen: DemoCitizen | None) -> str:
        """Where the browser goes with its code; with an error (``access_denied``) where nobody was chosen.

        :raises BadAuthorization: the request does not hold
        """
        server, request = _Server(self, issuer), _Request(f"{issuer}/authorize", dict(query))
        try:
            grant = server.get_consent_grant(request, citizen)
            answer: TokenAnswer = server.create_authorization_response(request, citizen, grant)
        except OAuth2Error as exc:
            raise _bad(exc) from exc
        if "Location" not in answer.headers:
            raise BadAuthorization("The sign-in request does not hold.", "登录请求无效。")
        return answer.headers["Location"]

    def token(self, issuer: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> TokenAnswer:
        """Answer ``POST /identity/token`` (RFC 6749 §5)."""
        request = _Request(f"{issuer}/token", dict(form), method="POST", headers=headers)
        answer: TokenAnswer = _Server(self, issuer).create_token_response(request)
        return answer

    def userinfo(self, access_token: str) -> dict[str, str] | None:
        """Who an access token is about (Core §5.3); None where it counts no more."""
        found = self.taken(_ACCESS, access_token)
        one = _citizen(found["citizen"]) if found else None
        return {"sub": one.key, "name": one.name, "id_number": one.id_number} if one else None

    # -- what is kept ---------------------------------------------------------------------------------------------------

    @cached_property
    def key(self) -> jwk.RSAKey:
        """The key of the ID tokens, made at first and kept with the node's secrets."""
        path = self.node.home / "secrets" / FILE
        if not path.exists():
            made = jwk.RSAKey.generate_key(2048, private=True)
            write_once(path, json.dumps({**made.as_dict(private=True), "kid": made.thumbprint()}) + "\n")
        return jwk.RSAKey.import_key(json.loads(path.read_text("utf-8")))

    def keep(self, purpose: str, data: dict[str, Any]) -> str:
        """The secret under which data are kept for a minute."""
        db = self.node.db
        return db.run(lambda session: pending.begin(session, purpose, data, utc_now(), lasts=_LASTS))

    def taken(self, purpose: str, secret: str) -> dict[str, Any] | None:
        """What was kept, once."""
        try:
            return self.node.db.run(lambda session: pending.end(session, purpose, secret, utc_now()))
        except TicketOver:
            return None


class _Within:
    """The provider as ``people.oidc`` reaches it: its addresses, asked within the process."""

    def __init__(self, provider: DevelopmentProvider) -> None:
        self._provider = provider

    def get(self, url: str, headers: Mapping[str, str]) -> bytes:
        issuer, path = _split(url)
        if path == "/.well-known/openid-configuration":
            return json.dumps(self._provider.metadata(issuer)).encode()
        if path == "/jwks.json":
            return json.dumps(self._provider.jwks()).encode()
        if path == "/userinfo":
            found = self._provider.userinfo(headers.get("Authorization", "").removeprefix("Bearer "))
            if found is not None:
                return json.dumps(found).encode()
        raise NotFound("There is nothing at this address.", "此地址没有内容。")

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        issuer, path = _split(url)
        if path != "/token":
            raise NotFound("There is nothing at this address.", "此地址没有内容。")
        answer = self._provider.token(issuer, dict(parse_qsl(body.decode())), headers)
        if answer.status != 200:
            raise BadInput("The code was not taken.", "授权码未被接受。")
        return json.dumps(answer.body).encode()


def _split(url: str) -> tuple[str, str]:
    """Issuer, and the path below it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{PATH}", parts.path.removeprefix(PATH)


# -- what Authlib asks to be filled in ----------------------------------------------------------------------------------------


class _Request(OAuth2Request):  # type: ignore[misc]
    """A request by its fields; Authlib refuses plain HTTP, and whether there is TLS is for ``serve --tls`` to say."""

    def __init__(
        self, uri: str, fields: dict[str, str], *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(method, "https://" + uri.partition("://")[2], headers=dict(headers or {}))
        self._fields = fields
        self.payload = BasicOAuth2Payload(fields)

    @property
    def args(self) -> dict[str, str]:
        return self._fields if self.method == "GET" else {}

    @property
    def form(self) -> dict[str, str]:
        return self._fields if self.method == "POST" else {}


class _Client(ClientMixin):  # type: ignore[misc]
    """The one client: this node's own pages, public, with PKCE.

    :param home: the address that browsers come back to
    """

    client_id = CLIENT_ID

    def __init__(self, home: str) -> None:
        self._home = home

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        return self._home

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(one for one in (scope or "").split() if one in ("openid", "profile"))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self._home

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "none" and endpoint == "token"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass(frozen=True)
class _Code:
    """What a code stands for."""

    redirect_uri: str
    scope: str
    nonce: str | None
    citizen: str
    at: int
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.at

    def get_acr(self) -> str:
        return DEVELOPMENT_ASSURANCE

    def get_amr(self) -> None:
        return None


class _Grant(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = ["none"]

    def generate_authorization_code(self) -> str:
        data = self.request.payload.data
        kept = {
            "redirect_uri": data.get("redirect_uri", ""),
            "scope": self.request.scope,
            "nonce": data.get("nonce"),
            "citizen": self.request.user.key,
            "at": int(time.time()),
            "code_challenge": data.get("code_challenge"),
            "code_challenge_method": data.get("code_challenge_method"),
        }
        code: str = self.server.provider.keep(_CODE, kept)
        return code

    def save_authorization_code(self, code: str, request: _Request) -> None:
        """It was kept when it was made."""

    def query_authorization_code(self, code: str, client: _Client) -> _Code | None:
        found = self.server.provider.taken(_CODE, code)  # from now on it counts no more, whatever follows
        return _Code(**found) if found else None

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        """It was gone when it was asked for."""

    def authenticate_user(self, authorization_code: _Code) -> DemoCitizen | None:
        return _citizen(authorization_code.citizen)


class _Pkce(CodeChallenge):  # type: ignore[misc]
    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD: ClassVar[list[str]] = ["S256"]


class _OpenId(OpenIDCode):  # type: ignore[misc]
    def __init__(self, server: _Server) -> None:
        super().__init__(require_nonce=True)
        self._server = server

    def exists_nonce(self, nonce: str, request: _Request) -> bool:
        return False  # a code counts once, and with it its nonce

    def resolve_client_private_key(self, client: _Client) -> jwk.RSAKey:
        return self._server.provider.key

    def get_client_algorithm(self, client: _Client) -> str:
        return _ALGORITHM

    def get_encode_header(self, client: _Client) -> dict[str, Any]:
        return {"alg": _ALGORITHM, "kid": self._server.provider.key.kid, "typ": "JWT"}

    def get_client_claims(self, client: _Client) -> dict[str, Any]:
        return {"iss": self._server.issuer, "aud": CLIENT_ID, "exp": int(time.time() + _LASTS.total_seconds())}

    def generate_user_info(self, user: DemoCitizen, scope: str) -> dict[str, str]:
        return {"sub": user.key, "name": user.name}  # the identity number is for userinfo alone


class _Server(AuthorizationServer):  # type: ignore[misc]
    """One request's authorization server, under the address that the browser knows."""

    def __init__(self, provider: DevelopmentProvider, issuer: str) -> None:
        super().__init__(scopes_supported=["openid", "profile"])
        self.provider = provider
        self.issuer = issuer
        self.register_grant(_Grant, [_OpenId(self), _Pkce(required=True)])
        lasts = int(_LASTS.total_seconds())
        self.register_token_generator("default", BearerTokenGenerator(self._access_token, expires_generator=lasts))

    def _access_token(self, client: _Client, grant_type: str, user: DemoCitizen, scope: str) -> str:
        return self.provider.keep(_ACCESS, {"citizen": user.key})

    def query_client(self, client_id: str) -> _Client | None:
        return _Client(self.issuer.removesuffix(PATH) + RETURN_PATH) if client_id == CLIENT_ID else None

    def save_token(self, token: dict[str, Any], request: _Request) -> None:
        """It was kept when it was made."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: _Request) -> _Request:
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> TokenAnswer:
        return TokenAnswer(status, body if isinstance(body, dict) else {}, dict(headers))


def _citizen(key: str) -> DemoCitizen | None:
    return next((one for one in CITIZENS if one.key == key), None)


def _bad(exc: OAuth2Error) -> BadAuthorization:
    return BadAuthorization(
        f"The sign-in request does not hold ({exc.error}); begin again on the page that you came from.",
        f"登录请求无效（{exc.error}）；请回到原页面重新登录。",
    )
