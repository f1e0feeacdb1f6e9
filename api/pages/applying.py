"""A new application to seal: upload documents, look at their pages, put the seal in its place, hand in.

Everything works by forms: each button posts what was filled in, which is kept as a draft, and answers with the page as it is
then. ``static/place.js`` adds dragging, arrow keys and zoom, and exchanges only what changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData
from starlette.datastructures import UploadFile as Uploaded

from api import render, sheets
from api.auth import CurrentSession, node_of
from api.sessions import Session, demand
from api.texts import text
from ceremonies.plain import plain
from crypto.errors import BadInput, Unauthenticated, XinyinError
from policies.limits import DOCUMENT_BYTES
from seals.inspection import Finding, Inspection
from seals.placement import KeywordPlacement, Placement, StraddlePlacement
from seals.uploads import MAX_DOCUMENTS, Upload, Uploads
from seals.workflow.drafts import NewDocument

router = APIRouter(include_in_schema=False)

EDGES = ("right", "left", "top", "bottom")
COMMON = ("title", "matter", "seal", "number", "copies", "applicant", "contact", "algorithm")
OF_A_DOCUMENT = ("how", "page", "x", "y", "keyword", "edge", "auto")
_LONGEST = 400


def signed_in(session: CurrentSession) -> Session:
    """:raises Unauthenticated: nobody is signed in; a page then leads to the sign-in form"""
    if session is None:
        raise Unauthenticated("Sign in first.", "请先登录。")
    return session


async def posted(request: Request, session: Annotated[Session, Depends(signed_in)]) -> FormData:
    """The form of a request that changes something. :raises CsrfRefused: without this session's token"""
    form = await request.form(max_files=MAX_DOCUMENTS, max_fields=400, max_part_size=1 << 16)
    demand(session.csrf, str(form.get("csrf", "")))
    return form


SignedIn = Annotated[Session, Depends(signed_in)]
Posted = Annotated[FormData, Depends(posted)]


def uploads_of(request: Request) -> Uploads:
    """The drafts of this application."""
    uploads: Uploads = request.app.state.uploads
    return uploads


# -- upload ------------------------------------------------------------------------------------------------------------


@router.get("/desk/new")
def start(request: Request, session: SignedIn, replaces: str = "") -> Response:
    """The form to upload documents, and the drafts that wait.

    :param replaces: the impression that the newly sealed document will take the place of
    """
    return _start(request, session, replaces=replaces[:64])


@router.post("/desk/new")
def upload(request: Request, session: SignedIn, form: Posted) -> Response:
    """Keep the files as a draft (or add them to ``draft``), and go on to place the seal."""
    uploads, draft = uploads_of(request), None
    try:
        account = session.account
        node_of(request).authorise(account, "application.submit", {"department": account.department or ""})
        name = str(form.get("draft", ""))
        draft = uploads.get(session.account.id, name) if name else None
        files = [(one.filename, one.file.read()) for one in form.getlist("file") if isinstance(one, Uploaded) and one.filename]
        if not files:
            raise BadInput("Choose a PDF first.", "请先选择 PDF 文件。")
        kept = uploads.add(draft, files) if draft else uploads.create(session.account.id, files, values=_begun(form))
        _refuse_what_cannot_be_sealed(request, kept, draft)
    except XinyinError as exc:
        if draft is not None:
            return _placing(request, session, uploads.get(session.account.id, draft.id), exc.status, problem=exc.to_dict())
        return _start(request, session, exc.status, problem=exc.to_dict())
    return RedirectResponse(f"/desk/new/{kept.id}", 303)


def _begun(form: FormData) -> dict[str, str]:
    replaces = str(form.get("replaces", ""))[:64]
    return {"replaces": replaces} if replaces else {}


def _refuse_what_cannot_be_sealed(request: Request, kept: Upload, before: Upload | None) -> None:
    """A file that cannot be shown is not kept. :raises XinyinError: which one it is, and why"""
    uploads, inspector = uploads_of(request), sheets.inspector_of(request)
    for n, document in enumerate(kept.documents, 1):
        try:
            inspector.inspect(document.sha256, lambda n=n: uploads.data(kept, n))  # type: ignore[misc]
        except XinyinError as exc:
            if before is None:
                uploads.discard(kept)
            else:
                uploads.save(before)
            exc.message = f"{document.name}: {exc.message}"
            exc.message_zh = f"{document.name}：{exc.message_zh}"
            raise


