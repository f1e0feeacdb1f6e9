"""An application as it is handed in over HTTP: JSON, or a form with files; one operation takes both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from crypto.errors import BadInput
from seals.placement import AnyPlacement
from seals.workflow.drafts import NewDocument, place_from_json

MAX_FILES = 20


class _Members(BaseModel):
    model_config = ConfigDict(extra="forbid")

    matter: str = Field("default", max_length=64)
    seal: str | None = Field(None, max_length=100, description="ID of the seal to be used")
    document_sha256: str | None = Field(None, max_length=64, description="Of a document that is kept elsewhere")
    title: str = Field("", max_length=300)
    number: str | None = Field(None, max_length=100, description="文号")
    copies: int = Field(1, ge=1, le=1_000_000, description="份数")
    facts: dict[str, Any] = Field(default_factory=dict, description="For a seal: owner_uscc, name, kind")
    applicant: dict[str, str] | None = Field(None, description="Who outside asked for it: name, contact")
    countersigners: list[str] = Field(default_factory=list, max_length=20, description="Departments, where the matter asks")
    replaces: str | None = Field(None, max_length=64, description="Impression that the newly sealed document replaces")


class ApplicationSubmit(_Members):
    """An application to put to a department."""

    purpose: str = Field(description="make-seal, use-seal or issue-licence", max_length=16)
    department: str = Field(max_length=64, description="Unified social credit code of the department that decides")


class ApplicationAmend(_Members):
    """What changes of an application; members that are not named stay."""

    note: str | None = Field(None, max_length=2000)


@dataclass(frozen=True)
class HandedIn:
    """Members for the service, and files that are read only when the rules have let the caller in."""

    members: dict[str, Any]
    files: list[UploadFile] = field(default_factory=list)
    form: Mapping[str, Any] = field(default_factory=dict)

    def documents(self) -> list[NewDocument]:
        """The files with their places.

        :raises BadInput: places that are none, or another number of them than of files
        """
        places = self._places()
        forms = {name: str(self.form[name]) for name in ("format", "suite", "level") if self.form.get(name)}
        return [
            NewDocument(file.filename or "document.pdf", file.file.read(), place, **forms)
            for file, place in zip(self.files, places, strict=True)
        ]

    def _places(self) -> list[AnyPlacement | None]:
        if "places" in self.form:
            found = _json("places", str(self.form["places"]), list)
            if len(found) != len(self.files) or not all(one is None or isinstance(one, dict) for one in found):
                raise BadInput("places has one entry a file, in their order.", "places 须与文件一一对应。")
            return [None if one is None else place_from_json(one) for one in found]
        one = {name: self.form[name] for name in ("page", "x_mm", "y_mm", "keyword", "straddle") if self.form.get(name)}
        return [place_from_json(one) if one else None for _ in self.files]


async def submitted(request: Request) -> HandedIn:
    """The body of a new application."""
    return await _read(request, ApplicationSubmit)


async def amended(request: Request) -> HandedIn:
    """The body of an amendment: only what was named."""
    return await _read(request, ApplicationAmend)


async def _read(request: Request, model: type[_Members]) -> HandedIn:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data" or kind == "application/x-www-form-urlencoded":
            form = await request.form(max_files=MAX_FILES, max_fields=100)
            files = [one for one in form.getlist("file") if isinstance(one, UploadFile)]
            found = model.model_validate(_fields(form))
            return HandedIn(_members(found), files, {k: v for k, v in form.items() if isinstance(v, str)})
        if kind not in ("application/json", ""):
            raise HTTPException(415)
        found = model.model_validate(_json("body", (await request.body()).decode("utf-8"), dict))
    except ValidationError as exc:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in exc.errors(include_url=False)]) from exc
    except UnicodeDecodeError as exc:
        raise HTTPException(400) from exc
    return HandedIn(_members(found))


def _members(found: _Members) -> dict[str, Any]:
    members = found.model_dump(exclude_unset=isinstance(found, ApplicationAmend))
    if "seal" in members:
        members["seal_id"] = members.pop("seal")
    return members


def _fields(form: FormData) -> dict[str, Any]:
    """A form's fields as the JSON body would have them; those about the seal's place are left to :class:`HandedIn`."""
    names = {*ApplicationSubmit.model_fields, "note"} - {"facts", "applicant", "countersigners"}
    found: dict[str, Any] = {name: form[name] for name in names if isinstance(form.get(name), str) and form[name] != ""}
    if form.get("facts"):
        found["facts"] = _json("facts", str(form["facts"]), dict)
    if form.get("applicant") or form.get("contact"):
        found["applicant"] = {"name": str(form.get("applicant", "")), "contact": str(form.get("contact", ""))}
    if form.getlist("countersigner"):
        found["countersigners"] = [str(one) for one in form.getlist("countersigner")]
    return found


def _json(name: str, text: str, kind: type) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise BadInput(f"{name} is not JSON; correct it.", f"{name} 不是有效的 JSON；请改正。") from exc
    if not isinstance(found, kind):
        raise BadInput(
            f"{name} is JSON of another kind; see /api/openapi.json.", f"{name} 的 JSON 类型不符；见 /api/openapi.json。"
        )
    return found


def _described(model: type[_Members], *, required: list[str]) -> dict[str, Any]:
    """Both forms of the body for the OpenAPI document."""
    schema = model.model_json_schema()
    text = {"type": "string"}
    simple = {name: one for name, one in schema["properties"].items() if name not in ("facts", "applicant", "countersigners")}
    fields = simple | {
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}, "description": "PDF documents to be sealed"},
        "page": {"type": "integer", "description": "Page of the seal's centre, from 1"},
        "x_mm": {"type": "number", "description": "From the left edge of the displayed page"},
        "y_mm": {"type": "number", "description": "From the top edge of the displayed page"},
        "keyword": {**text, "description": "Seal over this text; without any place the name of the seal's owner"},
        "straddle": {**text, "enum": ["right", "left", "top", "bottom"]},
        "places": {**text, "description": "JSON: one place a file, where they differ"},
        "format": {**text, "enum": ["pades", "gm", "gm35275"]},
        "suite": {**text, "enum": ["rsa", "p256", "sm2"]},
        "level": {**text, "enum": ["B", "T", "LT", "LTA"]},
        "facts": {**text, "description": "JSON object"},
        "applicant": text,
        "contact": text,
        "countersigner": {"type": "array", "items": text},
    }
    form = {"type": "object", "properties": fields, "required": required}
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


SUBMITTING = _described(ApplicationSubmit, required=["purpose", "department"])
AMENDING = _described(ApplicationAmend, required=[])
