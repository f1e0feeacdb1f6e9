"""SM2 and SM3 against published values and independent implementations."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import gmssl_pyx
import pytest

from crypto import der, sm2

ANNEX_D = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
ANNEX_X = 0x09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020
ANNEX_Y = 0xCCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13
ANNEX_ZA = "B2E14C5C79C6DF5B85F4FE7ED8DB7A262B9DA7E07CCB0EA9F4747B8CCDA8A4F3"
ANNEX_E = "F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640"
ANNEX_R = "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
ANNEX_S = "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"


def test_annex_values_of_gbt_32918_5() -> None:
    key = sm2.private_key_from_number(ANNEX_D)
    assert key.public_key.xy == ANNEX_X.to_bytes(32, "big") + ANNEX_Y.to_bytes(32, "big")
    assert sm2.za(key.public_key).hex().upper() == ANNEX_ZA
    assert sm2.digest_e(key.public_key, b"message digest").hex().upper() == ANNEX_E
    signature = sm2.raw_to_der(bytes.fromhex(ANNEX_R + ANNEX_S))
    assert sm2.verify(key.public_key, b"message digest", signature)
    assert not sm2.verify(key.public_key, b"message digest.", signature)
    assert not sm2.verify(key.public_key, b"message digest", signature, user_id=b"ALICE123@YAHOO.COM")


@pytest.mark.corpus
def test_annex_file_agrees(corpus: Path) -> None:
    text = (corpus / "gm" / "SM2_GBT32918.5_vectors.txt").read_text()
    values = dict(re.findall(r"^(d|r|s)=([0-9A-F]{64})", text, re.M))
    assert (int(values["d"], 16), values["r"], values["s"]) == (ANNEX_D, ANNEX_R, ANNEX_S)


def _blocks(path: Path) -> list[dict[str, str]]:
    blocks = []
    for block in re.split(r"\n\s*\n", path.read_text()):
        lines = [line for line in block.splitlines() if " = " in line and not line.startswith("#")]
        blocks.append(dict(line.split(" = ", 1) for line in lines))
    return blocks


@pytest.mark.corpus
def test_openssl_sm3_vectors(corpus: Path) -> None:
    done = 0
    for block in _blocks(corpus / "gm" / "evpmd_sm3.txt"):
        if block.get("Digest") == "SM3":
            text = block["Input"]
            data = text.strip('"').encode() if text.startswith('"') else bytes.fromhex(text)
            assert sm2.sm3(data).hex().upper() == block["Output"].upper()
            done += 1
    assert done >= 2


@pytest.mark.corpus
@pytest.mark.parametrize("backend", ["libcrypto", "gmssl"])
def test_openssl_sm2_verify_vectors(corpus: Path, backend: sm2.Backend) -> None:
    """EVP_PKEY_verify over a given e; those with another digest are to fail (e has 64 bytes)."""
    path = corpus / "gm" / "evppkey_sm2.txt"
    keys = {
        name: sm2.load_public_key(_pem(body))
        for name, body in re.findall(r"PublicKey=(\S+)\s+-----BEGIN PUBLIC KEY-----(.*?)-----END", path.read_text(), re.S)
    }
    done = 0
    with sm2.backend_forced(backend):
        for block in _blocks(path):
            if "Verify" in block and block["Verify"] in keys and "Output" in block:
                expected = "Result" not in block
                e, signature = bytes.fromhex(block["Input"]), bytes.fromhex(block["Output"])
                assert sm2.verify_e(keys[block["Verify"]], e, signature) is expected, block
                done += 1
    assert done >= 3


def _pem(body: str) -> bytes:
    import base64

    return base64.b64decode("".join(body.split()))


def test_gmssl_pyx_and_ours_accept_each_other() -> None:
    for number in range(20):
        message = bytes([number]) * (number * 37 + 1)
        key = sm2.generate_private_key()
        e, signature = sm2.digest_e(key.public_key, message), sm2.sign(key, message)
        point = key.public_key.xy
        assert gmssl_pyx.sm2_verify(point, message, signature)
        assert gmssl_pyx.sm2_verify_sm3_digest(point, e, signature)
        private = sm2.export_private_key(key)
        d = private[private.index(b"\x02\x01\x01\x04\x20") + 5 :][:32]
        theirs = gmssl_pyx.sm2_sign(d, point, message)
        assert sm2.verify(key.public_key, message, sm2.normalise_signature(theirs))


def test_gmssl_verifies_ours_and_refuses_what_we_refuse() -> None:
    """Includes keys whose X starts with 04, which gmssl's own constructor mangles."""
    key = next(k for k in iter(sm2.generate_private_key, None) if k.public_key.xy[0] in (0x04, 0x00, 0x40))
    signature = sm2.sign(key, b"m")
    with sm2.backend_forced("gmssl"):
        assert sm2.verify(key.public_key, b"m", signature)
        assert not sm2.verify(key.public_key, b"n", signature)


