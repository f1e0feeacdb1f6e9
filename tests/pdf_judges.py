"""What others make of a sealed file: poppler's pdfsig, pyHanko, qpdf."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.ades import ades_lta_validation, simulate_future_ades_lta_validation
from pyhanko.sign.validation.policy_decl import (
    PdfSignatureValidationSpec,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.registry import SimpleTrustManager

from formats.x509 import Certificate

logging.getLogger("pyhanko").setLevel(logging.CRITICAL)


def pdfsig(path: Path) -> list[bool]:
    """Per signature (document timestamps left out) whether poppler finds it valid; trust is another matter."""
    done = subprocess.run(
        ["pdfsig", "-nocert", str(path)], capture_output=True, text=True, errors="replace", timeout=60, check=False
    )
    blocks = re.split(r"^Signature #\d+:", done.stdout, flags=re.M)[1:]
    return [
        "Signature is Valid." in block
        for block in blocks
        if "Signature Type: unknown" not in block and "is not signed" not in block
    ]


@dataclass(frozen=True)
class Opinion:
    intact: bool
    valid: bool
    trusted: bool
    changes_allowed: bool
    coverage: str


def pyhanko(data: bytes, roots: list[Certificate], password: bytes = b"") -> list[Opinion]:
    """Per signature, what pyHanko finds; reading is non-strict, as it is for real-world files."""
    reader = PdfFileReader(BytesIO(data), strict=False)
    if reader.encrypted:
        reader.decrypt(password)
    context = ValidationContext(trust_roots=[root.asn1 for root in roots], allow_fetching=False)
    opinions = []
    for signature in reader.embedded_regular_signatures:
        status = validate_pdf_signature(signature, context)
        opinions.append(Opinion(status.intact, status.valid, status.trusted, bool(status.docmdp_ok), status.coverage.name))
    return opinions


def qpdf(path: Path) -> list[str]:
    """The complaints of ``qpdf --check``, without file names and numbers, so that two files can be compared."""
    done = subprocess.run(
        ["qpdf", "--check", str(path)], capture_output=True, text=True, errors="replace", timeout=60, check=False
    )
    lines = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if "WARNING" in line or "ERROR" in line or "error" in line.lower()
    ]
    lines = [line for line in lines if not line.startswith(("No syntax", "errors that qpdf"))]
    return [re.sub(r"\d+", "#", line.replace(str(path), "FILE")) for line in lines]


def pyhanko_lta(data: bytes, roots: list[Certificate], years_later: float = 0.0) -> tuple[str, str]:
    """pyHanko's PAdES-LTA verdict from the document's own store, offline, revocation evidence required for every certificate.

    :param years_later: > 0 asks for that date, as if the timestamps had been kept up
    :return: indication and sub-indication (ETSI EN 319 102-1)
    """
    trust = SimpleTrustManager.build(trust_roots=[root.asn1 for root in roots])
    policy = CertValidationPolicySpec(trust, CertRevTrustPolicy(REQUIRE_REVINFO))
    spec = PdfSignatureValidationSpec(
        SignatureValidationSpec(policy, RevocationInfoGatheringSpec(online_fetching_rule=RevinfoOnlineFetchingRule.LOCAL_ONLY))
    )
    signature = PdfFileReader(BytesIO(data)).embedded_regular_signatures[0]
    if years_later:
        later = datetime.now(UTC) + timedelta(days=365 * years_later)
        result = asyncio.run(simulate_future_ades_lta_validation(signature, spec, later))
    else:
        result = asyncio.run(ades_lta_validation(signature, spec))
    return result.ades_subindic.status.name, result.ades_subindic.name if hasattr(result.ades_subindic, "name") else ""
