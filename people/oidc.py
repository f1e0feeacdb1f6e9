"""Signing in at an OpenID provider (OpenID Connect Core 1.0, authorization code flow with PKCE).

Any provider that publishes its metadata will do. Authlib makes the requests and judges the ID token, joserfc checks its
signature; this module keeps ``state``, ``nonce`` and the PKCE verifier between the two halves, and finds the account. That one
is bound by an administrator to issuer and subject, never found by a name or an address: those change hands. Somebody who is
not bound yet leaves a request that an administrator sees.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc6749 import OAuth2Token
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url
from joserfc import jwk, jwt
from joserfc.errors import InvalidKeyIdError, JoseError

from crypto.errors import Misconfigured, XinyinError
from people import pending
from people.errors import BadCredentials, NotBoundYet, ProviderRefused, ProviderUnavailable
from people.identities import IdentityService
from people.room import Room
from people.schemas import Account
from store.audit import AuditLog
from store.db import Database

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "RS384", "RS512", "PS384", "PS512")
"""Of ID tokens: signatures with a public key only."""
RETURN_PATH = "/signin/oidc/return"
_PURPOSE = "oidc"
_FRESH = timedelta(minutes=10)
_LEEWAY = 120


class Web(Protocol):
    """Outbound HTTP within limits, which ``net`` fills: bodies of answers with status 200, anything else raises."""

    def get(self, url: str, headers: Mapping[str, str]) -> bytes: ...
    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes: ...


@dataclass(frozen=True)
class OidcSettings:
    """``[oidc]`` of node.toml.

    :ivar issuer: the provider's identifier, exactly as its metadata says it
    :ivar name: what people know the provider as: on the button
    :ivar secret: the client's secret, from the file that ``client_secret_file`` names; None for a public client
    :ivar prompt: ``login`` makes the provider ask again each time
    """

    issuer: str
    client_id: str
    name: str
    name_en: str
    secret: str | None = field(default=None, repr=False)
    scope: str = "openid profile"
    prompt: str | None = None

    @classmethod
    def from_table(cls, table: Mapping[str, Any], read: Callable[[str], str]) -> OidcSettings:
        """
        :param read: the text of a file of the node's home
        :raises Misconfigured: a value is missing or of the wrong kind
        """
        wanted = {"issuer", "client_id", "client_secret_file", "name", "name_en", "scope", "prompt"}
        if (
            set(table) - wanted
            or not {"issuer", "client_id"} <= set(table)
            or not all(isinstance(value, str) for value in table.values())
        ):
            raise Misconfigured(
                f"[oidc] in node.toml needs issuer and client_id, and knows {', '.join(sorted(wanted))}; mend the file.",
                "node.toml 的 [oidc] 须有 issuer 与 client_id；请对照文档修改。",
            )
        file = table.get("client_secret_file")
        name = table.get("name", urlsplit(table["issuer"]).hostname or table["issuer"])
        return cls(
            table["issuer"],
            table["client_id"],
            name,
            table.get("name_en", name),
            read(file).strip() if file else None,
            table.get("scope", cls.scope),
            table.get("prompt"),
        )


class OidcService(Room):
    """Sign-in at one provider."""

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        region: str,
        settings: OidcSettings,
        web: Web,
        identities: IdentityService,
        *,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(db, audit, region, now=now)
        self.settings = settings
        self._web = web
        self._identities = identities
        self._metadata: tuple[datetime, dict[str, Any]] | None = None
        self._keys: jwk.KeySet | None = None

    def look(self) -> str:
        """The issuer, if its metadata can be had and do. :raises ProviderUnavailable: they do not"""
        return str(self._provider()["issuer"])

    def begin(self, origin: str) -> tuple[str, str]:
        """``(where to send the browser, ticket)``; the ticket goes into a cookie and ends this sign-in once.

        :param origin: of this service as the browser sees it (``https://host``)
        :raises ProviderUnavailable: the provider does not answer sensibly
        """
        metadata = self._provider()
        kept = {
            "state": secrets.token_urlsafe(24),
            "nonce": secrets.token_urlsafe(24),
            "verifier": secrets.token_urlsafe(48),
            "redirect_uri": origin + RETURN_PATH,
        }
        ticket = self.db.run(lambda session: pending.begin(session, _PURPOSE, kept, self._now()))
        more = {"prompt": self.settings.prompt} if self.settings.prompt else {}
        url, _ = self._client(metadata, kept["redirect_uri"]).create_authorization_url(
            metadata["authorization_endpoint"],
            state=kept["state"],
            code_verifier=kept["verifier"],
            nonce=kept["nonce"],
            **more,
        )
        return str(url), ticket

    def finish(self, ticket: str, answer: Mapping[str, str]) -> Account:
        """The account of whoever came back from the provider.

        :param answer: the query of the address that the provider sent the browser to
        :raises TicketOver: this sign-in was not begun in this browser, took too long, or was ended already
        :raises ProviderRefused: the provider said no, or what it says does not hold
        :raises NotBoundYet: nobody here is bound to that person; an administrator now sees the request
        :raises BadCredentials: the account bound to that person is disabled
        """
        kept = self.db.run(lambda session: pending.end(session, _PURPOSE, ticket, self._now()))
        metadata = self._provider()
        if not secrets.compare_digest(kept["state"], answer.get("state", "")):
            raise _refused("the answer belongs to another sign-in", "返回内容与本次登录不符")
        if answer.get("iss", metadata["issuer"]) != metadata["issuer"]:
            raise _refused("the answer comes from another provider (RFC 9207)", "返回内容来自其他认证系统")
        if "error" in answer:
            raise _refused(f"it answered {answer['error'][:60]}", "对方拒绝了本次登录")
        claims, access_token = self._redeemed(metadata, kept, answer.get("code", ""))
        shown = self._shown_name(metadata, claims, access_token)
        identity = self._identities.seen(metadata["issuer"], str(claims["sub"]), shown)
        if identity.account is None:
            raise NotBoundYet(
                f"You signed in at {self.settings.name_en}, but no account here belongs to you yet. "
                f"Ask the administrator to bind the request {identity.code}.",
                f"您已通过{self.settings.name}登录，但尚无与您对应的账户。请联系系统管理员，告知绑定编号 {identity.code}。",
                code=identity.code,
            )
        account = self._identities.account(identity.account)
        if account.status != "active":
            raise BadCredentials("This account is closed; ask the administrator.", "该账户已停用；请联系系统管理员。")
        return account

    def _client(self, metadata: Mapping[str, Any], redirect_uri: str) -> Any:
        offered = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        method = "client_secret_basic" if "client_secret_basic" in offered else "client_secret_post"
        return OAuth2Client(
            _TokenEndpoint(self._web),
            client_id=self.settings.client_id,
            client_secret=self.settings.secret,
            token_endpoint_auth_method=method if self.settings.secret else "none",
            scope=self.settings.scope,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )

    def _redeemed(self, metadata: Mapping[str, Any], kept: Mapping[str, str], code: str) -> tuple[dict[str, Any], str]:
        """``(claims of the ID token, access token)`` for the code."""
        client = self._client(metadata, kept["redirect_uri"])
        try:
            token: OAuth2Token = client.fetch_token(
                metadata["token_endpoint"],
                grant_type="authorization_code",
                code=code,
                code_verifier=kept["verifier"],
            )
        except (AuthlibBaseError, XinyinError, ValueError) as exc:
            raise _refused("it did not take the code", "对方未接受授权码") from exc
        access_token = str(token.get("access_token", ""))
        try:
            return self._judged(metadata, str(token["id_token"]), kept["nonce"], access_token), access_token
        except (JoseError, AuthlibBaseError, ValueError, TypeError, KeyError) as exc:
            raise _refused("its statement does not hold", "对方出具的身份声明无效") from exc

    def _judged(self, metadata: Mapping[str, Any], id_token: str, nonce: str, access_token: str) -> dict[str, Any]:
        """The claims of an ID token that holds (Core §3.1.3.7)."""
        algorithms = [one for one in metadata.get("id_token_signing_alg_values_supported", ["RS256"]) if one in ALGORITHMS]
        try:
            token = jwt.decode(id_token, self._key_set(metadata), algorithms=algorithms)
        except InvalidKeyIdError:  # the provider has taken a new key into use
            token = jwt.decode(id_token, self._key_set(metadata, again=True), algorithms=algorithms)
        claims = CodeIDToken(
            token.claims,
            token.header,
            {
                "iss": {"essential": True, "values": [metadata["issuer"]]},
                "aud": {"essential": True, "value": self.settings.client_id},
            },
            {"nonce": nonce, "client_id": self.settings.client_id, "access_token": access_token},
        )
        claims.validate(now=int(self._now().timestamp()), leeway=_LEEWAY)
        if not 1 <= len(str(claims["sub"])) <= 255:
            raise ValueError("sub")
        return dict(claims)

    def _shown_name(self, metadata: Mapping[str, Any], claims: Mapping[str, Any], access_token: str) -> str:
        """What the provider calls the person: from the ID token, else from its userinfo; the subject where it says nothing."""
        known = dict(claims)
        if not {"name", "preferred_username"} & set(known) and access_token and "userinfo_endpoint" in metadata:
            try:
                data = self._web.get(metadata["userinfo_endpoint"], {"Authorization": f"Bearer {access_token}"})
                more = json.loads(data)
                if isinstance(more, dict) and more.get("sub") == claims["sub"]:  # Core §5.3.2
                    known = more | known
            except (XinyinError, ValueError):
                pass  # a name is a help to the administrator and no more
        found = known.get("name") or known.get("preferred_username") or claims["sub"]
        return " ".join(str(found).split())[:200]

    def _provider(self) -> dict[str, Any]:
        """The provider's metadata (Discovery §4), fresh within ten minutes."""
        now = self._now()
        if self._metadata is not None and now - self._metadata[0] < _FRESH:
            return self._metadata[1]
        try:
            found = json.loads(self._web.get(get_well_known_url(self.settings.issuer, external=True), {}))
            metadata = OpenIDProviderMetadata(found)
            metadata.validate()
            if metadata["issuer"] != self.settings.issuer:
                raise ValueError("another issuer")
        except XinyinError as exc:
            raise _unavailable(exc.message, exc.message_zh) from exc
        except (ValueError, TypeError, KeyError, AuthlibBaseError) as exc:
            raise _unavailable(f"its metadata does not do ({exc})", "其配置信息无效") from exc
        self._metadata, self._keys = (now, dict(metadata)), None
        return self._metadata[1]

    def _key_set(self, metadata: Mapping[str, Any], *, again: bool = False) -> jwk.KeySet:
        if self._keys is None or again:
            self._keys = jwk.KeySet.import_key_set(json.loads(self._web.get(metadata["jwks_uri"], {})))
        return self._keys


class _TokenEndpoint:
    """What Authlib's client needs of a session: it posts a form."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def post(self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: Any) -> _Posted:
        url, sent, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        return _Posted(self._web.post(url, body.encode(), sent))


@dataclass(frozen=True)
class _Posted:
    """An answer with status 200, as Authlib reads one."""

    content: bytes = field(repr=False)
    status_code: int = 200

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.content)

    def raise_for_status(self) -> None:
        """Any other status has raised already."""


def _refused(why: str, why_zh: str) -> ProviderRefused:
    return ProviderRefused(
        f"The sign-in did not succeed: {why}. Start again; if it happens again, ask the administrator.",
        f"登录未成功：{why_zh}。请重新登录；若再次出现，请联系系统管理员。",
    )


def _unavailable(why: str, why_zh: str) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"The sign-in service cannot be used now: {why} Sign in with a password or passkey, or ask the administrator.",
        f"统一认证暂不可用：{why_zh} 请使用密码或通行密钥登录，或联系系统管理员。",
    )