def _start(request: Request, session: Session, status: int = 200, **values: Any) -> Response:
    values.setdefault("replaces", "")
    return render.page(
        request,
        "new.html",
        status,
        here="desk",
        drafts=uploads_of(request).list(session.account.id),
        has_seals=bool(_seals(request, session)),
        limit_text=render.size_text(DOCUMENT_BYTES),
        most=MAX_DOCUMENTS,
        **values,
    )


# -- place -------------------------------------------------------------------------------------------------------------


@router.get("/desk/new/{draft}")
def place(request: Request, session: SignedIn, draft: str) -> Response:
    """The draft as it was left."""
    return _placing(request, session, uploads_of(request).get(session.account.id, draft))


@router.post("/desk/new/{draft}")
def change(request: Request, session: SignedIn, form: Posted, draft: str) -> Response:
    """Keep what was filled in and do what the button says: show a page, put the seal there, remove, hand in, give up."""
    uploads = uploads_of(request)
    found = uploads.get(session.account.id, draft)
    do = str(form.get("do", ""))
    if do == "discard":
        uploads.discard(found)
        return RedirectResponse("/desk", 303)
    found = uploads.save(replace(found, values=_filled_in(found, form)))
    try:
        if do.startswith("remove-"):
            found = uploads.remove(found, int(do.removeprefix("remove-")))
        elif do in ("here", "expected"):
            found = _moved(request, session, found, do)
        elif do == "submit":
            return RedirectResponse(f"/desk/{_handed_in(request, session, found)}", 303)
    except XinyinError as exc:
        return _placing(request, session, found, exc.status, problem=exc.to_dict())
    except ValueError:
        pass  # a number that no button of ours carries
    return _placing(request, session, found)


@router.get("/desk/new/{draft}/{n}/{page}.png")
def picture(request: Request, session: SignedIn, draft: str, n: int, page: int, size: str = "page") -> Response:
    """A page of a document of the draft."""
    uploads = uploads_of(request)
    found = uploads.get(session.account.id, draft)
    sha256 = uploads.document(found, n).sha256
    return sheets.picture(sheets.inspector_of(request).draw(sha256, lambda: uploads.data(found, n), page, size))


def _filled_in(upload: Upload, form: FormData) -> dict[str, str]:
    """The draft's fields with what was posted; fields that no document of it has are not kept."""
    values = dict(upload.values)
    names = [*COMMON, *(f"{name}-{n}" for n in range(1, len(upload.documents) + 1) for name in OF_A_DOCUMENT)]
    for name in names:
        if isinstance(given := form.get(name), str):
            values[name] = given.strip()[:_LONGEST]
    values["countersigners"] = " ".join(str(one) for one in form.getlist("countersigners"))[:_LONGEST]
    shown = form.get("show") or form.get("shown")
    if isinstance(shown, str):
        values["shown"] = shown[:20]
    if isinstance(jump := form.get("jump"), str) and jump.strip().isdigit() and form.get("do") == "jump":
        values["shown"] = f"{values.get('shown', '1-1').split('-')[0]}-{jump.strip()[:6]}"
    return values


@dataclass
class Placed:
    """A document of a draft with its fields as they stand, and where that puts the seal.

    :ivar where: None while the fields make no sense or the text is nowhere; ``problem`` then says why
    """

    n: int
    name: str
    sha256: str
    inspection: Inspection
    how: str
    page: int
    x: float
    y: float
    keyword: str
    edge: str
    auto: str
    where: Placement | StraddlePlacement | None
    problem: XinyinError | None
    findings: list[Finding]


def _placed(request: Request, upload: Upload, n: int, seal: dict[str, Any] | None) -> Placed:
    uploads, inspector = uploads_of(request), sheets.inspector_of(request)
    document, values = upload.documents[n - 1], upload.values
    load = lambda: uploads.data(upload, n)  # noqa: E731 - asked only where the bytes are needed
    inspection = inspector.inspect(document.sha256, load)
    page, x, y, auto = _point(values, n, inspection, seal)
    how = values.get(f"how-{n}", "point")
    keyword, edge = values.get(f"keyword-{n}", ""), values.get(f"edge-{n}", "right")
    where: Placement | StraddlePlacement | None = None
    problem = None
    try:
        if how == "straddle":
            where = _straddled(edge, inspection)
        elif how == "keyword":
            where = inspector.locate(document.sha256, load, KeywordPlacement(keyword))
        else:
            how, where = "point", Placement(page, x, y)
            inspection.page(page)
    except XinyinError as exc:
        problem, where = exc, None
    findings = list(inspection.findings)
    if seal is not None:
        findings += inspection.about_seal(seal["owner_name"], where if isinstance(where, Placement) else None)
    return Placed(
        n, document.name, document.sha256, inspection, how, page, x, y, keyword, edge, auto, where, problem, findings
    )  # fmt: skip


