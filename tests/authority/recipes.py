"""How each address is asked so that only the caller's authority decides: objects that are there, bodies that fit.

An address without a body needs nothing here: the names in its path are looked up in :data:`NAMES`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

from api.limits import RateLimit
from api.sessions import FORM_COOKIE
from store.db import utc_now
from tests.authority.world import APPROVAL, LICENCE, Ask, Recipe, Route, World
from tests.soft_phone import identity_number

NAMES: dict[str, Callable[[World], str]] = {
    "seal_id": lambda w: w.seal,
    "impression_id": lambda w: w.kept_impression,
    "application_id": lambda w: w.kept_application,
    "licence_id": lambda w: w.licence,
    "leaf_id": lambda w: w.leaf,
    "subscription_id": lambda w: w.kept_subscription,
    "delivery_id": lambda w: w.delivery,
    "event_id": lambda w: w.event,
    "role_id": lambda w: w.role,
    "generation_id": lambda w: w.generation,
    "ceremony_id": lambda w: w.ceremony,
    "approval_id": lambda w: w.approval(),
    "key_id": lambda w: w.officer_key(),
    "account_id": lambda w: w.person,
    "department_id": lambda w: w.department,
    "delegation_id": lambda w: w.delegation(),
    "copy_id": lambda w: w.copy(),
    "grant_id": lambda w: w.grant(),
    "code": lambda w: w.track_code,
    "enquiry_id": lambda w: w.enquiry(),
    "receipt_id": lambda w: w.receipt,
    "provisional_id": lambda w: w.provisional(),
    "slip": lambda w: w.slip,
    "lang": lambda w: "en",
    "how": lambda w: "on",
    "ca": lambda w: w.node.ca.authorities()[0].name,
    "encoded": lambda w: "MEUwQzBBMD8wPTAJBgUrDgMCGgUABBR",
    "name": lambda w: "nothing",
    "annotated_id": lambda w: w.annotated["id"],
    "visit_id": lambda w: w.visit(),
    "list_id": lambda w: w.node.status_lists.lists()[0].id if w.licence else "",
}
"""What stands for a name in a path."""

PDF = {"file": ("approval.pdf", APPROVAL, "application/pdf")}
PLACE = {"page": "2", "x_mm": "137", "y_mm": "175"}
REASON = {"reason": "因故"}


def _seal(**body: object) -> Recipe:
    return lambda w: Ask({"seal_id": w.doomed_seal}, json=body)


def _licence(**body: object) -> Recipe:
    return lambda w: Ask({"licence_id": w.licence}, json=body)


def _copy() -> dict[str, str]:
    return {"purpose": "归档", "until": (utc_now() + timedelta(days=9)).date().isoformat(), "matter": "tax-registration"}


def _counter(w: World, **form: str) -> Ask:
    return Ask({"visit_id": w.visit()}, data={"matter": "tax-registration", **form})


def _withdrawal(w: World, where: str) -> Ask:
    visit, copy = w.copied()
    what = {"what": copy}
    return Ask({"visit_id": visit}, params=what) if where == "params" else Ask({"visit_id": visit}, data=what)


def _new_application(w: World) -> Ask:
    return Ask(json={"purpose": "use-seal", "department": w.uscc, "matter": "default", "seal": w.seal})


def _new_seal(w: World) -> Ask:
    name = f"云江市行政审批局{secrets.randbelow(10**6)}专用章"
    return Ask(
        json={"owner_name": "云江市行政审批局", "owner_uscc": w.uscc, "name": name, "kind": "special", "suites": ["p256"]}
    )


def _sign_in(w: World) -> Ask:
    w.app.state.signin_limit = RateLimit(per_second=1, burst=10)
    form = {"name": f"nobody-{secrets.token_hex(4)}", "password": "wrong wrong wrong", "csrf": "f" * 32}
    return Ask(data=form, cookies={FORM_COOKIE: "f" * 32})


def _sign_in_elsewhere(w: World) -> Ask:
    w.app.state.signin_limit = RateLimit(per_second=1, burst=10)
    return Ask()


def _authorization(w: World) -> dict[str, str]:
    """What a citizen's browser brings to the identity provider."""
    origin = w.node.config.base_url
    return dict(parse_qsl(urlsplit(w.app.state.identity.client(origin).begin(origin)[0]).query))


