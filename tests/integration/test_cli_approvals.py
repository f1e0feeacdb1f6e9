"""Officers at the command line: keys from a file, from a token of their own, and offline; the export alone proves it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_der_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from ceremonies.node import Node
from cli.main import main
from crypto.keys import SoftwareKey
from crypto.suites import Suite
from tests.node_home import founded_home
from tests.officers import certificate

MODULE = next(iter(Path("/usr/lib").glob("**/softhsm/libsofthsm2.so")), None)
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def home() -> Path:
    return founded_home("approvals")


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; its JSON. ``fails`` is the status that it must end with."""

    def command(*words: str, fails: int = 0) -> Any:
        capsys.readouterr()
        status = main(["--home", str(home), "--json", *words])
        said = capsys.readouterr().out
        assert status == fails, said
        return json.loads(said)

    return command


@pytest.fixture
def role(home: Path) -> str:
    """A role whose first key is active."""
    node = Node.open(home)
    try:
        made = node.keys.create_role("receipt", "p256", f"cli {os.urandom(3).hex()}")
        node.keys.activate(node.keys.stage(made.id).id)
        return made.id
    finally:
        node.close()


def pkcs12(folder: Path, name: str, suite: Suite = Suite.RSA) -> list[str]:
    """Options that name a PKCS#12 file."""
    key = SoftwareKey.generate(suite)
    loaded = x509.load_der_x509_certificate(certificate(key, name).der)
    private: Any = load_der_private_key(key.to_pkcs8(), None)
    data = serialize_key_and_certificates(name.encode(), private, loaded, None, BestAvailableEncryption(b"a pass phrase"))
    (folder / f"{name}.p12").write_bytes(data)
    (folder / "phrase").write_text("a pass phrase\n", encoding="utf-8")
    return ["--pkcs12", str(folder / f"{name}.p12"), "--secret-file", str(folder / "phrase")]


def pkcs8(folder: Path, name: str) -> list[str]:
    """Options that name an SM2 key and its certificate."""
    key = SoftwareKey.generate(Suite.SM2)
    (folder / f"{name}.p8").write_bytes(key.to_pkcs8())
    (folder / f"{name}.pem").write_text(certificate(key, name).pem(), encoding="utf-8")
    return ["--key", str(folder / f"{name}.p8"), "--certificate", str(folder / f"{name}.pem")]


def enrolled(run: Run, name: str, key: list[str]) -> str:
    proposed = run("approval", "key", "enrol", "--as", name, *key)
    assert proposed["status"] == "proposed"
    assert run("approval", "key", "confirm", proposed["id"])["status"] == "confirmed"
    return str(proposed["id"])


def test_two_officers_sign_a_step_and_the_export_alone_proves_it(run: Run, role: str, tmp_path: Path) -> None:
    first, second = pkcs12(tmp_path, "officer"), pkcs8(tmp_path, "officer2")
    keys = [enrolled(run, "officer", first), enrolled(run, "officer2", second)]
    refused = run("key", "stage", role, "--as", "officer", fails=1)
    assert refused["error"]["code"] == "approval-needed"
    asked = run("key", "ask", "stage", role, "--as", "officer")
    assert run("approval", "list", "--status", "open")["items"][0]["id"] == asked["id"]
    assert run("approval", "sign", asked["id"], "--as", "officer", *first)["status"] == "open"
    twice = run("approval", "sign", asked["id"], "--as", "officer", *first, fails=1)
    assert twice["error"]["code"] == "already-approved"
    early = run("key", "stage", role, "--as", "officer", "--approval", asked["id"], fails=1)
    assert early["error"]["code"] == "approval-short"
    # Offline: only the text travels, and only the signature comes back.
    run("approval", "show", asked["id"], "--out", str(tmp_path / "statement.json"))
    offline = ["--statement", str(tmp_path / "statement.json"), "--out", str(tmp_path / "s.p7s")]
    assert run("approval", "sign", *offline, *second)["id"] == asked["digest"]
    signed = run("approval", "sign", asked["id"], "--as", "officer2", "--signature", str(tmp_path / "s.p7s"))
    assert signed["status"] == "granted"
    assert run("key", "stage", role, "--as", "officer", "--approval", asked["id"])["state"] == "staged"
    assert run("approval", "show", asked["id"])["status"] == "used"

    log, pem = tmp_path / "log.jsonl", tmp_path / "keys.pem"
    run("audit", "export", "--out", str(log), "--keys", str(pem))
    assert run("audit", "verify", str(log), "--trust", str(pem))["status"] == "whole"
    for key in keys:
        run("approval", "key", "remove", key)
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    edited = [line.replace('\\"number\\":2', '\\"number\\":3') if "approval.used" in line else line for line in lines]
    assert edited != lines
    log.write_text("".join(edited), encoding="utf-8")
    damaged = run("audit", "verify", str(log), "--trust", str(pem), fails=1)
    assert {"approval-edited", "approval-forged", "root-differs"} <= {one["code"] for one in damaged["findings"]}


