"""What others make of a sealed file: poppler's pdfsig, pyHanko, qpdf."""

from __future__ import annotations

import logging
import re
import subprocess
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from formats.x509 import Certificate

logging.getLogger("pyhanko").setLevel(logging.CRITICAL)


def pdfsig(path: Path) -> list[bool]:
    """Per signature (document timestamps left out) whether poppler finds it valid; trust is another matter."""
    done = subprocess.run(
        ["pdfsig", "-nocert", str(path)], capture_output=True, text=True, errors="replace", timeout=60, check=False
    )
    blocks = re.split(r"^Signature #\d+:", done.stdout, flags=re.M)[1:]
    return ["Signature is Valid." in block for block in blocks if "ETSI.RFC3161" not in block]


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