def _lent(w: World) -> dict[str, object]:
    until = (utc_now() + timedelta(days=20)).isoformat()
    return {"from_account": "signer", "to_account": w.person, "roles": ["signer_off"], "until": until}


def _free(w: World) -> str:
    """The holder's licence, on none of the holder's phones."""
    w.node.copies.remove(w.citizen("holder"), w.new_copy())
    w.unused.clear()  # it was the only one
    return w.own_licence


def _granted(w: World) -> dict[str, object]:
    until = (utc_now() + timedelta(days=20)).isoformat()
    someone = {"name": "样本 某某", "id_number": identity_number(903)}
    return {"licence": w.own_licence, "kind": "staff", "matters": ["open-bank-account"], "until": until, **someone}


def _checked(w: World) -> Ask:
    w.app.state.log_checks.start()
    return Ask()


RECIPES: dict[str, Recipe] = {
    # seals
    "POST /api/v1/seals": _new_seal,
    "POST /api/v1/seals/{seal_id}/suspend": _seal(**REASON),
    "POST /api/v1/seals/{seal_id}/resume": _seal(**REASON),
    "POST /api/v1/seals/{seal_id}/revoke": _seal(**REASON),
    "POST /api/v1/impressions": lambda w: Ask(files=PDF, data={"seal": w.seal, **PLACE}),
    "POST /api/v1/impressions/{impression_id}/void": lambda w: Ask({"impression_id": w.impression()}, json=REASON),
    # applications
    "POST /api/v1/applications": _new_application,
    "POST /api/v1/applications/{application_id}/sign-off": lambda w: Ask({"application_id": w.application()}),
    "POST /api/v1/applications/{application_id}/refuse": lambda w: Ask({"application_id": w.application()}, json=REASON),
    "POST /api/v1/applications/{application_id}/amend": lambda w: Ask({"application_id": w.application()}, json={"copies": 2}),
    "POST /api/v1/applications/{application_id}/review": lambda w: Ask(
        {"application_id": w.application(matter="approval-reply")}
    ),
    "POST /api/v1/applications/{application_id}/countersign": lambda w: Ask(
        {"application_id": w.application(matter="joint-notice", upto="reviewed")}
    ),
    "POST /api/v1/applications/{application_id}/return": lambda w: Ask({"application_id": w.application()}, json=REASON),
    "POST /api/v1/applications/{application_id}/withdraw": lambda w: Ask({"application_id": w.application()}, json=REASON),
    "POST /api/v1/applications/{application_id}/seal": lambda w: Ask({"application_id": w.application(upto="signed-off")}),
    "POST /api/v1/applications/{application_id}/deliver": lambda w: Ask(
        {"application_id": w.sealed_application}, data={"recipient": "样本", "method": "in-person"}
    ),
    "GET /api/v1/applications/{application_id}/documents/{n}": lambda w: Ask({"application_id": w.kept_application, "n": "1"}),
    # the desk
    "POST /desk/new": lambda w: Ask(files=PDF),
    "GET /desk/new/{draft}": lambda w: Ask({"draft": w.draft()}),
    "POST /desk/new/{draft}": lambda w: Ask({"draft": w.draft()}, data={"do": "submit", "seal": w.seal}),
    "GET /desk/new/{draft}/{n}/{page}.png": lambda w: Ask({"draft": w.draft(), "n": "1", "page": "1"}),
    "POST /desk/{application_id}": lambda w: Ask({"application_id": w.application()}, data={"do": "sign-off"}),
    "POST /desk/{application_id}/amend": lambda w: Ask({"application_id": w.application()}),
    "GET /desk/{application_id}/void/{n}": lambda w: Ask({"application_id": w.sealed_application, "n": "1"}),
    "POST /desk/{application_id}/void/{n}": lambda w: Ask(
        {"application_id": w.application(upto="sealed"), "n": "1"}, data={"reason": "因故"}
    ),
    "GET /desk/{application_id}/{n}.pdf": lambda w: Ask({"application_id": w.kept_application, "n": "1"}),
    "GET /desk/{application_id}/{n}/{page}.png": lambda w: Ask({"application_id": w.kept_application, "n": "1", "page": "1"}),
    # keys
    "POST /api/v1/keys/ask": lambda w: Ask(json={"step": "stage", "target": w.role}),
    "POST /api/v1/keys/drills": lambda w: Ask(json={"suite": "p256"}),
    "POST /api/v1/keys/generations/{generation_id}/compromise": lambda w: Ask(
        {"generation_id": w.doomed_generation}, json={"reason": "演练"}
    ),
    "POST /api/v1/keys/generations/{generation_id}/{step}": lambda w: Ask(
        {"generation_id": w.generation, "step": "distribute"}, json={}
    ),
    "POST /api/v1/keys/{role_id}/stage": lambda w: Ask({"role_id": w.role}, json={}),
    "POST /officer/keys/{role_id}/ask": lambda w: Ask({"role_id": w.role}, data={"step": "stage", "target": w.role}),
    "POST /officer/keys/{role_id}/step": lambda w: Ask({"role_id": w.role}, data={"step": "stage", "target": w.role}),
    "POST /officer/drill": lambda w: Ask(data={"suite": "p256"}),
    "POST /officer/compromise/{generation_id}": lambda w: Ask({"generation_id": w.generation}, data={"reason": ""}),
    # approvals
    "POST /api/v1/approvals": lambda w: Ask(json={"action": "key.stage", "target": w.role}),
    "POST /api/v1/approvals/{approval_id}/signatures": lambda w: Ask({"approval_id": w.approval()}, json={"signature": "AAAA"}),
    "POST /api/v1/approvals/{approval_id}/refuse": lambda w: Ask({"approval_id": w.approval()}, json=REASON),
    "POST /api/v1/officer-keys": lambda w: Ask(json={"passkey": w.own_credential()}),
    "POST /api/v1/officer-keys/challenge": lambda w: Ask(json={"certificate": w.certificate}),
    "POST /api/v1/officer-keys/{key_id}/confirm": lambda w: Ask({"key_id": w.officer_key()}, json={}),
    "POST /officer/approvals/keys/certificate": lambda w: Ask(files={"file": ("c.pem", w.certificate.encode())}),
    "POST /officer/approvals/keys/passkey": lambda w: Ask(data={"credential": w.own_credential()}),
    "POST /officer/approvals/keys/proof": lambda w: Ask(data={"certificate": w.certificate}, files={"file": ("p", b"x")}),
    "GET /officer/approvals/keys/proof-{fingerprint}.json": lambda w: Ask(
        {"fingerprint": "0" * 64}, params={"certificate": w.certificate}
    ),
    "POST /officer/approvals/{approval_id}/passkey": lambda w: Ask({"approval_id": w.approval()}, json={}),
    "POST /officer/approvals/{approval_id}/certificate": lambda w: Ask(
        {"approval_id": w.approval()}, files={"file": ("s", b"x")}
    ),
    "POST /officer/approvals/{approval_id}/refuse": lambda w: Ask({"approval_id": w.approval()}, data=REASON),
    # people over HTTP
    "POST /api/v1/accounts": lambda w: Ask(json={"name": f"n{secrets.token_hex(4)}", "kind": "system"}),
    "PATCH /api/v1/accounts/{account_id}": lambda w: Ask({"account_id": w.person}, json={"display_name": "样本 某某"}),
    "POST /api/v1/accounts/{account_id}/hand-over": lambda w: Ask({"account_id": w.leaver()}, json={"to_account": w.person}),
    "POST /api/v1/delegations": lambda w: Ask(json=_lent(w)),
    "POST /api/v1/departments": lambda w: Ask(json={"name": f"第{secrets.token_hex(3)}科"}),
    "PATCH /api/v1/departments/{department_id}": lambda w: Ask({"department_id": w.department}, json={"name": "样本部门"}),
    # one's own account
    "POST /account/passkeys/{passkey_id}/remove": lambda w: Ask({"passkey_id": w.own_passkey()}),
    "POST /account/passkeys/{passkey_id}/rename": lambda w: Ask({"passkey_id": w.own_passkey()}, data={"name": "新名"}),
    "POST /account/sessions/{session_id}/end": lambda w: Ask({"session_id": w.own_session()}),
    "POST /account/passkeys": lambda w: Ask(json={"name": "x"}),
    "POST /account/delegations": lambda w: Ask(data={"to": w.person, "role": "handler"}),
    "POST /signin/passkey": lambda w: Ask(json={"ticket": "x", "credential": {}}),
    # administrators
    "POST /people/new": lambda w: Ask(data={"name": f"n{secrets.token_hex(4)}", "display_name": "样本", "role": "handler"}),
    "POST /people/departments": lambda w: Ask(data={"name": f"第{secrets.token_hex(3)}科"}),
    "POST /people/departments/{department_id}": lambda w: Ask({"department_id": w.department}, data={"name": "样本部门"}),
    "POST /people/requests/{identity_id}/bind": lambda w: Ask({"identity_id": w.identity()}, data={"account": w.person}),
    "POST /people/{account_id}/change": lambda w: Ask(
        {"account_id": w.person}, data={"display_name": "样本", "role": "handler"}
    ),
    "POST /people/{account_id}/delegations": lambda w: Ask({"account_id": w.person}, data={"to": "signer", "role": "handler"}),
    "POST /people/{account_id}/hand-over": lambda w: Ask({"account_id": w.leaver()}, data={"to": w.person}),
    "POST /people/{account_id}/identities/{identity_id}/unbind": lambda w: Ask(
        {"account_id": w.person, "identity_id": w.identity(w.person)}
    ),
    "POST /people/{account_id}/keys": lambda w: Ask({"account_id": w.person}, data={"name": "k", "key": "x"}),
    "POST /people/{account_id}/keys/{key_id}/revoke": lambda w: Ask({"account_id": w.person, "key_id": "clientkey_none"}),
    "POST /people/{account_id}/passkeys/{passkey_id}/remove": lambda w: Ask(
        {"account_id": w.person, "passkey_id": w.passkey("somebody")[0]}
    ),
    "POST /people/{account_id}/status": lambda w: Ask({"account_id": w.person}, data={"status": "active"}),
    "POST /people/{account_id}/tokens": lambda w: Ask({"account_id": w.person}, data={"name": "t", "days": "5"}),
    "POST /people/{account_id}/tokens/{token_id}/revoke": lambda w: Ask(
        {"account_id": w.person, "token_id": w.node.accounts.issue_token("somebody", "x")[0].id}
    ),
    # licences
    "POST /api/v1/licences": lambda w: Ask(json={"type": "business-licence", "data": LICENCE}) if w.licence else Ask(),
    "POST /api/v1/licences/{licence_id}/change": _licence(data=LICENCE),
    "POST /api/v1/licences/{licence_id}/suspend": _licence(basis="因故"),
    "POST /api/v1/licences/{licence_id}/resume": _licence(basis="因故"),
    "POST /api/v1/licences/{licence_id}/revoke": _licence(kind="撤销", basis="因故"),
    # licences in their holders' hands
    "POST /api/v1/wallet/challenges": lambda w: Ask(json={}),
    "POST /api/v1/wallet/copies": lambda w: Ask(json={"licence": _free(w), "device_name": "手机", "proof": w.proof()}),
    "POST /api/v1/wallet/grants": lambda w: Ask(json=_granted(w)),
    # notices
    "POST /api/v1/subscriptions": lambda w: Ask(json={"url": "https://hooks.example.cn/xinyin", "department": w.uscc}),
    "POST /api/v1/subscriptions/{subscription_id}/end": lambda w: Ask({"subscription_id": w.subscription()}),
    "POST /api/v1/subscriptions/{subscription_id}/test": lambda w: Ask({"subscription_id": w.kept_subscription}),
    "POST /api/v1/subscriptions/{subscription_id}/deliveries/{delivery_id}/retry": lambda w: Ask(
        {"subscription_id": w.kept_subscription, "delivery_id": w.delivery}
    ),
    # audit
    "GET /api/v1/audit/consistency": lambda w: Ask(params={"since": w.node.audit.notes(limit=1)[0]}),
    "GET /api/v1/audit/traces": lambda w: Ask(params={"id": w.kept_impression}),
    "POST /api/v1/audit/traces": lambda w: Ask(files=PDF),
    "POST /api/v1/audit/checks": lambda w: Ask(),
    "GET /api/v1/audit/checks": _checked,
    "GET /audit/check": _checked,
    "GET /audit/trace": lambda w: Ask(params={"id": w.kept_impression}),
    "POST /audit/trace": lambda w: Ask(files=PDF),
    "POST /audit/check": lambda w: Ask(),
    "POST /audit/consistency": lambda w: Ask(files={"file": ("old", w.node.audit.notes(limit=1)[0].encode())}),
    # open to all
    "POST /api/v1/trust-lists": lambda w: Ask(json={"list": w.foreign_list()[0], "pin": w.foreign_list()[1]}),
    "POST /api/v1/trust-lists/{region}/forget": lambda w: Ask({"region": w.trusted_region()}),
    "POST /api/v1/trust-lists/refresh": lambda w: Ask(),
    "GET /trust/regions/{region}": lambda w: Ask({"region": w.trusted_region()}),
    "GET /trust/regions/{region}/forget": lambda w: Ask({"region": w.trusted_region()}),
    "POST /trust": lambda w: Ask(files={"file": ("list.jws", w.foreign_list()[0].encode())}, data={"pin": w.foreign_list()[1]}),
    "POST /trust/regions/{region}/forget": lambda w: Ask({"region": w.trusted_region()}),
    "POST /api/v1/verifications": lambda w: Ask(files=PDF),
    "POST /api/v1/verifications/scan": lambda w: Ask(files={"frame": ("f.jpg", b"no picture")}),
    "POST /api/v1/receipts/check": lambda w: Ask(json={"jws": w.receipt_jws}),
    "POST /verify": lambda w: Ask(files=PDF),
    "POST /verify/scan": lambda w: Ask(files={"frame": ("f.jpg", b"no picture")}),
    "POST /v": lambda w: Ask(data={"code": "no code"}),
    "POST /ocsp": lambda w: Ask(content=b"\x30\x00", headers={"Content-Type": "application/ocsp-request"}),
    "POST /tsa": lambda w: Ask(content=b"\x30\x00", headers={"Content-Type": "application/timestamp-query"}),
    "POST /signin": _sign_in,
    "POST /signout": lambda w: Ask(),
    # the development identity provider
    "GET /identity/authorize": lambda w: Ask(params=_authorization(w)),
    "POST /identity/authorize": lambda w: Ask(
        data={**_authorization(w), "citizen": "owner", "csrf": "f" * 32}, cookies={FORM_COOKIE: "f" * 32}
    ),
    "POST /identity/token": lambda w: Ask(data={"grant_type": "authorization_code"}),
    "GET /phone/signin/start": _sign_in_elsewhere,
    "POST /phone/signout": lambda w: Ask(),
    # the phone's pages
    "GET /phone/download/{licence_id}": lambda w: Ask({"licence_id": w.own_licence}),
    "GET /phone/authorise/new": lambda w: Ask(params={"licence": w.own_licence}),
    "POST /phone/authorise/new": lambda w: Ask(data=_granted(w) | {"matter": "open-bank-account", "until": _copy()["until"]}),
    "GET /phone/print/{licence_id}": lambda w: Ask({"licence_id": w.own_licence}),
    "POST /phone/print/{licence_id}": lambda w: Ask({"licence_id": w.own_licence}, data=_copy() | {"once": "authority-print"}),
    "POST /phone/print/{licence_id}/{annotated_id}/withdraw": lambda w: Ask(
        {"licence_id": w.own_licence, "annotated_id": w.own_annotated}
    ),
    "POST /oauth/token": lambda w: Ask(data={"grant_type": "client_credentials"}),
    # between regions
    "POST /api/v1/enquiries": lambda w: Ask(json={"region": w.neighbour.region, "identifier": w.neighbour.licence}),
    "POST /api/v1/enquiries/{enquiry_id}/answer": lambda w: Ask({"enquiry_id": w.enquiry()}, json={}),
    "POST /enquiries": lambda w: Ask(data={"region": w.neighbour.region, "identifier": w.neighbour.licence}),
    "POST /enquiries/{enquiry_id}/answer": lambda w: Ask({"enquiry_id": w.enquiry()}, data={"do": "answer"}),
    "GET /enquiries/{enquiry_id}/letter.pdf": lambda w: Ask({"enquiry_id": w.answered_enquiry}),
    "GET /api/v1/enquiries/{enquiry_id}/letter": lambda w: Ask({"enquiry_id": w.answered_enquiry}),
    "POST /api/v1/peer-messages": lambda w: Ask(content=b"no message", headers={"Content-Type": "application/jose"}),
    # copies for one purpose, and the counter
    "POST /api/v1/licences/{licence_id}/copies": lambda w: Ask({"licence_id": w.licence}, json=_copy()),
    "GET /api/v1/check-codes/{code}": lambda w: Ask({"code": w.annotated["check_code"]}),
    "POST /check": lambda w: Ask(data={"code": w.annotated["check_code"]}),
    "POST /counter": lambda w: Ask(data={"card": w.card}),
    "POST /counter/{visit_id}/ask": lambda w: _counter(w, type="business-licence"),
    "POST /counter/{visit_id}/see": lambda w: _counter(w, licence=w.owned),
    "POST /counter/{visit_id}/use": lambda w: _counter(w, licence=w.owned),
    "GET /counter/{visit_id}/copy": lambda w: Ask({"visit_id": w.visit()}, params={"licence": w.owned}),
    "POST /counter/{visit_id}/copy": lambda w: _counter(w, licence=w.owned, **_copy()),
    "GET /counter/{visit_id}/copies/{annotated_id}": lambda w: Ask(
        dict(zip(("visit_id", "annotated_id"), w.copied(), strict=True))
    ),
    "GET /counter/{visit_id}/agent": lambda w: Ask({"visit_id": w.visit()}, params={"licence": w.owned}),
    "POST /counter/{visit_id}/agent": lambda w: _counter(w, licence=w.owned, card=w.other_card, until=_copy()["until"]),
    "GET /counter/{visit_id}/withdraw": lambda w: _withdrawal(w, "params"),
    "POST /counter/{visit_id}/withdraw": lambda w: _withdrawal(w, "data"),
    # receipts
    "POST /verify/{name}/receipt": lambda w: Ask({"name": w.kept_result()}),
    "POST /receipts/{receipt_id}/provisional": lambda w: Ask({"receipt_id": w.unused_receipt()}, data=w.going_on()),
    "POST /api/v1/receipts/{receipt_id}/provisional": lambda w: Ask({"receipt_id": w.unused_receipt()}, json=w.going_on()),
    "POST /provisionals/{provisional_id}": lambda w: Ask({"provisional_id": w.provisional()}, data={"do": "confirm"}),
    "POST /api/v1/provisionals/{provisional_id}/decide": lambda w: Ask(
        {"provisional_id": w.provisional()}, json={"confirm": True}
    ),
    "POST /api/v1/provisionals/{provisional_id}/fulfil": lambda w: Ask({"provisional_id": w.provisional(confirmed=True)}),
    # desk
    "POST /desk/seal": lambda w: Ask(files=PDF, data={"seal": w.seal, **PLACE, "suite": "p256"}),
}


def recipe_of(route: Route, world: World) -> Ask | None:
    """How to ask ``route``; None where nothing says how."""
    found = RECIPES.get(str(route))
    if found is not None:
        return found(world)
    names = [part.strip("{}").partition(":")[0] for part in _names(route.path)]
    if any(name not in NAMES for name in names):
        return None
    return Ask({name: NAMES[name](world) for name in names})


def _names(path: str) -> list[str]:
    return [piece.partition("}")[0] for piece in path.split("{")[1:]]
