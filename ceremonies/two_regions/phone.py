"""A phone without a screen: it does what the phone pages do, with a key that this process holds.

The pages keep their key in the browser's WebCrypto, which gives it to nobody; here it lies in memory for as long as the story
lasts. Everything else is the same: sign-in at the region's identity provider, proof of the key, credential, a code a minute.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from ceremonies.two_regions.browser import Browser
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import codes, jose

PROVIDER = "/identity/authorize"
PROOF = "openid4vci-proof+jwt"


class Phone:
    """One person's phone.

    :ivar downloaded: what the service gave for the licence on it; None before :meth:`download`
    """

    def __init__(self, base_url: str) -> None:
        self.browser = Browser(base_url)
        self.key = SoftwareKey.generate(Suite.P256)
        self.downloaded: dict[str, Any] | None = None
        self._csrf = ""

    def sign_in(self, person: str) -> None:
        """Sign in as a demo citizen (``people.demo.CITIZENS``, by key), through the region's identity provider.

        :raises Unavailable: the provider does not offer that person
        """
        asked = self.browser.get("/phone/signin/start?to=/phone")
        self.browser.form(PROVIDER, {**asked.fields(PROVIDER), "citizen": person})
        self._csrf = self.browser.get("/phone/settings").fields("/phone/signout")["csrf"]

    def licences(self) -> list[dict[str, Any]]:
        """What the person may use."""
        found: list[dict[str, Any]] = self.browser.get("/api/v1/wallet/licences").json()["items"]
        return found

    def uses(self, licence: str) -> list[dict[str, Any]]:
        """Who verified a licence, and for what."""
        found: list[dict[str, Any]] = self.browser.get(f"/api/v1/wallet/uses?licence={licence}").json()["items"]
        return found

    def download(self, licence: str) -> dict[str, Any]:
        """Put a licence on the phone, bound to its key."""
        nonce = self._post("/challenges", {})["nonce"]
        header = {"typ": PROOF, "jwk": jose.public_jwk(self.key.public_key)}
        claims = {"aud": self.browser.base_url, "nonce": nonce, "iat": int(datetime.now(UTC).timestamp())}
        proof = jose.sign(header, claims, self.key)
        self.downloaded = self._post("/copies", {"licence": licence, "device_name": "样本手机", "proof": proof})
        return self.downloaded

    def show(self, *, challenge: str | None = None) -> str:
        """What the code on the screen says now; needs no network."""
        assert self.downloaded is not None
        packed = str(self.downloaded["credential"])
        credential = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        host = str(self.downloaded["host"])
        return codes.encode_shown(credential, self.key, host, at=datetime.now(UTC), challenge=challenge)

    def _post(self, path: str, body: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.browser.json(f"/api/v1/wallet{path}", body, X_CSRF_Token=self._csrf)
        return found