@pytest.mark.skipif(MODULE is None or shutil.which("pkcs11-tool") is None, reason="no softhsm2 and opensc on this machine")
@pytest.mark.parametrize("suite", [Suite.RSA, Suite.P256])
def test_an_officer_signs_with_a_token_of_her_own(run: Run, role: str, tmp_path: Path, suite: Suite) -> None:
    token = own_token(tmp_path, suite)
    key = ["--pkcs11", str(MODULE), "--token", "officer3", "--secret-file", str(tmp_path / "pin")]

    def offline(text: bytes, name: str) -> Path:
        (tmp_path / f"{name}.json").write_bytes(text)
        words = ["approval", "sign", "--json", "--statement", str(tmp_path / f"{name}.json"), *key]
        command = [sys.executable, "-m", "cli", *words, "--out", str(tmp_path / f"{name}.p7s")]
        environment = {**os.environ, "SOFTHSM2_CONF": str(tmp_path / "softhsm2.conf"), "PYTHONPATH": os.getcwd()}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return tmp_path / f"{name}.p7s"

    node = Node.open(founded_home("approvals"))
    try:
        account = node.accounts.get("officer3")
        proof = offline(node.approvals.keys.challenge(account, token.der), "proof").read_bytes()
        proposed = node.approvals.keys.propose_certificate(account, token.der, proof)
        node.approvals.keys.confirm(node.actor(None), proposed["id"])
    finally:
        node.close()
    asked = run("key", "ask", "stage", role, "--as", "officer")
    run("approval", "show", asked["id"], "--out", str(tmp_path / "wanted.json"))
    signature = offline((tmp_path / "wanted.json").read_bytes(), "step")
    given = run("approval", "sign", asked["id"], "--as", "officer3", "--signature", str(signature))["given"]
    assert [one["account"] for one in given] == [account.id]
    run("approval", "key", "remove", proposed["id"])


def own_token(folder: Path, suite: Suite) -> Any:
    """A SoftHSM token that holds an officer's key and certificate; the certificate."""
    key = SoftwareKey.generate(suite)
    made = certificate(key, "officer3")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n", encoding="utf-8")
    (folder / "pin").write_text("123456", encoding="utf-8")
    (folder / "key.der").write_bytes(key.to_pkcs8())
    (folder / "cert.der").write_bytes(made.der)
    environment = {**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm2.conf")}

    def tool(*words: str) -> None:
        subprocess.run(words, env=environment, cwd=folder, check=True, capture_output=True)

    tool("softhsm2-util", "--init-token", "--free", "--label", "officer3", "--pin", "123456", "--so-pin", "12345678")
    use = ["pkcs11-tool", "--module", str(MODULE), "--token-label", "officer3", "--login", "--pin", "123456"]
    tool("openssl", "pkcs8", "-topk8", "-nocrypt", "-inform", "DER", "-in", "key.der", "-out", "key.pem")
    tool("softhsm2-util", "--import", "key.pem", "--token", "officer3", "--label", "own", "--id", "01", "--pin", "123456")
    tool(*use, "--write-object", "cert.der", "--type", "cert", "--id", "01", "--label", "own")
    return made


def test_what_is_no_statement_is_not_signed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "contract.json").write_text('{"type": "contract"}', encoding="utf-8")
    words = ["--statement", str(tmp_path / "contract.json"), "--out", str(tmp_path / "s.p7s")]
    refused = run("approval", "sign", *words, *pkcs8(tmp_path, "anyone"), fails=1)
    assert refused["error"]["code"] == "bad-input"
    assert not (tmp_path / "s.p7s").exists()
    assert run("approval", "sign", *words, fails=1)["error"]["code"] == "bad-input"
