"""Signing in at an OpenID provider (OpenID Connect Core 1.0, authorization code flow with PKCE).

Any provider that publishes its metadata will do. Authlib makes the requests and judges the ID token, joserfc checks its
signature; this module keeps ``state``, ``nonce`` and the PKCE verifier between the two halves, and finds the account. That one
is bound by an administrator to issuer and subject, never found by a name or an address: those change hands. Somebody who is
not bound yet leaves a request that an administrator sees.
"""

from __future__ import annotations

import json
import re
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
    def from_table(cls, table: Mapping[str, Any], read: Callable[[str], str], section: str = "oidc") -> OidcSettings:
        """
        :param read: the text of a file of the node's home
        :param section: what the table is called in node.toml
        :raises Misconfigured: a value is missing or of the wrong kind
        """
        wanted = {"issuer", "client_id", "client_secret_file", "name", "name_en", "scope", "prompt"}
        if (
            set(table) - wanted
            or not {"issuer", "client_id"} <= set(table)
            or not all(isinstance(value, str) for value in table.values())
        ):
            raise Misconfigured(
                f"[{section}] in node.toml needs issuer and client_id, and knows {', '.join(sorted(wanted))}; mend the file.",
                f"node.toml 的 [{section}] 须有 issuer 与 client_id；请对照文档修改。",
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


@dataclass(frozen=True)
class Redeemed:
    """What a provider said of whoever came back from it, its signature and its claims judged.

    :ivar kept: what :meth:`OidcClient.begin` was given to remember
    """

    metadata: Mapping[str, Any] = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    access_token: str = field(repr=False)
    kept: Mapping[str, str] = field(repr=False)

    @property
    def issuer(self) -> str:
        return str(self.metadata["issuer"])


class OidcClient(Room):
    """The way to one provider and back.

    :param purpose: of what is kept between the two halves; who begins one sign-in cannot end another kind with it
    :param otherwise: what to do while the provider cannot be reached, in English and Chinese
    """

    purpose = "oidc"
    return_path = RETURN_PATH
    otherwise = (
        "Sign in with a password or passkey, or ask the administrator.",
        "请使用密码或通行密钥登录，或联系系统管理员。",
    )

    def __init__(
        self, db: Database, audit: AuditLog, region: str, settings: OidcSettings, web: Web, *, now: Callable[[], datetime]
    ) -> None:
        super().__init__(db, audit, region, now=now)
        self.settings = settings
        self._web = web
        self._metadata: tuple[datetime, dict[str, Any]] | None = None
        self._keys: jwk.KeySet | None = None

    def look(self) -> str:
        """The issuer, if its metadata can be had and do. :raises ProviderUnavailable: they do not"""
        return str(self._provider()["issuer"])

    def begin(self, origin: str, **remember: str) -> tuple[str, str]:
        """``(where to send the browser, ticket)``; the ticket goes into a cookie and ends this sign-in once.

        :param origin: of this service as the browser sees it (``https://host``)
        :param remember: given back at the end
        :raises ProviderUnavailable: the provider does not answer sensibly
        """
        metadata = self._provider()
        kept = {
            **remember,
            "state": secrets.token_urlsafe(24),
            "nonce": secrets.token_urlsafe(24),
            "verifier": secrets.token_urlsafe(48),
            "redirect_uri": origin + self.return_path,
        }
        ticket = self.db.run(lambda session: pending.begin(session, self.purpose, kept, self._now()))
        url, _ = self._client(metadata, kept["redirect_uri"]).create_authorization_url(
            metadata["authorization_endpoint"],
            state=kept["state"],
            code_verifier=kept["verifier"],
            nonce=kept["nonce"],
            **self._asked(),
        )
        return str(url), ticket

    def redeem(self, ticket: str, answer: Mapping[str, str]) -> Redeemed:
        """What the provider says of whoever came back.

        :param answer: the query of the address that the provider sent the browser to
        :raises TicketOver: this sign-in was not begun in this browser, took too long, or was ended already
        :raises ProviderRefused: the provider said no, or what it says does not hold
        """
        kept = self.db.run(lambda session: pending.end(session, self.purpose, ticket, self._now()))
        metadata = self._provider()
        if not secrets.compare_digest(kept["state"], answer.get("state", "")):
            raise _refused("the answer belongs to another sign-in", "返回内容与本次登录不符")
        if answer.get("iss", metadata["issuer"]) != metadata["issuer"]:
            raise _refused("the answer comes from another provider (RFC 9207)", "返回内容来自其他认证系统")
        if answer.get("error") == "access_denied":
            raise ProviderRefused(
                "The sign-in did not succeed: you did not complete it. Sign in again when you want to.",
                "登录未成功：您没有完成认证。需要时请重新登录。",
            )
        if "error" in answer:
            raise _refused(f"it answered {answer['error'][:60]}", "对方拒绝了本次登录")
        claims, access_token = self._redeemed(metadata, kept, answer.get("code", ""))
        return Redeemed(metadata, claims, access_token, kept)

    def _asked(self) -> dict[str, str]:
        """What else is asked of the provider."""
        return {"prompt": self.settings.prompt} if self.settings.prompt else {}

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

    def _completed(self, found: Redeemed, wanted: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]:
        """The claims of the ID token; where they lack what is ``wanted``, with those of the provider's userinfo beside them."""
        known = dict(found.claims)
        if not wanted(known) and found.access_token and "userinfo_endpoint" in found.metadata:
            headers = {"Authorization": f"Bearer {found.access_token}"}
            try:
                more = json.loads(self._web.get(found.metadata["userinfo_endpoint"], headers))
                if isinstance(more, dict) and more.get("sub") == known["sub"]:  # Core §5.3.2
                    known = more | known
            except (XinyinError, ValueError):
                pass  # what is missing is for the caller to say
        return known

    def _provider(self) -> dict[str, Any]:
        """The provider's metadata (Discovery §4), fresh within ten minutes."""
        now = self._now()
        if self._metadata is not None and now - self._metadata[0] < _FRESH:
            return self._metadata[1]
        try:
            found = json.loads(self._web.get(get_well_known_url(self.settings.issuer, external=True), {}))
            OpenIDProviderMetadata(_on_this_machine(found)).validate()
            if found["issuer"] != self.settings.issuer:
                raise ValueError("another issuer")
        except XinyinError as exc:
            raise self._unavailable(exc.message, exc.message_zh) from exc
        except (ValueError, TypeError, KeyError, AuthlibBaseError) as exc:
            raise self._unavailable(f"its metadata does not do ({exc})", "其配置信息无效") from exc
        self._metadata, self._keys = (now, dict(found)), None
        return self._metadata[1]

    def _unavailable(self, why: str, why_zh: str) -> ProviderUnavailable:
        otherwise, otherwise_zh = self.otherwise
        return ProviderUnavailable(
            f"The sign-in service cannot be used now: {why} {otherwise}", f"统一认证暂不可用：{why_zh} {otherwise_zh}"
        )

    def _key_set(self, metadata: Mapping[str, Any], *, again: bool = False) -> jwk.KeySet:
        if self._keys is None or again:
            self._keys = jwk.KeySet.import_key_set(json.loads(self._web.get(metadata["jwks_uri"], {})))
        return self._keys


class OidcService(OidcClient):
    """Sign-in of staff at one provider."""

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
        super().__init__(db, audit, region, settings, web, now=now)
        self._identities = identities

    def finish(self, ticket: str, answer: Mapping[str, str]) -> Account:
        """The account of whoever came back from the provider.

        :raises TicketOver: see :meth:`redeem`; :raises ProviderRefused: see there
        :raises NotBoundYet: nobody here is bound to that person; an administrator now sees the request
        :raises BadCredentials: the account bound to that person is disabled
        """
        found = self.redeem(ticket, answer)
        identity = self._identities.seen(found.issuer, str(found.claims["sub"]), self._shown_name(found))
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

    def _shown_name(self, found: Redeemed) -> str:
        """What the provider calls the person, as a help to the administrator; the subject where it says nothing."""
        claims = self._completed(found, lambda known: bool({"name", "preferred_username"} & set(known)))
        called = claims.get("name") or claims.get("preferred_username") or claims["sub"]
        return " ".join(str(called).split())[:200]


def _on_this_machine(metadata: Mapping[str, Any]) -> Any:
    """Metadata as Authlib judges them: it wants TLS save on ``localhost``, and names below that are this machine as well
    (RFC 6761 §6.3).
    """
    return json.loads(re.sub(r'"http://[a-z0-9-]+\.localhost(?=[:/])', '"http://localhost', json.dumps(metadata)))


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
