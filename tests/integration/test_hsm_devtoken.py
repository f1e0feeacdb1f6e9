"""What the SM2 development token promises: it signs as others verify, and its private values cannot be had through PKCS#11."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto import sm2
from hsm import devtoken
from tests.pkcs11_raw import (
    CKA,
    DATA,
    E_DER,
    E_RAW,
    HASH_DER,
    HASH_RAW,
    P256_OID,
    PRIVATE,
    PUBLIC,
    SECRET,
    SM2_GENERATE,
    SM2_KEY_TYPE,
    SM2_OID,
    UL,
    UNAVAILABLE,
    Z_DER,
    Z_RAW,
    Attribute,
    Module,
    Refused,
    mechanism,
    template,
)

MESSAGE = "准予行政许可决定书".encode()
E32 = bytes(range(32))


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Module]:
    made = Module(devtoken.library_path(), tmp_path_factory.mktemp("devtoken"))
    yield made
    made.call("C_Finalize", None)


@pytest.fixture
def session(module: Module) -> Iterator[UL]:
    opened = module.login(module.open())
    yield opened
    module.raw("C_CloseAllSessions", module.slot)


@pytest.fixture
def pair(module: Module, session: UL) -> Iterator[tuple[UL, UL]]:
    public, private = module.sm2_pair(session, os.urandom(8))
    yield public, private
    module.raw("C_DestroyObject", session, public)
    module.raw("C_DestroyObject", session, private)


def public_key(module: Module, session: UL, public: UL) -> sm2.Sm2PublicKey:
    point = module.get(session, public, "EC_POINT")
    assert point[:3] == b"\x04\x41\x04"
    return sm2.public_key_from_xy(point[3:])


def refused(module: Module, name: str, *arguments: object) -> str:
    with pytest.raises(Refused) as caught:
        module.call(name, *arguments)
    return caught.value.name


# -- it signs as the standard says ---


@pytest.mark.parametrize(
    ("kind", "der", "reading"),
    [
        (E_DER, True, "e"),
        (E_RAW, False, "e"),
        (HASH_RAW, False, "hash"),
        (HASH_DER, True, "hash"),
        (Z_RAW, False, "z"),
        (Z_DER, True, "z"),
    ],
)
def test_every_mechanism_makes_signatures_that_libcrypto_verifies(
    module: Module, session: UL, pair: tuple[UL, UL], kind: int, der: bool, reading: str
) -> None:
    key = public_key(module, session, pair[0])
    data = E32 if reading == "e" else MESSAGE
    e = {"e": E32, "hash": sm2.sm3(MESSAGE), "z": sm2.digest_e(key, MESSAGE)}[reading]
    for _ in range(20):
        module.sign_init(session, kind, pair[1])
        signature = module.sign(session, data)
        assert sm2.verify_e(key, e, signature if der else sm2.raw_to_der(signature))


def test_the_token_computes_z_for_the_user_id_in_the_mechanism_parameter(
    module: Module, session: UL, pair: tuple[UL, UL]
) -> None:
    key = public_key(module, session, pair[0])
    module.sign_init(session, Z_DER, pair[1], b"ALICE123@YAHOO.COM")
    signature = module.sign(session, MESSAGE)
    assert sm2.verify(key, MESSAGE, signature, user_id=b"ALICE123@YAHOO.COM")
    assert not sm2.verify(key, MESSAGE, signature)


def test_a_message_in_parts_gives_the_signature_of_the_whole(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    key = public_key(module, session, pair[0])
    module.sign_init(session, Z_DER, pair[1])
    for part in (MESSAGE[:5], b"", MESSAGE[5:]):
        module.call("C_SignUpdate", session, part, UL(len(part)))
    buffer, length = ctypes.create_string_buffer(100), UL(100)
    module.call("C_SignFinal", session, buffer, ctypes.byref(length))
    assert sm2.verify(key, MESSAGE, buffer.raw[: length.value])


@pytest.mark.parametrize("kind", [E_DER, E_RAW, HASH_RAW, HASH_DER, Z_RAW, Z_DER])
def test_the_token_verifies_its_own_signature_and_refuses_a_changed_one(
    module: Module, session: UL, pair: tuple[UL, UL], kind: int
) -> None:
    data = E32 if kind in (E_DER, E_RAW) else MESSAGE
    module.sign_init(session, kind, pair[1])
    signature = module.sign(session, data)
    for wanted, given in (("OK", signature), ("SIGNATURE_INVALID", signature[:-1] + bytes([signature[-1] ^ 1]))):
        module.call("C_VerifyInit", session, mechanism(kind), pair[0])
        if wanted == "OK":
            module.call("C_Verify", session, data, UL(len(data)), given, UL(len(given)))
        else:
            assert refused(module, "C_Verify", session, data, UL(len(data)), given, UL(len(given))) == wanted
    module.call("C_VerifyInit", session, mechanism(kind), pair[0])
    assert refused(module, "C_Verify", session, data, UL(len(data)), b"123", UL(3)) == "SIGNATURE_LEN_RANGE"


def test_it_says_in_all_its_names_that_it_is_no_hsm(module: Module) -> None:
    info = ctypes.create_string_buffer(512)
    module.call("C_GetInfo", info)
    assert b"Xinyin DEVELOPMENT ONLY" in info.raw
    assert b"NOT an HSM" in info.raw
    module.call("C_GetTokenInfo", module.slot, info)
    assert b"DEV-NOT-AN-HSM" in info.raw
    module.call("C_GetSlotInfo", module.slot, info)
    assert b"not an HSM" in info.raw


def test_its_mechanisms_are_listed_and_described(module: Module) -> None:
    count = UL()
    module.call("C_GetMechanismList", module.slot, None, ctypes.byref(count))
    short, few = (UL * 3)(), UL(3)
    assert refused(module, "C_GetMechanismList", module.slot, short, ctypes.byref(few)) == "BUFFER_TOO_SMALL"
    assert few.value == count.value
    listed = (UL * count.value)()
    module.call("C_GetMechanismList", module.slot, listed, ctypes.byref(count))
    assert {SM2_GENERATE, E_DER, E_RAW, HASH_RAW, HASH_DER, Z_RAW, Z_DER} <= set(listed)
    info = (UL * 3)()
    module.call("C_GetMechanismInfo", module.slot, UL(SM2_GENERATE), info)
    assert list(info) == [256, 256, 0x10000]
    assert refused(module, "C_GetMechanismInfo", module.slot, UL(0x8000FFFF), info) == "MECHANISM_INVALID"


def test_rsa_and_p256_pass_through(module: Module, session: UL) -> None:
    public, private = UL(), UL()
    module.call(
        "C_GenerateKeyPair",
        session,
        mechanism(0x1040),
        *template(EC_PARAMS=P256_OID, TOKEN=False, VERIFY=True),
        *template(TOKEN=False, SIGN=True, PRIVATE=True, SENSITIVE=True),
        ctypes.byref(public),
        ctypes.byref(private),
    )
    module.sign_init(session, 0x1041, private)
    assert len(module.sign(session, E32)) == 64


@pytest.mark.parametrize(
    ("vendor", "key_type", "generate", "kind"),
    [
        ("tass", 0x80000004, 0x80008001, 0x80008000),
        ("luna", 0x80000016, 0x80000B20, 0x80000B21),
        ("ibm", 0x80050002, 0x8005000A, 0x8005000B),
    ],
)
def test_it_can_speak_another_vendors_constants(tmp_path: Path, vendor: str, key_type: int, generate: int, kind: int) -> None:
    module = Module(devtoken.library_path(), tmp_path, vendor=vendor)
    session = module.login(module.open())
    public, private = UL(), UL()
    module.call(
        "C_GenerateKeyPair",
        session,
        mechanism(generate),
        *template(TOKEN=False, KEY_TYPE=key_type),
        *template(TOKEN=False, KEY_TYPE=key_type),
        ctypes.byref(public),
        ctypes.byref(private),
    )
    module.sign_init(session, kind, private)
    signature = module.sign(session, E32)
    assert sm2.verify_e(public_key(module, session, public), E32, sm2.raw_to_der(signature))
    module.call("C_Finalize", None)


# -- its private value cannot be had ---


def test_reading_the_private_value_is_refused(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    with pytest.raises(Refused, match="ATTRIBUTE_SENSITIVE"):
        module.get(session, pair[1], "VALUE")


@pytest.mark.parametrize("name", ["VALUE_LEN", "CHECK_VALUE", "EC_POINT", "MODULUS_BITS"])
def test_attributes_of_the_secret_behind_the_key_do_not_show(
    module: Module, session: UL, pair: tuple[UL, UL], name: str
) -> None:
    with pytest.raises(Refused, match="ATTRIBUTE_TYPE_INVALID"):
        module.get(session, pair[1], name)


def test_the_key_looks_like_a_sensitive_private_key_and_like_nothing_else(
    module: Module, session: UL, pair: tuple[UL, UL]
) -> None:
    def number(name: str) -> int:
        return int.from_bytes(module.get(session, pair[1], name), "little")

    assert number("CLASS") == PRIVATE
    assert number("KEY_TYPE") == SM2_KEY_TYPE
    assert number("KEY_GEN_MECHANISM") == SM2_GENERATE
    assert module.get(session, pair[1], "EC_PARAMS") == SM2_OID
    assert b"xinyin" not in module.get(session, pair[1], "ID")
    facts = {"SENSITIVE": 1, "ALWAYS_SENSITIVE": 1, "NEVER_EXTRACTABLE": 1, "LOCAL": 1, "SIGN": 1, "PRIVATE": 1}
    facts |= {"EXTRACTABLE": 0, "COPYABLE": 0, "DECRYPT": 0, "UNWRAP": 0, "DERIVE": 0}
    assert {name: number(name) for name in facts} == facts


def test_the_secret_behind_the_key_is_found_by_no_search(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    key_id = module.get(session, pair[1], "ID")
    assert module.find(session, CLASS=SECRET) == []
    assert module.find(session, CLASS=SECRET, KEY_TYPE=0x10) == []
    assert module.find(session, KEY_TYPE=0x10) == []
    assert module.find(session, CLASS=DATA) == []
    assert module.find(session, ID=b"\x00xinyin-sm2-key\x00" + key_id) == []
    assert sorted(module.find(session, ID=key_id)) == sorted((pair[0].value, pair[1].value))
    assert module.find(session, CLASS=PRIVATE, KEY_TYPE=SM2_KEY_TYPE, ID=key_id) == [pair[1].value]
    assert module.find(session, CLASS=PUBLIC, KEY_TYPE=SM2_KEY_TYPE, ID=key_id) == [pair[0].value]
    assert module.find(session, CLASS=PUBLIC, KEY_TYPE=3, ID=key_id) == []
    assert pair[1].value in module.find(session)


@pytest.mark.parametrize("kind", [0x1087, 0x2109, 0x210A, 0x1085])  # AES-CBC-PAD … key wrap variants
def test_wrapping_the_private_value_is_refused(module: Module, session: UL, pair: tuple[UL, UL], kind: int) -> None:
    out, length = ctypes.create_string_buffer(4096), UL(4096)
    wrapping = module.aes(session)
    answer = refused(module, "C_WrapKey", session, mechanism(kind, bytes(16)), wrapping, pair[1], out, ctypes.byref(length))
    assert answer == "KEY_UNEXTRACTABLE"


def test_copying_the_private_value_is_refused(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    copy = UL()
    for wanted in (template(TOKEN=False), template(SENSITIVE=False), template(EXTRACTABLE=True), template()):
        assert refused(module, "C_CopyObject", session, pair[1], *wanted, ctypes.byref(copy)) == "ACTION_PROHIBITED"


def test_deriving_from_the_private_value_is_refused(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    made = UL()
    target = template(VALUE_LEN=32, SENSITIVE=False, EXTRACTABLE=True, TOKEN=False)
    for kind in (0x1050, 0x1104, 0x360, 0x362, 0x365):
        answer = refused(module, "C_DeriveKey", session, mechanism(kind, bytes(16)), pair[1], *target, ctypes.byref(made))
        assert answer == "KEY_TYPE_INCONSISTENT"


def test_concatenating_the_private_value_onto_another_key_is_refused(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    made = UL()
    handle = pair[1].value.to_bytes(8, "little")
    target = template(VALUE_LEN=32, SENSITIVE=False, EXTRACTABLE=True, TOKEN=False)
    base = module.aes(session, DERIVE=True)
    answer = refused(module, "C_DeriveKey", session, mechanism(0x360, handle), base, *target, ctypes.byref(made))
    assert answer == "KEY_TYPE_INCONSISTENT"


def test_digesting_the_private_value_is_refused(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    module.call("C_DigestInit", session, mechanism(0x250))
    assert refused(module, "C_DigestKey", session, pair[1]) == "KEY_INDIGESTIBLE"


@pytest.mark.parametrize("kind", [0x271, 0x251, 0x221, 0x1041, 0x1, 0x40])  # HMACs above all
def test_the_private_key_serves_no_native_mechanism(module: Module, session: UL, pair: tuple[UL, UL], kind: int) -> None:
    for name in ("C_SignInit", "C_VerifyInit", "C_EncryptInit", "C_DecryptInit", "C_SignRecoverInit", "C_VerifyRecoverInit"):
        assert refused(module, name, session, mechanism(kind), pair[1]) == "KEY_TYPE_INCONSISTENT"


def test_the_private_key_wraps_and_unwraps_nothing(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    out, length, made = ctypes.create_string_buffer(4096), UL(4096), UL()
    victim = module.aes(session, EXTRACTABLE=True)
    answer = refused(module, "C_WrapKey", session, mechanism(0x2109), pair[1], victim, out, ctypes.byref(length))
    assert answer == "WRAPPING_KEY_TYPE_INCONSISTENT"
    target = template(CLASS=SECRET, KEY_TYPE=0x1F)
    answer = refused(module, "C_UnwrapKey", session, mechanism(0x2109), pair[1], bytes(40), UL(40), *target, ctypes.byref(made))
    assert answer == "UNWRAPPING_KEY_TYPE_INCONSISTENT"


def test_the_hidden_operation_behind_a_signature_answers_nobody(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    """While an SM2 signature is open the session below holds an HMAC; its bytes would be the key. No call reaches it."""
    module.sign_init(session, Z_RAW, pair[1])
    out, length = ctypes.create_string_buffer(4096), UL(4096)
    text = b"Xinyin development token: SM2 private value, derivation 1"
    assert refused(module, "C_SignRecover", session, text, UL(len(text)), out, ctypes.byref(length)) == (
        "OPERATION_NOT_INITIALIZED"
    )
    assert refused(module, "C_SignEncryptUpdate", session, text, UL(len(text)), out, ctypes.byref(length)) == (
        "OPERATION_NOT_INITIALIZED"
    )
    assert refused(module, "C_SignInit", session, mechanism(0x271), pair[1]) == "KEY_TYPE_INCONSISTENT"
    assert len(module.sign(session, text)) == 64  # an SM2 signature, not 64 bytes of HMAC
    key = public_key(module, session, pair[0])
    module.sign_init(session, Z_RAW, pair[1])
    assert sm2.verify(key, text, sm2.raw_to_der(module.sign(session, text)))


def test_two_threads_on_one_session_never_reach_the_hidden_operation(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    """A thread begins SM2 signatures while another calls C_Sign on the same session: whatever comes out is an SM2 signature."""
    key = public_key(module, session, pair[0])
    text = b"Xinyin development token: SM2 private value, derivation 1"
    stop, seen = threading.Event(), []

    def begin() -> None:
        while not stop.is_set():
            module.raw("C_SignInit", session, mechanism(Z_RAW), pair[1])

    thread = threading.Thread(target=begin)
    thread.start()
    try:
        while len(seen) < 150:
            out, length = ctypes.create_string_buffer(256), UL(256)
            if module.raw("C_Sign", session, text, UL(len(text)), out, ctypes.byref(length)) == 0:
                seen.append(out.raw[: length.value])
    finally:
        stop.set()
        thread.join()
    assert all(sm2.verify(key, text, sm2.raw_to_der(signature)) for signature in seen)


def test_no_object_can_be_passed_off_as_a_private_key(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    mark, made = b"\x00xinyin-sm2-key\x00known", UL()
    known = template(CLASS=SECRET, KEY_TYPE=0x10, VALUE=bytes(64), ID=mark, SIGN=True, TOKEN=False)
    assert refused(module, "C_CreateObject", session, *known, ctypes.byref(made)) == "ATTRIBUTE_VALUE_INVALID"
    fresh = template(VALUE_LEN=32, ID=mark, TOKEN=False)
    assert refused(module, "C_GenerateKey", session, mechanism(0x1080), *fresh, ctypes.byref(made)) == "ATTRIBUTE_VALUE_INVALID"
    other = module.aes(session)
    assert refused(module, "C_SetAttributeValue", session, other, *template(ID=mark)) == "ATTRIBUTE_VALUE_INVALID"
    assert refused(module, "C_CopyObject", session, other, *template(ID=mark), ctypes.byref(made)) == "ATTRIBUTE_VALUE_INVALID"
    brought = template(CLASS=PRIVATE, KEY_TYPE=SM2_KEY_TYPE, VALUE=bytes(32), EC_PARAMS=SM2_OID, TOKEN=False)
    assert refused(module, "C_CreateObject", session, *brought, ctypes.byref(made)) == "TEMPLATE_INCONSISTENT"


def test_the_private_key_cannot_be_weakened(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    for change in ({"SENSITIVE": False}, {"EXTRACTABLE": True}, {"COPYABLE": True}, {"DERIVE": True}, {"SIGN": False}):
        assert refused(module, "C_SetAttributeValue", session, pair[1], *template(**change)) == "ATTRIBUTE_READ_ONLY"
    for wish in ({"EXTRACTABLE": True}, {"SENSITIVE": False}, {"PRIVATE": False}, {"DERIVE": True}, {"UNWRAP": True}):
        answer = refused(
            module, "C_GenerateKeyPair", session, mechanism(SM2_GENERATE),
            *template(TOKEN=False), *template(TOKEN=False, **wish), ctypes.byref(UL()), ctypes.byref(UL()),
        )  # fmt: skip
        assert answer == "TEMPLATE_INCONSISTENT"


def test_label_and_identifier_can_be_changed_and_found_by(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    module.call("C_SetAttributeValue", session, pair[1], *template(LABEL="新名称", ID=b"renamed"))
    assert module.get(session, pair[1], "ID") == b"renamed"
    assert module.find(session, CLASS=PRIVATE, ID=b"renamed", LABEL="新名称") == [pair[1].value]


# -- it answers as the standard says ---


def test_a_short_buffer_is_refused_and_the_signature_still_comes(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    for kind, size in ((Z_RAW, 64), (Z_DER, 72)):
        module.sign_init(session, kind, pair[1])
        length = UL()
        module.call("C_Sign", session, MESSAGE, UL(len(MESSAGE)), None, ctypes.byref(length))
        assert length.value == size
        out, length = ctypes.create_string_buffer(100), UL(10)
        answer = refused(module, "C_Sign", session, MESSAGE, UL(len(MESSAGE)), out, ctypes.byref(length))
        assert (answer, length.value) == ("BUFFER_TOO_SMALL", size)
        assert module.sign(session, MESSAGE)
        assert refused(module, "C_Sign", session, MESSAGE, UL(len(MESSAGE)), out, ctypes.byref(length)) == (
            "OPERATION_NOT_INITIALIZED"
        )


def test_a_short_attribute_buffer_is_refused(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    with pytest.raises(Refused, match="BUFFER_TOO_SMALL"):
        module.get(session, pair[1], "EC_PARAMS", room=3)
    both = (Attribute * 2)(Attribute(CKA["VALUE"], None, 0), Attribute(CKA["KEY_TYPE"], None, 0))
    assert refused(module, "C_GetAttributeValue", session, pair[1], both, UL(2)) == "ATTRIBUTE_SENSITIVE"
    assert (both[0].length, both[1].length) == (UNAVAILABLE, 8)


def test_one_operation_at_a_time(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    module.sign_init(session, Z_RAW, pair[1])
    assert refused(module, "C_SignInit", session, mechanism(Z_RAW), pair[1]) == "OPERATION_ACTIVE"
    assert refused(module, "C_VerifyInit", session, mechanism(Z_RAW), pair[0]) == "OPERATION_ACTIVE"
    assert refused(module, "C_FindObjectsInit", session, None, UL(0)) == "OPERATION_ACTIVE"
    assert refused(module, "C_DigestInit", session, mechanism(0x250)) == "OPERATION_ACTIVE"
    module.sign(session, MESSAGE)
    module.call("C_DigestInit", session, mechanism(0x250))
    assert refused(module, "C_SignInit", session, mechanism(Z_RAW), pair[1]) == "OPERATION_ACTIVE"


def test_wrong_keys_lengths_and_parameters_are_named(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    assert refused(module, "C_SignInit", session, mechanism(E_RAW), module.aes(session)) == "KEY_TYPE_INCONSISTENT"
    assert refused(module, "C_SignInit", session, mechanism(E_RAW), pair[0]) == "KEY_FUNCTION_NOT_PERMITTED"
    assert refused(module, "C_VerifyInit", session, mechanism(0x1041), pair[0]) == "KEY_TYPE_INCONSISTENT"
    assert refused(module, "C_SignInit", session, mechanism(E_RAW, b"id"), pair[1]) == "MECHANISM_PARAM_INVALID"
    assert refused(module, "C_SignInit", session, mechanism(E_RAW), UL(987654)) == "OBJECT_HANDLE_INVALID"
    assert refused(module, "C_SignInit", UL(987654), mechanism(E_RAW), pair[1]) == "SESSION_HANDLE_INVALID"
    module.sign_init(session, E_RAW, pair[1])
    with pytest.raises(Refused, match="DATA_LEN_RANGE"):
        module.sign(session, b"x" * 31)
    with pytest.raises(Refused, match="OPERATION_NOT_INITIALIZED"):
        module.sign(session, E32)
    module.sign_init(session, E_RAW, pair[1])
    assert refused(module, "C_SignUpdate", session, E32, UL(32)) == "OPERATION_NOT_INITIALIZED"
    native = template(EC_PARAMS=SM2_OID, TOKEN=False), template(TOKEN=False)
    answer = refused(
        module, "C_GenerateKeyPair", session, mechanism(0x1040), *native[0], *native[1], ctypes.byref(UL()), ctypes.byref(UL())
    )
    assert answer == "DOMAIN_PARAMS_INVALID"


def test_nothing_signs_before_log_in_or_after_log_out(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    key_id = module.get(session, pair[1], "ID")
    module.sign_init(session, Z_RAW, pair[1])
    module.call("C_Logout", session)
    with pytest.raises(Refused, match="OPERATION_NOT_INITIALIZED"):
        module.sign(session, MESSAGE)
    assert refused(module, "C_SignInit", session, mechanism(Z_RAW), pair[1]) == "OBJECT_HANDLE_INVALID"
    assert module.find(session, CLASS=PRIVATE, ID=key_id) == []
    answer = refused(
        module, "C_GenerateKeyPair", session, mechanism(SM2_GENERATE), *template(TOKEN=True), *template(TOKEN=True),
        ctypes.byref(UL()), ctypes.byref(UL()),
    )  # fmt: skip
    assert answer == "USER_NOT_LOGGED_IN"
    module.login(session)
    (again,) = module.find(session, CLASS=PRIVATE, ID=key_id)
    module.sign_init(session, Z_RAW, UL(again))
    assert module.sign(session, MESSAGE)
    pair[1].value = again


def test_a_destroyed_key_signs_no_more_even_in_an_operation_under_way(module: Module, session: UL) -> None:
    public, private = module.sm2_pair(session, b"doomed")
    other = module.open()
    module.sign_init(other, Z_RAW, private)
    module.call("C_DestroyObject", session, private)
    with pytest.raises(Refused, match="OPERATION_NOT_INITIALIZED"):
        module.sign(other, MESSAGE)
    assert refused(module, "C_SignInit", session, mechanism(Z_RAW), private) == "OBJECT_HANDLE_INVALID"
    assert module.find(session, ID=b"doomed", CLASS=PRIVATE) == []
    module.call("C_DestroyObject", session, public)


def test_a_session_key_ends_with_its_session(module: Module, session: UL) -> None:
    own = module.open()
    module.sm2_pair(own, b"brief", token=False)
    assert len(module.find(session, ID=b"brief")) == 2
    module.call("C_CloseSession", own)
    assert module.find(session, ID=b"brief") == []


def test_a_read_only_session_makes_no_token_key(module: Module, session: UL) -> None:
    reader = module.open(rw=False)
    with pytest.raises(Refused, match="SESSION_READ_ONLY"):
        module.sm2_pair(reader, b"no")
    assert module.find(session, ID=b"no") == []


def test_keys_survive_a_restart_of_the_library(tmp_path: Path) -> None:
    module = Module(devtoken.library_path(), tmp_path)
    session = module.login(module.open())
    public, _ = module.sm2_pair(session, b"kept")
    key = public_key(module, session, public)
    module.call("C_Finalize", None)
    assert refused(module, "C_GetInfo", ctypes.create_string_buffer(512)) == "CRYPTOKI_NOT_INITIALIZED"
    module.initialize()
    session = module.login(module.open())
    (private,) = module.find(session, CLASS=PRIVATE, ID=b"kept")
    module.sign_init(session, Z_DER, UL(private))
    assert sm2.verify(key, MESSAGE, module.sign(session, MESSAGE))
    module.call("C_Finalize", None)


def test_four_threads_on_four_sessions_make_only_good_signatures(module: Module, session: UL, pair: tuple[UL, UL]) -> None:
    key = public_key(module, session, pair[0])
    results: list[bool] = []

    def work() -> None:
        own = module.open(rw=False)
        for number in range(40):
            text = b"%d" % number
            module.sign_init(own, Z_DER, pair[1])
            results.append(sm2.verify(key, text, module.sign(own, text)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 160


_FORK = """
import os, sys
from pathlib import Path
from tests.pkcs11_raw import Module, Refused, Z_RAW, UL, PRIVATE
from hsm import devtoken
module = Module(devtoken.library_path(), Path(sys.argv[1]))
session = module.login(module.open())
public, private = module.sm2_pair(session, b"k")
module.sign_init(session, Z_RAW, private)
child = os.fork()
if child == 0:
    try:
        module.sign(session, b"x")
        os._exit(1)
    except Refused as refused:
        if refused.name != "CRYPTOKI_NOT_INITIALIZED":
            os._exit(2)
    module.initialize()
    own = module.login(module.open())
    (found,) = module.find(own, CLASS=PRIVATE, ID=b"k")
    module.sign_init(own, Z_RAW, UL(found))
    os._exit(0 if len(module.sign(own, b"x")) == 64 else 3)
