"""Which hosts other regions' services are asked at without TLS."""

from __future__ import annotations

import pytest

from net.errors import AddressRefused
from trust.outbound import Outbound


@pytest.mark.parametrize("listed", ["310000.localhost", "310000.localhost:8310", "310000.LOCALHOST"])
def test_a_development_node_is_named_with_or_without_its_port(listed: str) -> None:
    outbound = Outbound([listed])
    assert outbound.scheme("310000.localhost:8310") == "http"
    assert outbound.scheme("330000.localhost:8310") == "https"


def test_a_port_that_is_named_is_the_only_one_and_names_outside_localhost_keep_tls() -> None:
    outbound = Outbound(["310000.localhost:8310", "seals.example"])
    assert outbound.scheme("310000.localhost:8311") == "https"
    assert outbound.scheme("seals.example") == "https"
    with pytest.raises(AddressRefused):
        outbound.get("http://seals.example/status/seals.jws", ["seals.example"], accept="application/jose")
