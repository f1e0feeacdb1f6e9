"""The key service, as far as the CA uses it, over software keys: for tests of the CA alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle
from typing import Any

from crypto.errors import Conflict, NotFound, Unavailable
from crypto.keys import PublicKey, Signer, SoftwareKey
from crypto.suites import Suite

_POOL = 24


@cache
def _rsa(number: int) -> SoftwareKey:
    return SoftwareKey.generate(Suite.RSA)


_numbers = cycle(range(_POOL))


def soft_key(suite: Suite) -> SoftwareKey:
    """A key that no other of the last two dozen is: RSA keys cost a quarter of a second each and come round again."""
    return _rsa(next(_numbers)) if suite is Suite.RSA else SoftwareKey.generate(suite)


@dataclass(frozen=True)
class SoftRole:
    id: str
    purpose: str
    suite: Suite
    name: str = ""


@dataclass(frozen=True)
class SoftGeneration:
    id: str
    role_id: str
    number: int
    state: str
    public_key: PublicKey


class SoftwareKeys:
    """Roles and generations in memory. ``locked``: keys whose token is logged out; ``uses``: signers handed out by word."""

    def __init__(self) -> None:
        self.roles: dict[str, SoftRole] = {}
        self.generations: dict[str, SoftGeneration] = {}
        self._keys: dict[str, SoftwareKey] = {}
        self.locked: set[str] = set()
        self.uses: dict[str, int] = {}

    def create_role(self, purpose: Any, suite: Any, name: str) -> SoftRole:
        """A role, or the one that is there with the same purpose, suite and name, as ``hsm`` does."""
        wanted = (str(purpose), Suite(suite), name)
        known = (r for r in self.roles.values() if (r.purpose, r.suite, r.name) == wanted)
        role = next(known, None) or SoftRole(f"role_{len(self.roles)}", *wanted)
        self.roles[role.id] = role
        return role

    def stage(self, role_id: str) -> SoftGeneration:
        """The role's staged generation; made when there is none."""
        for waiting in self.generations.values():
            if waiting.role_id == role_id and waiting.state == "staged":
                return waiting
        key = soft_key(self.roles[role_id].suite)
        number = 1 + sum(g.role_id == role_id for g in self.generations.values())
        made = SoftGeneration(f"gen_{len(self.generations)}", role_id, number, "staged", key.public_key)
        self.generations[made.id], self._keys[made.id] = made, key
        return made

    def activate(self, generation_id: str) -> None:
        role = self.generations[generation_id].role_id
        for other in self.generations.values():
            if other.role_id == role and other.state == "active":
                self.set_state(other.id, "draining")
        self.set_state(generation_id, "active")

    def set_state(self, generation_id: str, state: str) -> None:
        self.generations[generation_id] = replace(self.generations[generation_id], state=state)

    def active(self, role_id: str) -> SoftGeneration:
        found = [g for g in self.generations.values() if g.role_id == role_id and g.state == "active"]
        if not found:
            raise NotFound("This role has no active key.", "该角色没有使用中的密钥。")
        return found[0]

    def generation(self, generation_id: str) -> SoftGeneration:
        return self.generations[generation_id]

    def signer(self, generation_id: str, use: Any) -> Signer:
        if generation_id in self.locked:
            raise Unavailable("The token is logged out.", "密钥设备未登录。")
        if self.generations[generation_id].state == "destroyed":
            raise Conflict("The key is destroyed.", "密钥已销毁。")
        self.uses[str(use)] = self.uses.get(str(use), 0) + 1
        return self._keys[generation_id]

    def new(self, purpose: str, suite: Suite) -> SoftGeneration:
        """An active key of a new role."""
        made = self.stage(self.create_role(purpose, suite, f"{purpose} {len(self.roles)}").id)
        self.activate(made.id)
        return self.generations[made.id]