assert os.waitpid(child, 0)[1] == 0, "child"
assert len(module.sign(session, b"x")) == 64
"""


def test_after_a_fork_the_child_starts_afresh_and_the_parent_carries_on(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _FORK, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == 0


def test_pkcs11_tool_makes_and_lists_keys_and_cannot_export_them(tmp_path: Path) -> None:
    """OpenSC's tool, an implementation that knows nothing of us."""
    (tmp_path / "store").mkdir()
    (tmp_path / "conf").write_text(f"directories.tokendir = {tmp_path}/store\nobjectstore.backend = file\n")
    environment = {**os.environ, "SOFTHSM2_CONF": str(tmp_path / "conf")}

    def tool(*arguments: str) -> str:
        command = ["pkcs11-tool", "--module", str(devtoken.library_path()), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    assert "successfully initialized" in tool("--init-token", "--slot", "0", "--label", "t", "--so-pin", "12345678")
    tool("--token-label", "t", "--login", "--login-type", "so", "--so-pin", "12345678", "--init-pin", "--pin", "1234")
    login = ("--token-label", "t", "--login", "--pin", "1234")
    assert "Key pair generated" in tool(*login, "--keypairgen", "--key-type", "EC:prime256v1", "--id", "01", "--label", "p")
    assert "NOT an HSM" in tool("-I")
    assert "mechtype-0x80008105, keySize={256,256}, sign, verify" in tool("--token-label", "t", "-M")
    listed = tool(*login, "-O")
    assert "Private Key Object; EC" in listed
    assert "Secret Key Object" not in listed


def test_pkcs11_tool_signs_with_sm2_and_openssl_verifies(tmp_path: Path) -> None:
    """Token, tool and verifier are three programs; only the token is ours."""
    module = Module(devtoken.library_path(), tmp_path)
    session = module.login(module.open())
    public, _ = module.sm2_pair(session, b"\x02")
    (tmp_path / "key.der").write_bytes(public_key(module, session, public).spki)
    module.call("C_Finalize", None)
    (tmp_path / "e").write_bytes(E32)
    environment = {**os.environ, "SOFTHSM2_CONF": str(tmp_path / "conf")}
    tool = ["pkcs11-tool", "--module", str(devtoken.library_path()), "--token-label", "raw", "--login", "--pin", "1234"]
    sign = ["--sign", "--id", "02", "-m", "0x80008104", "-i", str(tmp_path / "e"), "-o", str(tmp_path / "signature")]
    subprocess.run([*tool, *sign], env=environment, check=True, capture_output=True, timeout=60)
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", str(tmp_path / "key.der")]
    files = ["-in", str(tmp_path / "e"), "-sigfile", str(tmp_path / "signature")]
    done = subprocess.run([*verify, *files], capture_output=True, text=True, check=False, timeout=60)
    assert "Signature Verified Successfully" in done.stdout, done.stderr
    listed = subprocess.run([*tool, "-O"], env=environment, check=True, capture_output=True, text=True, timeout=60).stdout
    assert "sensitive, always sensitive, never extractable, local" in listed
    assert "Secret Key Object" not in listed