def _straddled(edge: str, inspection: Inspection) -> StraddlePlacement:
    from seals.placement import StraddleImpossible

    if inspection.count < 2:
        raise StraddleImpossible(
            "A seal across pages needs at least 2 pages; this document has 1.", "骑缝章至少需要 2 页；该文件只有 1 页。"
        )
    return StraddlePlacement.at(edge)


def _point(
    values: dict[str, str], n: int, inspection: Inspection, seal: dict[str, Any] | None
) -> tuple[int, float, float, str]:
    """Page and millimetres as filled in; where nobody moved the seal from its expected place, that place for this seal."""
    given = (values.get(f"page-{n}", ""), values.get(f"x-{n}", ""), values.get(f"y-{n}", ""))
    size = _size(seal)
    if not any(given) or "/".join(given) == values.get(f"auto-{n}"):
        expected = inspection.default_placement(seal["owner_name"] if seal else "", *size)
        page, x, y = expected.page, expected.x_mm, expected.y_mm
        return page, x, y, f"{page}/{x:g}/{y:g}"
    try:
        page, x, y = int(given[0]), float(given[1]), float(given[2])
        inspection.page(page)
        return page, *_limited(x, y), ""
    except (ValueError, XinyinError):
        expected = inspection.default_placement(seal["owner_name"] if seal else "", *size)
        return expected.page, expected.x_mm, expected.y_mm, f"{expected.page}/{expected.x_mm:g}/{expected.y_mm:g}"


def _limited(x: float, y: float) -> tuple[float, float]:
    return round(min(max(x, 0.0), 99_999.0), 1), round(min(max(y, 0.0), 99_999.0), 1)


def _size(seal: dict[str, Any] | None) -> tuple[float, float]:
    return (seal["picture"]["width_mm"], seal["picture"]["height_mm"]) if seal else (42.0, 42.0)


def _moved(request: Request, session: Session, upload: Upload, do: str) -> Upload:
    """The seal put on the page that is looked at, or back over the signature line."""
    n, page = _shown(upload)
    values = dict(upload.values)
    for name in ("page", "x", "y", "auto"):
        kept = values.pop(f"{name}-{n}", "")
        if do == "here" and name != "auto":
            values[f"{name}-{n}"] = str(page) if name == "page" else kept
    values[f"how-{n}"] = "point"
    if do == "expected":
        placed = _placed(request, replace(upload, values=values), n, _chosen_seal(request, session, upload))
        values["shown"] = f"{n}-{placed.page}"
    return uploads_of(request).save(replace(upload, values=values))


def _shown(upload: Upload) -> tuple[int, int]:
    """Document and page that are looked at."""
    n, _, page = upload.values.get("shown", "").partition("-")
    if n.isdigit() and page.isdigit() and 1 <= int(n) <= len(upload.documents):
        return int(n), max(1, int(page))
    return 1, 0


def _placing(request: Request, session: Session, upload: Upload, status: int = 200, **values: Any) -> Response:
    """The page with pictures, fields and findings."""
    seals = _seals(request, session)
    seal = _chosen_seal(request, session, upload)
    documents = [_placed(request, upload, n, seal) for n in range(1, len(upload.documents) + 1)]
    n, page = _shown(upload)
    looked_at = documents[n - 1]
    if not 1 <= page <= len(looked_at.inspection.pages):
        page = looked_at.where.page if isinstance(looked_at.where, Placement) else 1
    facts = looked_at.inspection.page(min(page, len(looked_at.inspection.pages)))
    shown_stamps = sheets.stamps(looked_at.inspection, facts, looked_at.where, seal) if looked_at.where and seal else []
    applications, lang = node_of(request).seals.applications, render.language(request)
    matter = applications.matters.of(upload.values.get("matter") or "default")
    return render.page(
        request,
        "placing.html",
        status,
        here="desk",
        upload=upload,
        documents=documents,
        doc=looked_at,
        paper=facts,
        stamps=shown_stamps,
        marks=sheets.marks(looked_at.findings, facts.number),
        thumbs=sheets.thumbs,
        seal_options=[(one["id"], seal_label(one)) for one in seals],
        seal=seal,
        algorithms=_algorithms(request, session, seal),
        matter_options=[(one.code, one.zh if lang == "zh" else one.en) for one in applications.matters.all()],
        matter=matter,
        steps_line=" → ".join(text(lang, f"act_{step}") for step in ("handle", *matter.steps)),
        edges=EDGES,
        departments=_others(request, seal) if matter.countersigners is None else [],
        stops=[f for d in documents for f in d.findings if f.level == "stop"],
        limit_text=render.size_text(DOCUMENT_BYTES),
        **values,
    )


