"""Signing and verifying in software, beside ``openssl speed`` on the same machine in the same run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from bench.measure import Row, processor_time
from crypto.keys import SoftwareKey
from crypto.suites import Suite

MESSAGE = os.urandom(256)


def rows(seconds: float) -> Iterator[Row]:
    """One core, processor time on both sides; a message of 256 bytes, digest included."""
    cases = (("SM2", Suite.SM2, 0, "sm2"), ("RSA-2048", Suite.RSA, 2048, "rsa2048"), ("RSA-3072", Suite.RSA, 3072, "rsa3072"))
    for name, suite, bits, peer in (*cases, ("P-256", Suite.P256, 0, "ecdsap256")):
        key = SoftwareKey.generate(suite, rsa_bits=bits or 2048)
        signature = key.sign(MESSAGE)
        before = openssl_speed(peer, seconds)
        sign = processor_time(lambda key=key: key.sign(MESSAGE), seconds)  # type: ignore[misc]
        verify = processor_time(lambda key=key, s=signature: key.public_key.verify(MESSAGE, s), seconds)  # type: ignore[misc]
        after = openssl_speed(peer, seconds)
        yield Row("primitives", f"{name} sign", sign, "openssl speed", (before[0] + after[0]) / 2)
        yield Row("primitives", f"{name} verify", verify, "openssl speed", (before[1] + after[1]) / 2)


def openssl_speed(algorithm: str, seconds: float) -> tuple[float, float]:
    """Milliseconds a signature and a verification by ``openssl speed``, one core.

    Its machine-readable lines end in rates for SM2 and in operations a second for RSA and ECDSA: sign, then verify.
    """
    done = subprocess.run(
        ["openssl", "speed", "-mr", "-seconds", str(max(1, round(seconds))), algorithm],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    last = next(line for line in reversed(done.stdout.splitlines()) if line.startswith("+F"))
    sign, verify = (float(value) for value in last.split(":")[-2:])
    return 1000 / sign, 1000 / verify
