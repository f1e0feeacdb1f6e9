"""The binding to libcrypto: many threads, no growth, and what happens on machines whose libcrypto has no SM2."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crypto import sm2
from crypto.errors import MalformedKey, MalformedSignature, SigningUnavailable


def test_many_threads_share_one_key() -> None:
    key = sm2.generate_private_key()
    barrier = threading.Barrier(8)

    def work(number: int) -> bool:
        barrier.wait()
        message = bytes([number]) * 100
        public = sm2.load_public_key(sm2.public_spki(key))
        for _ in range(40):
            signature = sm2.sign(key, message)
            if not sm2.verify(public, message, signature) or sm2.verify(public, message + b"x", signature):
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_memory_does_not_grow_with_use() -> None:
    """Keys made, loaded and dropped, signatures good and bad: the process keeps its size (handles are freed)."""

    def rounds(count: int) -> None:
        for _ in range(count):
            key = sm2.private_key_from_number(int.from_bytes(os.urandom(31), "big") + 1)
            signature = sm2.sign(key, b"m")
            public = sm2.public_key_from_xy(key.public_key.xy)
            assert sm2.verify(public, b"m", signature)
            assert not sm2.verify(public, b"n", signature)

    rounds(200)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rounds(1000)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1024, f"{grown} KiB more after 1000 rounds"  # one leaked EVP_PKEY is over 1 KiB a round


def test_without_libcrypto_signing_is_refused_by_name_and_verifying_works() -> None:
    key = sm2.generate_private_key()
    signature = sm2.sign(key, b"m")
    with sm2.backend_forced("gmssl"):
        assert sm2.backend() == "gmssl"
        for refused in (lambda: sm2.sign(key, b"m"), sm2.generate_private_key, lambda: sm2.private_key_from_number(5)):
            with pytest.raises(SigningUnavailable) as caught:
                refused()
            assert "OpenSSL" in caught.value.message
        assert sm2.verify(sm2.load_public_key(sm2.public_spki(key)), b"m", signature)
    assert sm2.backend() == "libcrypto"


@pytest.mark.parametrize("variable", [{"XINYIN_SM2_BACKEND": "gmssl"}, {"XINYIN_LIBCRYPTO": "/nonexistent/libcrypto.so.9"}])
def test_environment_selects_the_fall_back(variable: dict[str, str]) -> None:
    key = sm2.generate_private_key()
    code = (
        "import sys; from crypto import sm2; from crypto.errors import SigningUnavailable\n"
        "assert sm2.describe_backend() == 'gmssl (verification only)'\n"
        "spki, signature = (bytes.fromhex(a) for a in sys.argv[1:])\n"
        "assert sm2.verify(sm2.load_public_key(spki), b'm', signature)\n"
        "assert not sm2.verify(sm2.load_public_key(spki), b'n', signature)\n"
        "try: sm2.generate_private_key()\n"
        "except SigningUnavailable: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, sm2.public_spki(key).hex(), sm2.sign(key, b"m").hex()],
        env=os.environ | variable, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "refused", done.stderr


@pytest.mark.parametrize("number", [0, -1, sm2.N - 1, sm2.N, 1 << 300])
def test_private_numbers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(MalformedKey):
        sm2.private_key_from_number(number)


def test_an_overlong_user_id_is_refused_and_the_longest_is_not() -> None:
    key = sm2.generate_private_key()
    assert sm2.verify(key.public_key, b"m", sm2.sign(key, b"m", user_id=b"i" * 8191), user_id=b"i" * 8191)
    with pytest.raises(MalformedKey):
        sm2.sign(key, b"m", user_id=b"i" * 8192)
    for length in (0, 31, 33, 64):
        with pytest.raises(MalformedSignature):
            sm2.sign_e(key, bytes(length))
        assert not sm2.verify_e(key.public_key, bytes(length), sm2.sign(key, b"m"))


def test_many_user_ids_from_files_do_not_fill_the_memory() -> None:
    key = sm2.generate_private_key().public_key
    for number in range(100):
        sm2.za(key, str(number).encode())
    assert len(key._za) <= 16


def test_eight_threads_may_meet_at_the_first_use_of_the_library() -> None:
    """In a fresh process: two threads that each bound the library for themselves could not use each other's keys."""
    code = (
        "import sys, threading\n"
        "sys.setswitchinterval(1e-6)\n"
        "from crypto import sm2\n"
        "point = sm2.public_key_from_xy(bytes.fromhex(sys.argv[1]))\n"
        "barrier, good = threading.Barrier(8), []\n"
        "def work():\n"
        "    barrier.wait()\n"
        "    for _ in range(20):\n"
        "        sm2.verify(point, b'm', bytes.fromhex(sys.argv[2]))\n"
        "    good.append(1)\n"
        "threads = [threading.Thread(target=work) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "sys.exit(len(good) != 8)\n"
    )
    key = sm2.generate_private_key()
    arguments = [key.public_key.xy.hex(), sm2.sign(key, b"m").hex()]
    root = str(Path(__file__).resolve().parents[2])
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
