"""A phone in software: a P-256 key, the proofs that it makes (OpenID4VCI), and the people of Yunjiang who carry one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import jose

PROOF = "openid4vci-proof+jwt"


def identity_number(serial: int, born: str = "19800101") -> str:
    """A well-formed number (GB 11643) of a region that does not exist."""
    body = f"990000{born}{serial:03d}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return body + "10X98765432"[sum(w * int(d) for w, d in zip(weights, body, strict=True)) % 11]


@dataclass
class SoftPhone:
    """``clock`` is how many seconds its clock is off."""

    key: SoftwareKey = field(default_factory=lambda: SoftwareKey.generate(Suite.P256))
    clock: int = 0

    @property
    def jwk(self) -> dict[str, str]:
        return jose.public_jwk(self.key.public_key)

    def proof(self, challenge: dict[str, Any], *, signer: SoftwareKey | None = None, typ: str = PROOF, **claims: Any) -> str:
        """The proof that a download asks for; ``signer``, ``typ`` and ``claims`` make it another than it should be."""
        said = {"aud": challenge["audience"], "nonce": challenge["nonce"], "iat": int(time.time()) + self.clock, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        return jose.sign({"typ": typ, "jwk": self.jwk}, said, signer or self.key)
