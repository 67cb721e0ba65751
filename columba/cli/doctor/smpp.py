"""Whether programs can bind: the ports of the SMPP server, and the certificate of the one with TLS."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from columba.cli.doctor.finding import Finding, State
from columba.cli.options import Settings
from columba.cli.show import seconds
from columba.smpp.codec import encode
from columba.smpp.pdu import EnquireLink, EnquireLinkResp

AREA: Final = "ports"
PATIENCE_S: Final = 3.0
SOON_S: Final = 21 * 86_400


def smpp(settings: Settings) -> Iterator[Finding]:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    for name, number, tls in (("smpp", settings.smpp_port, False), ("smpp_tls", settings.smpp_tls_port, True)):
        if number == "":
            continue
        if number == 0:
            yield Finding(AREA, name, "ok", "any free port")
        else:
            yield _port(name, settings.host, host, number, tls)
    if settings.smpp_tls_port != "":
        yield _certificate(settings.smpp_tls_cert, settings.smpp_tls_key)


def _port(name: str, shown: str, host: str, number: int, tls: bool) -> Finding:
    try:
        line = socket.create_connection((host, number), PATIENCE_S)
    except ConnectionRefusedError:
        return _free(name, shown, number)
    except OSError as error:
        return Finding(AREA, name, "fail", f"{shown} port {number}: {error.strerror or error}", "Check --host.")
    with contextlib.closing(line):
        try:
            if tls:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                line = context.wrap_socket(line)
            line.settimeout(PATIENCE_S)
            line.sendall(encode(EnquireLink(), 1))
            answered = line.recv(64) == encode(EnquireLinkResp(), 1)
        except OSError:
            answered = False
    if answered:
        return Finding(AREA, name, "ok", f"An SMPP server answers on {shown} port {number}")
    return Finding(
        AREA, name, "fail", f"Something that is no SMPP server (or lets nobody in from here) has {shown} port {number}.",
        f"Stop it, choose another --{name.replace('_', '-')}-port, or add this machine to --smpp-from.",
    )  # fmt: skip


def _free(name: str, host: str, number: int) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            return Finding(
                AREA, name, "fail", f"{host} port {number} can't be used: {error.strerror or error}",
                "Choose another port, or run with the rights that it needs.",
            )  # fmt: skip
    return Finding(AREA, name, "ok", f"{host} port {number} is free")


def _certificate(chain: str, key: str) -> Finding:
    name = "smpp_tls_cert"
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(chain, key or None)
        ends = _ends(Path(chain).read_bytes())
    except (OSError, ValueError) as error:
        return Finding(
            "secrets", name, "fail", f"The certificate can't be used: {error}",
            "--smpp-tls-cert is a chain in PEM, --smpp-tls-key its key, both readable for the server.",
        )  # fmt: skip
    left = ends - time.time()
    state: State = "ok" if left > SOON_S else "warn" if left > 0 else "fail"
    text = f"the certificate is good for {seconds(left)}" if left > 0 else "The certificate has expired."
    return Finding("secrets", name, state, text, "" if state == "ok" else "Renew it, and restart the server.")


def _ends(chain: bytes) -> float:
    from cryptography import x509

    return x509.load_pem_x509_certificates(chain)[0].not_valid_after_utc.timestamp()
