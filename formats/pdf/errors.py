"""What can be wrong with a PDF, each with a sentence that a clerk can act on."""

from __future__ import annotations

from collections.abc import Sequence

from crypto.errors import BadInput, Conflict, TooLarge, Unprocessable


class PdfProblem(BadInput):
    """Root of what is wrong with a PDF."""

    code = "pdf"


class OutsideCommonCase(PdfProblem):
    """Not damaged perhaps, but outside what our own reader covers; callers hand the file to a library and rarely show this."""

    code = "pdf-outside-common-case"

    def __init__(self, reason: str) -> None:
        super().__init__(f"This PDF is built in an unusual way: {reason}.", f"该 PDF 的结构不常见：{reason}。")


class NotAPdf(PdfProblem):
    """No PDF header where one must be."""

    code = "pdf-not-a-pdf"

    def __init__(self) -> None:
        super().__init__("This file is not a PDF; hand in a PDF document.", "该文件不是 PDF；请提供 PDF 文档。")


class DamagedBeyondRepair(PdfProblem):
    """Neither we nor the libraries can read it."""

    code = "pdf-damaged"

    def __init__(self, reason: str = "") -> None:
        super().__init__(
            "This PDF is damaged and cannot be repaired; export it again from the program that made it.",
            "该 PDF 已损坏且无法修复；请从生成它的程序重新导出。",
            reason=reason[:300],
        )


class DamagedAndSigned(PdfProblem):
    """Damaged, and a repair would break the signatures it carries."""

    code = "pdf-damaged-and-signed"

    def __init__(self, reason: str = "") -> None:
        super().__init__(
            "This PDF is damaged and already signed; a repair would break its signatures. Ask its sender for an intact copy.",
            "该 PDF 已损坏且已有签章，修复会使已有签章失效；请向提供者索取完好的文件。",
            reason=reason[:300],
        )


class PasswordNeeded(PdfProblem):
    """Encrypted with a password that is not empty."""

    code = "pdf-password-needed"

    def __init__(self) -> None:
        super().__init__(
            "This PDF is protected by a password; remove the password and try again.",
            "该 PDF 有口令保护；请去除口令后重试。",
        )


class UnsupportedEncryption(PdfProblem):
    """Encrypted in a way that the libraries cannot open (public-key or unknown handlers)."""

    code = "pdf-unsupported-encryption"

    def __init__(self, reason: str = "") -> None:
        super().__init__(
            "This PDF is encrypted in a way that cannot be sealed; export it without encryption.",
            "该 PDF 的加密方式不支持加盖印章；请导出未加密的版本。",
            reason=reason[:300],
        )


class ChangesNotPermitted(Unprocessable):
    """Its author's permissions forbid what sealing needs (ISO 32000-2 §7.6.4.2, bits 4 and 6)."""

    code = "pdf-changes-not-permitted"

    def __init__(self) -> None:
        super().__init__(
            "The author of this PDF forbids changes to it; ask for a version without this restriction.",
            "该 PDF 的作者禁止修改；请索取没有此限制的版本。",
        )


class CertifiedAgainstChanges(Conflict):
    """It is certified, or a signature in it locks it: common verifiers would then call a further seal tampering.

    They do so at every level of certification: even P = 2 and 3 allow only fields that were there already to be signed
    (DocMDP, ISO 32000-2 §12.8.2.2).
    """

    code = "pdf-certified-against-changes"

    def __init__(self) -> None:
        super().__init__(
            "This PDF is certified or locked by a signature: a seal would break that. Ask for a copy that is not certified.",
            "该 PDF 已被认证或锁定，加盖印章会使原有认证失效；请索取未认证的版本。",
        )


class DynamicForm(PdfProblem):
    """An XFA form whose pages are made by the reader (ISO 32000-1 §12.7.8): what is sealed is not what is seen."""

    code = "pdf-dynamic-form"

    def __init__(self) -> None:
        super().__init__(
            "This PDF is a dynamic form whose pages exist only in the program that shows it; print it to PDF and seal that.",
            "该 PDF 是动态表单（XFA），其页面由阅读软件临时生成；请先打印为 PDF 再加盖印章。",
        )


class NoSuchPage(PdfProblem):
    """The page asked for is not there."""

    code = "pdf-no-such-page"

    def __init__(self, page: int, pages: int) -> None:
        super().__init__(
            f"There is no page {page}; the document has {pages} page(s).",
            f"没有第 {page} 页；该文档共 {pages} 页。",
            page=page,
            pages=pages,
        )
        self.arguments = [page, pages]


class PdfTooLarge(TooLarge):
    """Over a limit of size, count or depth."""

    code = "pdf-too-large"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(
            f"This PDF is over the limit: {what} (at most {limit}).",
            f"该 PDF 超出限制：{what}（上限 {limit}）。",
            limit=limit,
        )


class OffThePage(PdfProblem):
    """The place asked for is not on the page."""

    code = "pdf-off-the-page"

    def __init__(self, page: int, place_mm: Sequence[float], size_mm: Sequence[float]) -> None:
        (x, y), (width, height) = place_mm, size_mm
        super().__init__(
            f"The place ({x:g} mm, {y:g} mm) is not on page {page}, which is {width:.0f} mm wide and {height:.0f} mm high.",
            f"位置（{x:g} 毫米，{y:g} 毫米）不在第 {page} 页上；该页宽 {width:.0f} 毫米，高 {height:.0f} 毫米。",
            page=page,
        )
        self.arguments = [page, [x, y], [width, height]]
