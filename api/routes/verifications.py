"""``/api/v1/verifications``: open to everyone, answers 200 for any verdict."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import JSONResponse

from api.auth import MaybeCaller
from api.routes.common import Moment
from api.schemas import VerdictOut
from crypto.errors import BadInput

router = APIRouter(prefix="/api/v1", tags=["verifications"])


@router.post("/verifications", operation_id="verify", response_model=VerdictOut, summary="Verify a document or a code")
def verify(
    request: Request,
    actor: MaybeCaller,
    file: UploadFile | None = None,
    code: Annotated[
        str | None, Form(max_length=8192, description="The content of a printed or shown code, instead of a file")
    ] = None,
    matter: Annotated[str | None, Form(max_length=64, description="The matter for which the document is shown")] = None,
    at: Annotated[Moment | None, Form(description="Judge as of this time instead of now")] = None,
) -> Any:
    """Any file gives a verdict and an answer; the document is not kept. A system that sends its token is noted as relying on a
    document that passes, and told when it falls.
    """
    verifier = request.app.state.verifier
    if file is not None:
        return JSONResponse(
            verifier.verify(file.file.read(), name=file.filename or "document", matter=matter, at=at, actor=actor)
        )
    if code:
        return JSONResponse(verifier.verify_code(code.strip(), matter=matter, at=at))
    raise BadInput("Send a document as the multipart field “file”.", "请以 multipart 字段 file 提交文件。")
