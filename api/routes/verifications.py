"""``/api/v1/verifications``: open to everyone, answers 200 for any verdict."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import JSONResponse

from api.auth import MaybeCaller
from api.routes.common import Moment, errors
from api.schemas import ScanOut, VerdictOut
from crypto.errors import BadInput, Unauthenticated

router = APIRouter(prefix="/api/v1", tags=["verifications"])

Matter = Annotated[str | None, Form(max_length=64, description="The matter for which the document is shown")]
Challenge = Annotated[
    str | None,
    Form(
        max_length=8, pattern=r"^[0-9]*$", description="Digits that the holder was asked to type; a shown code must carry them"
    ),
]


@router.post(
    "/verifications",
    operation_id="verify",
    response_model=VerdictOut,
    responses=errors(401, 403),
    summary="Verify a document, a picture or a code",
)
def verify(
    request: Request,
    actor: MaybeCaller,
    file: UploadFile | None = None,
    code: Annotated[
        str | None, Form(max_length=8192, description="The content of a printed or shown code, instead of a file")
    ] = None,
    matter: Matter = None,
    at: Annotated[Moment | None, Form(description="Judge as of this time instead of now")] = None,
    challenge: Challenge = None,
    receipt: Annotated[bool, Form(description="Sign a receipt for the file, too; for callers with an account")] = False,
) -> Any:
    """Any file gives a verdict and an answer; the document is not kept. A picture is judged by the licence code in it. A system
    that sends its token is noted as relying on a document that passes, and told when it falls.
    """
    verifier = request.app.state.verifier
    if receipt and actor is None:
        raise Unauthenticated("A receipt names who verified: send an API token.", "回执载明核验单位，请携带接口令牌。")
    if file is not None:
        name = file.filename or "document"
        verdict = verifier.verify(file.file.read(), name=name, matter=matter, at=at, actor=actor, challenge=challenge or None)
    elif code:
        verdict = verifier.verify_code(code.strip(), matter=matter, at=at, challenge=challenge or None)
    else:
        raise BadInput("Send a document as the multipart field “file”.", "请以 multipart 字段 file 提交文件。")
    if receipt and actor is not None:
        verdict["receipt"] = verifier.receipt(actor, verdict, at=at)
    elif at is None:
        verifier.note(actor, verdict)
    return JSONResponse(verdict)


@router.post(
    "/verifications/scan",
    operation_id="verify_frame",
    response_model=ScanOut,
    summary="Look for a licence code in a camera frame",
)
def scan(request: Request, frame: UploadFile, matter: Matter = None, challenge: Challenge = None) -> Any:
    """One frame of a camera (JPEG, at most 1 MiB). Where it shows a licence code the verdict comes with it, else ``found`` is
    false and the next frame may be sent: one look is taken at each.
    """
    verifier = request.app.state.verifier
    verdict = verifier.verify(frame.file.read(), name="camera", matter=matter, challenge=challenge or None, glance=True)
    found = "read_from" in verdict
    return JSONResponse({"found": found, "verdict": verdict if found else None})
