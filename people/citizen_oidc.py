"""How citizens sign in: at the region's identity provider (OpenID Connect, the same flow as for staff), by its claims.

Wanted are a name and a resident identity number, from the ID token or the provider's userinfo; ``[citizens]`` of node.toml says
what they are called there, and which levels of assurance (``acr``) count. A production node takes nobody's word that comes from
the development provider, however its configuration names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from crypto.errors import Misconfigured
from people.citizens import CitizenService, Statement
from people.errors import AssuranceTooLow, BadIdentityNumber, DevelopmentProvider
from people.oidc import OidcClient, OidcSettings, Web
from people.schemas import Citizen
from store.audit import AuditLog
from store.db import Database

RETURN_PATH = "/phone/signin/return"
DEVELOPMENT_MARK = "xinyin_development_provider"
"""What the development provider says of itself in its metadata."""
DEVELOPMENT_ASSURANCE = "urn:xinyin:acr:nobody-was-authenticated"
"""And in each of its statements."""


@dataclass(frozen=True)
class CitizenSettings:
    """``[citizens]`` of node.toml.

    :ivar name_claim: what the provider calls the person's name
    :ivar id_claim: what it calls the resident identity number
    :ivar levels: values of ``acr`` that count; empty: any
    """

    oidc: OidcSettings
    name_claim: str = "name"
    id_claim: str = "id_number"
    levels: tuple[str, ...] = ()

    @classmethod
    def from_table(cls, table: Mapping[str, Any], read: Callable[[str], str]) -> CitizenSettings:
        """
        :param read: the text of a file of the node's home
        :raises Misconfigured: a value is missing or of the wrong kind
        """
        own = {key: table[key] for key in ("name_claim", "id_claim", "levels") if key in table}
        levels = own.pop("levels", [])
        texts = [*own.values(), *(levels if isinstance(levels, list) else [None])]
        if not all(isinstance(one, str) and one for one in texts):
            raise Misconfigured(
                "[citizens] in node.toml: name_claim and id_claim are texts, levels is a list of texts; mend the file.",
                "node.toml 的 [citizens] 中，name_claim 与 id_claim 应为文本，levels 应为文本列表；请对照文档修改。",
            )
        rest = {key: value for key, value in table.items() if key not in ("name_claim", "id_claim", "levels")}
        return cls(OidcSettings.from_table(rest, read, "citizens"), levels=tuple(levels), **own)


class CitizenSignIn(OidcClient):
    """Sign-in of citizens at one provider.

    :param production: refuse the development provider
    """

    purpose = "citizen-oidc"
    return_path = RETURN_PATH
    otherwise = (
        "Try again a little later, or go to a counter with your identity card.",
        "请稍后再试，或携带身份证到窗口办理。",
    )

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        region: str,
        settings: CitizenSettings,
        web: Web,
        citizens: CitizenService,
        *,
        production: bool,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(db, audit, region, settings.oidc, web, now=now)
        self.citizen_settings = settings
        self._citizens = citizens
        self._production = production

    def finish(self, ticket: str, answer: Mapping[str, str]) -> tuple[Citizen, str]:
        """Whoever came back from the provider, and what :meth:`begin` was given as ``to``.

        :raises TicketOver: this sign-in was not begun in this browser, took too long, or was ended already
        :raises ProviderRefused: the provider said no, or what it says does not hold
        :raises AssuranceTooLow: it did not make sure of the person in a way that counts here
        :raises BadIdentityNumber: it gave no name or no identity number
        :raises DevelopmentProvider: it is the development provider, and this is a production node
        """
        settings, found = self.citizen_settings, self.redeem(ticket, answer)
        assurance = str(found.claims.get("acr", ""))
        if self._production and assurance == DEVELOPMENT_ASSURANCE:
            raise _development()
        if settings.levels and assurance not in settings.levels:
            raise AssuranceTooLow(
                "You signed in in a simpler way than is wanted here; sign in again, with face or identity card.",
                "您使用的认证方式级别不足；请重新登录，并选择人脸或身份证认证。",
                assurance=assurance[:100],
            )
        claims = self._completed(found, lambda known: {settings.name_claim, settings.id_claim} <= set(known))
        number = claims.get(settings.id_claim)
        if not isinstance(number, str) or not number:
            raise BadIdentityNumber(
                "The identity provider gave no identity number, and without it your licences cannot be found; "
                "sign in again and agree to its release.",
                "身份认证系统未提供公民身份号码，无法查找您的证照；请重新登录并同意提供。",
            )
        name = claims.get(settings.name_claim)
        statement = Statement(
            found.issuer, str(claims["sub"]), name if isinstance(name, str) else "", number, assurance=assurance
        )
        return self._citizens.signed_in(statement), found.kept.get("to", "")

    def _asked(self) -> dict[str, str]:
        levels = self.citizen_settings.levels
        return {**super()._asked(), **({"acr_values": " ".join(levels)} if levels else {})}

    def _provider(self) -> dict[str, Any]:
        metadata = super()._provider()
        if self._production and metadata.get(DEVELOPMENT_MARK):
            raise _development()
        return metadata


def _development() -> DevelopmentProvider:
    return DevelopmentProvider(
        "[citizens] in node.toml names the development identity provider, which authenticates nobody; "
        "a production node needs the region's own.",
        "node.toml 的 [citizens] 指向演示身份认证，它不核验任何人的身份；生产节点须使用本地区的统一身份认证。",
    )


def refuse_development(issuer: str) -> None:
    """What a production node looks at before it starts.

    :raises DevelopmentProvider: the issuer is without TLS, on this machine, or at the path of the development provider
    """
    parts = urlsplit(issuer)
    host = parts.hostname or ""
    here = host == "localhost" or host.endswith(".localhost") or host.startswith("127.") or host == "::1"
    if parts.scheme != "https" or here or parts.path.rstrip("/") == "/identity":
        raise _development()
