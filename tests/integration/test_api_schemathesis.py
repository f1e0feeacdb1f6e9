"""Requests made from the OpenAPI document by schemathesis, odd ones too: no operation answers with a server error."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from api.app import create_app
from api.sessions import CITIZEN_COOKIE, CitizenBrowser
from ceremonies.node import Node
from people.citizens import Statement
from tests.node_home import founded_home
from tests.soft_phone import identity_number

pytestmark = pytest.mark.timeout(900)

EXAMPLES = 5
BINARY = {"/ocsp", "/tsa", "/api/v1/peer-messages"}
"""They take DER or a signature, which no generator makes from a schema; tests of their own try them."""
_turn = itertools.count()
_tokens: list[str] = []
_citizen: list[CitizenBrowser] = []


@pytest.fixture(scope="module")
def api_schema() -> Iterator[Any]:
    """The document as the application gives it. The callers: somebody with every role of a department, three officials, and for
    what is theirs a citizen.
    """
    node = Node.open(founded_home("schemathesis"))
    node.keys.custodian.status()
    department = node.accounts.get("keeper").department
    roles = ["handler", "reviewer", "signer_off", "seal_keeper", "licensing_clerk"]
    node.accounts.create("everything", secrets.token_hex(12), roles=roles, department=department)
    _tokens[:] = [node.accounts.issue_token(name, "t")[1] for name in ("everything", "officer", "auditor", "admin")]
    citizen = node.citizens.signed_in(Statement("https://id.example.cn", "schemathesis", "样本 某某", identity_number(601)))
    _citizen[:] = [CitizenBrowser(citizen, node.citizens.open_session(citizen).token)]
    yield schemathesis.openapi.from_asgi("/api/openapi.json", create_app(node))
    node.close()


def test_no_operation_answers_with_a_server_error(api_schema: Any) -> None:
    wrong: list[str] = []

    def try_operation(operation: Any) -> None:
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def each(case: Any) -> None:
            if case.path.startswith("/api/v1/wallet/"):
                browser = _citizen[0]
                cookie = f"{CITIZEN_COOKIE}={browser.token}"
                answer = case.call(headers={"Cookie": cookie, "X-CSRF-Token": browser.csrf})
                assert answer.status_code != 401
            else:
                token = _tokens[next(_turn) % len(_tokens)]
                answer = case.call(headers={"Authorization": f"Bearer {token}"})
            unready = answer.status_code == 503 and case.path == "/readyz"  # no signer process runs beside the test
            past = answer.status_code == 501 and case.path.startswith("/status/")  # of an earlier time none is kept
            if answer.status_code >= 500 and not unready and not past:
                wrong.append(f"{case.method} {case.path}: {answer.status_code} {answer.text[:300]}")

        each()

    operations = [found.ok() for found in api_schema.get_all_operations()]
    operations = [one for one in operations if one.path not in BINARY]
    assert len(operations) > 80
    for operation in operations:
        try_operation(operation)
    assert not wrong, "\n".join(wrong)