@pytest.mark.parametrize("user_id", [b"1234567812345678", b"ALICE123@YAHOO.COM"])
def test_openssl_command_line_agrees(tmp_path: Path, user_id: bytes) -> None:
    key = sm2.generate_private_key()
    (tmp_path / "key.der").write_bytes(sm2.export_private_key(key))
    (tmp_path / "pub.der").write_bytes(key.public_key.spki)
    (tmp_path / "message").write_bytes(b"a message" * 50)
    (tmp_path / "ours").write_bytes(sm2.sign(key, b"a message" * 50, user_id=user_id))
    common = ["-sigopt", f"distid:{user_id.decode()}", "-keyform", "DER"]
    checked = subprocess.run(
        ["openssl", "dgst", "-sm3", *common, "-verify", "pub.der", "-signature", "ours", "message"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Verified OK" in checked.stdout, checked.stderr
    subprocess.run(
        ["openssl", "dgst", "-sm3", *common, "-sign", "key.der", "-out", "theirs", "message"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    assert sm2.verify(key.public_key, b"a message" * 50, (tmp_path / "theirs").read_bytes(), user_id=user_id)


def _edge_cases() -> list[tuple[str, bytes]]:
    """Malformed signatures in the spirit of Wycheproof, made from the valid annex signature."""
    r, s, n = int(ANNEX_R, 16), int(ANNEX_S, 16), sm2.N
    i, seq, big_r, big_s = der.integer, der.sequence, der.integer(r), der.integer(s)
    good = seq(big_r, big_s)
    negative_r = der.tlv(der.INTEGER, r.to_bytes(32, "big"))
    return [
        ("empty", b""),
        ("empty sequence", seq()),
        ("r = 0", seq(i(0), big_s)),
        ("s = 0", seq(big_r, i(0))),
        ("both 0", seq(i(0), i(0))),
        ("r = n", seq(i(n), big_s)),
        ("s = n", seq(big_r, i(n))),
        ("r = n + 1", seq(i(n + 1), big_s)),
        ("s = n + 1", seq(big_r, i(n + 1))),
        ("r + n", seq(i(r + n), big_s)),
        ("s + n", seq(big_r, i(s + n))),
        ("n - r", seq(i(n - r), big_s)),
        ("r + s = n", seq(big_r, i(n - r))),
        ("negative r", seq(i(-r), big_s)),
        ("r without its leading zero", seq(negative_r, big_s)),
        ("r - 2^256", seq(i(r - 2**256), big_s)),
        ("swapped", seq(big_s, big_r)),
        ("trailing byte", good + b"\0"),
        ("trailing element", good + der.tlv(der.NULL, b"")),
        ("third integer", seq(big_r, big_s, i(1))),
        ("third element NULL", seq(big_r, big_s, der.tlv(der.NULL, b""))),
        ("one integer", seq(big_r)),
        ("padded r", seq(der.tlv(der.INTEGER, b"\0" * 2 + r.to_bytes(32, "big")), big_s)),
        ("empty r", seq(der.tlv(der.INTEGER, b""), big_s)),
        ("long-form length", b"\x30\x81" + good[1:]),
        ("long-form length of r", b"\x30" + bytes([good[1] + 1]) + b"\x02\x81" + good[3:]),
        ("length one too long", b"\x30" + bytes([good[1] + 1]) + good[2:]),
        ("length one too short", b"\x30" + bytes([good[1] - 1]) + good[2:]),
        ("length of 2^31", b"\x30\x84\x7f\xff\xff\xff" + good[2:]),
        ("indefinite length", b"\x30\x80" + good[2:] + b"\0\0"),
        ("SET for SEQUENCE", b"\x31" + good[1:]),
        ("OCTET STRING for INTEGER", good.replace(b"\x02\x21", b"\x04\x21", 1)),
        ("raw r‖s", bytes.fromhex(ANNEX_R + ANNEX_S)),
        ("truncated", good[:-1]),
        ("r huge", seq(i(1 << 4096), big_s)),
    ]  # fmt: skip


@pytest.mark.parametrize("backend", ["libcrypto", "gmssl"])
@pytest.mark.parametrize(("name", "signature"), _edge_cases(), ids=lambda v: v if isinstance(v, str) else "")
def test_malformed_signature_is_refused(name: str, signature: bytes, backend: sm2.Backend) -> None:
    key = sm2.public_key_from_xy(ANNEX_X.to_bytes(32, "big") + ANNEX_Y.to_bytes(32, "big"))
    with sm2.backend_forced(backend):
        assert sm2.verify(key, b"message digest", sm2.raw_to_der(bytes.fromhex(ANNEX_R + ANNEX_S)))
        assert sm2.verify(key, b"message digest", signature) is False
