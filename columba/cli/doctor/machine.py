"""Whether the machine has what a server needs: its port, certificates, the quick libraries, enough open files."""

import http.client
import json
import resource
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from columba.cli.doctor.finding import Finding
from columba.cli.options import Settings

FEW_FILES = 4096


def port(settings: Settings) -> Iterator[Finding]:
    area, host, number = "ports", settings.host, settings.port
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    if number == 0:
        yield Finding(area, "http", "ok", "any free port")
        return
    state = ask(reached, number, "/healthz")
    if state is not None and state[0] == 200 and state[1].get("status") == "ok":
        ready = ask(reached, number, "/readyz")
        if ready is not None and ready[0] == 200:
            yield Finding(area, "http", "ok", f"Columba answers on {host} port {number} and is ready")
        else:
            told = ready[1].get("status", "no reason given") if ready else "no answer"
            yield Finding(
                area, "http", "warn", f"Columba answers on {host} port {number} and is not ready: {told}.",
                "See its log, and what is said about the store here.",
            )  # fmt: skip
        return
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, number))
            probe.listen(1)
        yield Finding(area, "http", "ok", f"{host} port {number} is free: no server runs there")
    except OSError as error:
        yield Finding(
            area, "http", "fail", f"{host} port {number} can't be had: {error.strerror or error}.",
            "Stop the program that has it (`ss -ltnp` shows it), or choose another with --host and --port.",
        )  # fmt: skip


def ask(host: str, number: int, path: str) -> tuple[int, dict[str, Any]] | None:
    connection = http.client.HTTPConnection(host, number, timeout=2)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        told = json.loads(response.read(10_000))
        return response.status, told if isinstance(told, dict) else {}
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def certificates(settings: Settings) -> Iterator[Finding]:
    context = ssl.create_default_context()
    folder = ssl.get_default_verify_paths().capath
    count = context.cert_store_stats()["x509_ca"]
    count = count or (len(list(Path(folder).glob("*.0"))) if folder else 0)
    if count:
        yield Finding("machine", "certificates", "ok", f"{count} authorities are trusted for https")
    else:
        yield Finding(
            "machine", "certificates", "fail", "No certificate authority is known: no https address can be reached.",
            "Install the package ca-certificates, or set SSL_CERT_FILE.",
        )  # fmt: skip


def python(settings: Settings) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("machine", "python", "ok", f"Python {version}")
    for name in ("uvloop", "httptools"):
        try:
            module = __import__(name)
        except ImportError as error:
            yield Finding("machine", name, "fail", f"{name} can't be loaded: {error}", "Run `make setup`.")
        else:
            yield Finding("machine", name, "ok", str(getattr(module, "__version__", "")))


def files(settings: Settings) -> Iterator[Finding]:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FEW_FILES:
        yield Finding(
            "machine", "files", "warn", f"Only {soft} files and connections may be open at once.",
            "`ulimit -n 65536` before `columba serve`, or LimitNOFILE=65536 in its systemd unit.",
        )  # fmt: skip
    else:
        shown = "any number of" if soft == resource.RLIM_INFINITY else f"{soft:,}"
        yield Finding("machine", "files", "ok", f"{shown} files and connections may be open at once")
