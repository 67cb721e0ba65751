"""What may be set of an SMPP carrier, and what is said about the rest."""

from typing import Any

import msgspec
import pytest

from columba.carriers import SECRET, kinds
from columba.carriers.smpp.config import Config, cut, outbinding
from columba.core.contract import Cut
from columba.routing import config as configs


def made(**settings: Any) -> Config:
    return msgspec.convert({"host": "smsc.example", **settings}, Config)


def test_a_host_is_enough() -> None:
    config = made()
    assert (config.port, config.bind, config.binds, config.alphabet, config.long) == (
        2775, "transceiver", 1, "gsm7", "udh8",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({"host": None}, "needs a host, or outbind"),
        ({"port": 0}, "$.port"),
        ({"system_id": "a-system-id-of-17"}, "$.system_id"),
        ({"bind": "trx"}, "$.bind"),
        ({"binds": 65}, "$.binds"),
        ({"tls": "sometimes"}, "$.tls"),
        ({"ca": "not a certificate"}, "ca is not a certificate"),
        ({"alphabet": "ebcdic"}, "$.alphabet"),
        ({"long": "csms"}, "$.long"),
        ({"alphabet": "gsm7-packed", "long": "payload"}, "packed septets"),
        ({"interface_version": "3.3", "long": "sar"}, "SMPP 3.3 has no TLVs"),
        ({"interface_version": "3.3", "tlvs": {"0x1401": {"int": 1}}}, "SMPP 3.3 has no TLVs"),
        ({"bind": "receiver", "tlvs": {"0x1401": {"int": 1}}}, "receiver"),
        ({"binds": 2, "outbind": {"port": 2776}}, "outbind"),
        ({"reconnect": 100.0}, "reconnect_most"),
        ({"types": {"number": [1]}}, "$.types.number"),
        ({"types": {"number": [1, 256]}}, "$.types.number"),
        ({"tlvs": {"0x1401": {}}}, "one of hex, ascii and int"),
        ({"tlvs": {"0x1401": {"int": 1, "hex": "00"}}}, "one of hex, ascii and int"),
        ({"tlvs": {"0x1401": {"int": 256}}}, "256 does not fit 1 octets"),
        ({"tlvs": {"0x1401": {"hex": "abc"}}}, "$.tlvs"),
        ({"tlvs": {"mine": {"int": 1}}}, "'mine' is no TLV's tag"),
        ({"tlvs": {"0x10000": {"int": 1}}}, "no TLV's tag"),
        ({"tlvs": {"0x020c": {"int": 1}}}, "where a long text needs it"),
        ({"command_status": {"ESME_NOSUCH": "fail"}}, "'ESME_NOSUCH' is no command_status"),
        ({"command_status": {"0x58": "hope"}}, "$.command_status"),
        ({"receipt_errors": {"069": "bad_mood"}}, "'bad_mood' is none of"),
        ({"receipt_states": {"ACCEPTD": "fine"}}, "$.receipt_states"),
        ({"inbound_data_codings": {"256": "gsm7"}}, "no data_coding"),
        ({"no_such_thing": 1}, "no_such_thing"),
    ],
)  # fmt: skip
def test_what_can_not_be(settings: dict[str, Any], about: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="(?s)" + ".*".join(map(_literal, [about]))):
        made(**settings)


def _literal(text: str) -> str:
    return "".join(f"[{c}]" if c in "$.()" else c for c in text)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Cut()),
        ({"alphabet": "gsm7-packed"}, Cut()),
        ({"alphabet": "latin1"}, Cut(alphabet="latin1")),
        ({"alphabet": "ucs2", "long": "udh16"}, Cut(wide=True, alphabet="ucs2")),
        ({"long": "payload"}, Cut(whole=True)),
        ({"long": "sar"}, Cut()),
    ],
)
def test_how_texts_are_cut(settings: dict[str, Any], expected: Cut) -> None:
    assert cut(made(**settings)) == expected


def test_what_the_main_path_is_told() -> None:
    kind = kinds()["smpp"]
    assert kind.config is Config
    assert kind.lanes(made(binds=5)) == 5
    assert [kind.sends(made(bind=bind)) for bind in ("transceiver", "transmitter", "receiver", "pair")] == [
        True, True, False, True,
    ]  # fmt: skip


def test_passwords_are_secrets_and_never_show() -> None:
    config = made(password="hunter22", outbind={"port": 2776, "password": "hunter23"})
    assert configs.secret_places(config) == [("password",), ("outbind", "password")]
    shown = f"{config!r} {config.__rich_repr__()} {configs.shown(config)}"
    assert "hunter2" not in shown
    assert "host='smsc.example'" in repr(config)
    assert SECRET == {"writeOnly": True}


@pytest.mark.parametrize(
    ("permitted", "port", "good"),
    [((), 2776, False), (("2776",), 2776, True), (("2776",), 2777, False), (("80", "2770-2780"), 2777, True)],
)
def test_a_port_for_outbind_is_the_operators_to_permit(permitted: tuple[str, ...], port: int, good: bool) -> None:
    found = [*outbinding(permitted)(made(host=None, outbind={"port": port}))]
    assert [error.field for error in found] == ([] if good else ["config.outbind.port"])
    assert [*outbinding(permitted)(made())] == []
