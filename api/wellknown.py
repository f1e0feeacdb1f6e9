"""Addresses that other software knows: OCSP, CRLs, certificates, timestamps, the trust list, health and metrics."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from api import metrics
from api.auth import node_of
from api.schemas import CredentialIssuerOut, Health, KeySetOut
from crypto.errors import BadInput, NotFound, TooManyRequests, XinyinError
from formats.statuslist import MEDIA_TYPE_CWT, MEDIA_TYPE_JWT
from licences.statuslists import TTL
from records.secevent import public_jwk

router = APIRouter(tags=["well-known"])


class PastNotServed(XinyinError):
    """A status list of an earlier time was asked for (draft-ietf-oauth-status-list-21 §8.4: then 501)."""

    code = "past-not-served"
    status = 501


def _der(data: bytes, media_type: str, *, seconds: int) -> Response:
    return Response(data, media_type=media_type, headers={"Cache-Control": f"public, max-age={seconds}"})


@router.post("/ocsp", operation_id="ocsp_post", summary="OCSP (RFC 6960)", response_class=Response)
async def ocsp_post(request: Request) -> Response:
    """DER OCSPRequest in, pre-signed DER OCSPResponse out."""
    body = await request.body()
    return await run_in_threadpool(lambda: _der(node_of(request).ca.ocsp(body), "application/ocsp-response", seconds=60))


@router.get(
    "/ocsp/{encoded:path}", operation_id="ocsp_get", summary="OCSP by GET (RFC 6960 appendix A)", response_class=Response
)
def ocsp_get(request: Request, encoded: str) -> Response:
    """The request in URL-escaped base64 behind the slash."""
    try:
        body = base64.b64decode(unquote(encoded), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadInput("The OCSP request is not base64.", "OCSP 请求不是 base64。") from exc
    return _der(node_of(request).ca.ocsp(body), "application/ocsp-response", seconds=60)


@router.get("/crl/{ca}.crl", operation_id="crl", summary="A CA's revocation list", response_class=Response)
def crl(request: Request, ca: str) -> Response:
    """DER CertificateList."""
    return _der(node_of(request).ca.crl(ca), "application/pkix-crl", seconds=300)


@router.get("/ca/{ca}.crt", operation_id="ca_certificate", summary="A CA's certificate", response_class=Response)
def ca_certificate(request: Request, ca: str) -> Response:
    """DER certificate."""
    return _der(node_of(request).ca.authority_certificate(ca), "application/pkix-cert", seconds=3600)


@router.post("/tsa", operation_id="timestamp", summary="Timestamps (RFC 3161)", response_class=Response)
async def tsa(request: Request) -> Response:
    """DER TimeStampReq in, TimeStampResp out. SM3 imprints are answered by the SM2 unit, others by the RSA unit."""
    address = request.client.host if request.client else "?"
    if not request.app.state.tsa_limit.allow(address):
        raise TooManyRequests("Too many timestamps asked for; wait a second.", "时间戳请求过于频繁，请稍候。")
    body = await request.body()
    return await run_in_threadpool(
        lambda: Response(node_of(request).ca.timestamp(body), media_type="application/timestamp-reply")
    )


@router.get("/trust/list.jws", operation_id="trust_list", summary="This region's trust list", response_class=Response)
def trust_list(request: Request) -> Response:
    """Compact JWS; pinned by the SHA-256 of its key's SubjectPublicKeyInfo."""
    path = node_of(request).home / "trust" / "list.jws"
    if not path.is_file():
        raise NotFound("No trust list has been published yet.", "尚未发布信任列表。")
    return _der(path.read_bytes(), "application/jose", seconds=300)


@router.get(
    "/.well-known/jwks.json",
    operation_id="receipt_keys",
    response_model=KeySetOut,
    summary="Keys of notices to other systems (JWK set, RFC 7517)",
)
def receipt_keys(request: Request) -> Response:
    """Public halves of the receipt keys: that which signs, the next one, and those that signed before."""
    keys = [public_jwk(key) for key in node_of(request).receipt_keys()]
    return JSONResponse({"keys": keys}, media_type="application/jwk-set+json", headers={"Cache-Control": "public, max-age=300"})


@router.get(
    "/.well-known/jwt-vc-issuer",
    operation_id="credential_issuer",
    response_model=CredentialIssuerOut,
    summary="Who issues credentials on phones, and with which keys (SD-JWT VC, JWT VC issuer metadata)",
)
def credential_issuer(request: Request) -> Response:
    """`iss` of our SD-JWT VCs and the keys that sign them; `kid` is the SHA-256 of the key's SubjectPublicKeyInfo."""
    node = node_of(request)
    keys = [public_jwk(key) for key in node.credential_keys()]
    body = {"issuer": node.config.base_url, "jwks": {"keys": keys}}
    return JSONResponse(body, headers={"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"})


@router.get(
    "/status/seals.jws", operation_id="seal_status", summary="This region's seals and their state", response_class=Response
)
def seal_status(request: Request) -> Response:
    """Compact JWS by the key that the trust list names as `status-list`: as the register says at this moment."""
    return _der(node_of(request).seal_status.current().encode("ascii"), "application/jose", seconds=10)


@router.get(
    "/status/{list_id}",
    operation_id="status_list",
    summary="A Token Status List: the state of licences and credentials",
    response_class=Response,
    responses={404: {"description": "No such list"}, 501: {"description": "The past is not served"}},
)
def status_list(request: Request, list_id: str, time: int | None = None) -> Response:
    """JWT, or CWT for `Accept: application/statuslist+cwt` (draft-ietf-oauth-status-list-21 §8), signed by the key that the
    trust list names as `status-list`. It says what the register says at this moment.
    """
    if time is not None:
        raise PastNotServed(
            "Status lists are served as they are now; the register answers for the past.",
            "仅提供当前状态列表；历史状态请查询登记库。",
        )
    publisher, cwt = node_of(request).status_publisher, _prefers_cwt(request.headers.get("accept", ""))
    token = publisher.cwt(list_id) if cwt else publisher.jwt(list_id)
    return Response(
        token,
        media_type=MEDIA_TYPE_CWT if cwt else MEDIA_TYPE_JWT,
        headers={
            "Cache-Control": f"public, max-age={int(TTL.total_seconds())}",
            "Vary": "Accept",
            "Access-Control-Allow-Origin": "*",
        },
    )


def _prefers_cwt(accept: str) -> bool:
    """The CWT form is sent to those who name it and not the JWT form before it."""
    named = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if MEDIA_TYPE_CWT not in named:
        return False
    return MEDIA_TYPE_JWT not in named or named.index(MEDIA_TYPE_CWT) < named.index(MEDIA_TYPE_JWT)


@router.get("/healthz", operation_id="health", response_model=Health, summary="The process answers")
def healthz() -> Health:
    """Green as long as the process answers at all."""
    return Health(status="ok")


@router.get(
    "/readyz",
    operation_id="ready",
    response_model=Health,
    responses={503: {"model": Health}},
    summary="The node can do its work",
)
def readyz(request: Request) -> Response:
    """Red when trust anchors are empty or stale, the signer or the database does not answer, or the audit log falls behind."""
    checks = node_of(request).readiness()
    good = all(check["ok"] for check in checks)
    return JSONResponse({"status": "ok" if good else "failing", "checks": checks}, 200 if good else 503)


@router.get("/metrics", operation_id="metrics", summary="Prometheus metrics", response_class=Response)
def prometheus(request: Request) -> Response:
    """Text exposition format."""
    return Response(metrics.exposition(node_of(request)), media_type="text/plain; version=0.0.4; charset=utf-8")