def seal_label(seal: dict[str, Any]) -> str:
    """How people tell seals apart: owner, and what the seal is for where it says so."""
    return f"{seal['name']}（{seal['label']}）" if seal["label"] else str(seal["name"])


def _algorithms(request: Request, session: Session, seal: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The forms of signature that the seal can give, in words."""
    lang = render.language(request)
    suites = node_of(request).seals.show(session.account, seal["id"])["suites"] if seal else []
    found = [("", text(lang, "algorithm_default"))]
    return found + [(one, text(lang, f"algorithm_{one}")) for one in ("sm2", "p256") if one in suites]


def _seals(request: Request, session: Session) -> list[dict[str, Any]]:
    found = plain(node_of(request).seals.list(session.account, limit=1000, cursor=None).items)
    return [one for one in found if one["status"] == "in-force"]


def _chosen_seal(request: Request, session: Session, upload: Upload) -> dict[str, Any] | None:
    """The seal that the draft names; else the one whose owner signed the document, else the first."""
    seals = _seals(request, session)
    named = next((one for one in seals if one["id"] == upload.values.get("seal")), None)
    if named is not None or not seals:
        return named
    uploads, inspector = uploads_of(request), sheets.inspector_of(request)
    organs = [p.name for p in inspector.inspect(upload.documents[0].sha256, lambda: uploads.data(upload, 1)).places]
    return next((one for one in seals if one["owner_name"] in organs), seals[0])


def _others(request: Request, seal: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    """Departments that may countersign: every other one."""
    own = seal["owner_uscc"] if seal else ""
    return [(d.uscc or d.id, d.name, "") for d in node_of(request).accounts.departments() if d.uscc != own]


# -- hand in -----------------------------------------------------------------------------------------------------------


def _handed_in(request: Request, session: Session, upload: Upload) -> str:
    """The application made of the draft; its identifier. :raises XinyinError: what is missing, or what the rules say"""
    node, uploads, values = node_of(request), uploads_of(request), upload.values
    seal = _chosen_seal(request, session, upload)
    if seal is None:
        raise BadInput(
            "There is no seal in force that you may use; ask the seal keeper.", "没有您可以使用的印章；请联系印章管理员。"
        )
    documents = []
    for n in range(1, len(upload.documents) + 1):
        placed = _placed(request, upload, n, seal)
        if placed.where is None:
            raise placed.problem or BadInput("Say where the seal goes.", "请指定盖章位置。")
        stop = next((f for f in placed.findings if f.level == "stop"), None)
        if stop is not None:
            raise BadInput(f"{placed.name}: {stop.message}", f"{placed.name}：{stop.message_zh}")
        suite = values.get("algorithm") or None
        documents.append(NewDocument(placed.name, uploads.data(upload, n), placed.where, None, suite, "LTA"))
    changes: dict[str, Any] = {
        "matter": values.get("matter") or "default",
        "seal_id": seal["id"],
        "documents": documents,
        "number": values.get("number") or None,
        "copies": _copies(values.get("copies") or "1"),
        "title": upload.title,
        "countersigners": tuple(values.get("countersigners", "").split()),
        "replaces": values.get("replaces") or None,
    }
    applicant = {k: values[n] for k, n in (("name", "applicant"), ("contact", "contact")) if values.get(n)} or None
    applications = node.seals.applications
    if upload.amends:
        made = applications.amend(session.account, upload.amends, applicant=applicant, **changes)
    else:
        made = applications.submit(
            session.account,
            purpose="use-seal",
            department=seal["owner_uscc"],
            applicant=applicant,
            idempotency_key=upload.id,
            **changes,
        )
    uploads.discard(upload)
    return str(made["id"])


def _copies(text: str) -> int:
    if not text.isdigit() or len(text) > 6:
        raise BadInput("The number of copies is a number.", "份数须为数字。")
    return int(text)


# -- the seal's picture --------------------------------------------------------------------------------------------------


@router.get("/desk/seals/{seal_id}.png")
def seal_picture(request: Request, session: SignedIn, seal_id: str) -> Response:
    """A seal's picture, for those who may see the seal."""
    seals = node_of(request).seals
    seals.show(session.account, seal_id)
    return sheets.picture(seals.picture(seal_id).png)
