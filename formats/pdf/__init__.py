"""PDF as Xinyin needs it: a bounded reader of the file's structure and a writer of incremental updates (ISO 32000-2 §7.5).

The reader covers the common case (intact cross-reference tables and streams, no encryption) and says
:class:`OutsideCommonCase` of the rest, which then goes to a library. Nothing here knows keys, certificates or seals.
"""

from formats.pdf.errors import (
    CertifiedAgainstChanges,
    DamagedBeyondRepair,
    NoSuchPage,
    NotAPdf,
    OutsideCommonCase,
    PasswordNeeded,
    PdfProblem,
    PdfTooLarge,
)
from formats.pdf.reader import Page, PdfFile

__all__ = [
    "CertifiedAgainstChanges",
    "DamagedBeyondRepair",
    "NoSuchPage",
    "NotAPdf",
    "OutsideCommonCase",
    "Page",
    "PasswordNeeded",
    "PdfFile",
    "PdfProblem",
    "PdfTooLarge",
]
