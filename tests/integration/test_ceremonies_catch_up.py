"""A node that an earlier version founded gets the keys that this one needs, and says so to others."""

from __future__ import annotations

from pathlib import Path

import pytest

from ceremonies import founding
from ceremonies.node import Node
from formats.jose import public_jwk
from hsm.errors import NoSuchGeneration
from hsm.schemas import KeyPurpose
from verify.trust import ServiceType


def test_a_node_founded_before_credentials_gets_their_key_and_lists_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = tuple(p for p in founding._OWN_KEYS if p is not KeyPurpose.credential_issuer)
    with monkeypatch.context() as past:
        past.setattr(founding, "_OWN_KEYS", earlier)
        founding.found(tmp_path / "home", "330000", "浙江省", lambda zh, en: None).close()
    node = Node.open(tmp_path / "home")
    try:
        before = node.trust_store().list_of("330000")
        assert before is not None
        assert not node.trust_store().keys(ServiceType.CREDENTIAL_ISSUER)
        with pytest.raises(NoSuchGeneration):
            node.credential_issuer()
        said: list[str] = []
        founding.catch_up(node, lambda zh, en: said.append(en))
        now = node.trust_store().list_of("330000")
        assert now is not None
        assert now.sequence == before.sequence + 1
        listed = [dict(s.jwk or {}) for s in node.trust_store().keys(ServiceType.CREDENTIAL_ISSUER, "330000")]
        assert listed == [public_jwk(node.credential_issuer().public_key)]
        assert said == ["Making the key credential_issuer, which earlier versions did not have"]
        founding.catch_up(node, lambda zh, en: said.append(en))
        again = node.trust_store().list_of("330000")
        assert len(said) == 1
        assert again is not None
        assert again.sequence == now.sequence
    finally:
        node.close()
