"""Mail: one e-mail to the operator's mail server, by SMTP (RFC 5321), with STARTTLS or TLS and a login.

    relay = read_relay("smtp://user:password@mail.example.org", "alerts@example.org")
    await send_mail(relay, Mail("ntc_01", ("ann@example.org",), "A carrier is down", "..."))

The server is the operator's own word, so every address may be reached. It fails with MailError alone, which says whether
another try makes sense and names no secret. Nothing is kept here: who sends tries again (4xx, as greylisting answers).
"""

import asyncio
import base64
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

ADDRESS: Final = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,190}")
LONGEST_REPLY, MOST_LINES = 2_000, 100
WHOLE_S: Final = 60.0
GOODBYE_S: Final = 1.0
_SAFE: Final = re.compile(r"[^\x20-\x7e]")
_POLICY: Final = SMTP.clone(cte_type="7bit", max_line_length=78)


class Relay(NamedTuple):
    """The server that takes our mail. `tls`: from the start, by STARTTLS, or not at all."""

    host: str
    port: int
    tls: Literal["start", "upgrade", "none"]
    user: str
    password: str
    sender: str
    ca: str = ""  # file of the certificates that are trusted instead of the system's

    def __repr__(self) -> str:
        return f"Relay({self.host!r}, {self.port}, {self.tls!r}, sender={self.sender!r})"


class Mail(NamedTuple):
    """`id` is the same in every attempt: it becomes the Message-ID."""

    id: str
    to: tuple[str, ...]
    subject: str
    text: str
    headers: Mapping[str, str] = {}


class MailError(Exception):
    """It was not taken. `final`: nor would it be another time."""

    def __init__(self, detail: str, final: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.final = final


def read_relay(url: str, sender: str = "", ca: str = "") -> Relay | None:
    """The setting `smtp_url`; None where it is empty. ValueError where it is none.

    smtp:// asks for STARTTLS on port 587, smtps:// is TLS on 465, `?tls=off` is neither, on 25.
    """
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError(
            "it must be smtp://HOST or smtps://HOST, with USER:PASSWORD@ before the host if it asks for them"
        )
    asked = parse_qs(parts.query)
    if asked not in ({}, {"tls": ["off"]}) or (asked and parts.scheme == "smtps"):
        raise ValueError("the only option is smtp://HOST?tls=off")
    tls: Literal["start", "upgrade", "none"] = "start" if parts.scheme == "smtps" else "none" if asked else "upgrade"
    sender = sender or f"columba@{parts.hostname}"
    if not ADDRESS.fullmatch(sender):
        raise ValueError("set smtp_sender: mail needs an address that it comes from")
    usual = {"start": 465, "upgrade": 587, "none": 25}[tls]
    return Relay(
        parts.hostname,
        parts.port or usual,
        tls,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        sender,
        ca,
    )


async def probe(relay: Relay) -> None:
    """Log in and leave, to see whether it can be done."""
    await _exchange(relay, None, b"")


async def send_mail(relay: Relay, mail: Mail, now_ms: int | None = None) -> None:
    """Hand a mail over; it is the server's when this returns. An address that is refused keeps it from nobody else."""
    for address in mail.to:
        if not ADDRESS.fullmatch(address) or not address.isascii():
            raise MailError(f"{_printable(address)} is no address.", final=True)
    await _exchange(relay, mail, compose(relay, mail, now_ms))


async def _exchange(relay: Relay, mail: Mail | None, body: bytes) -> None:
    try:
        async with asyncio.timeout(WHOLE_S):
            wire = await _connect(relay)
            try:
                await _greet(wire, relay)
                if mail is not None:
                    await _hand_over(wire, relay, mail, body)
            finally:
                await wire.close()
    except TimeoutError:
        raise MailError(f"{relay.host} took too long.") from None
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or error.reason or "the handshake failed"
        raise MailError(f"{relay.host} can't be trusted: {why.replace('_', ' ').lower()}.") from None
    except OSError as error:
        raise MailError(f"{relay.host} can't be reached: {(error.strerror or 'no connection').lower()}.") from None


def compose(relay: Relay, mail: Mail, now_ms: int | None = None) -> bytes:
    """The mail as it goes over the wire (RFC 5322), in seven bits."""
    message = EmailMessage(policy=_POLICY)
    at = datetime.now(UTC) if now_ms is None else datetime.fromtimestamp(now_ms / 1000, UTC)
    message["From"] = formataddr(("Columba", relay.sender))
    message["To"] = ", ".join(mail.to)
    message["Subject"] = " ".join(mail.subject.split())[:300] or "(no subject)"
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{mail.id}@{relay.sender.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: out-of-office robots keep quiet
    for name, value in mail.headers.items():
        message[name] = value
    message.set_content(mail.text.encode("utf-8", "replace").decode(), charset="utf-8")
    return message.as_bytes()


class _Wire(asyncio.Protocol):
    """The connection, line by line. Nothing that came before TLS is taken for something that came after."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > LONGEST_REPLY * MOST_LINES:
            self.transport.abort()
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._lost.set()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def reply(self) -> tuple[int, list[str]]:
        """RFC 5321 §4.2.1: the code, and the text of each line."""
        lines: list[str] = []
        while True:
            line = await self._line()
            if len(line) < 3 or not line[:3].isdigit() or len(lines) >= MOST_LINES:
                raise MailError("What answers is no mail server.")
            lines.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), lines

    async def _line(self) -> str:
        while (end := self._buffer.find(b"\n")) < 0:
            if self._ended or len(self._buffer) > LONGEST_REPLY:
                raise MailError("The mail server ended the connection.")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        line = self._buffer[:end].rstrip(b"\r").decode("utf-8", "replace")
        del self._buffer[: end + 1]
        return line

    async def ask(self, command: str, *wanted: int) -> tuple[int, list[str]]:
        self.transport.write(command.encode() + b"\r\n")
        return await self.expect(*wanted)

    async def expect(self, *wanted: int) -> tuple[int, list[str]]:
        code, lines = await self.reply()
        if code not in wanted:
            raise _refused(code, lines)
        return code, lines

    async def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        if self._buffer:  # somebody in between speaks for the server
            raise MailError("The mail server spoke before encryption was agreed.")
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(self.transport, self, context, server_hostname=host)
        except BaseException:
            self._lost.set()  # nobody says so, the handshake ended it
            raise
        if transport is None:
            raise MailError("The mail server ended the connection.")
        self.transport = transport

    async def close(self) -> None:
        if not self._ended:
            self.transport.write(b"QUIT\r\n")
        self.transport.close()
        try:
            await asyncio.wait_for(self._lost.wait(), GOODBYE_S)
        except TimeoutError:  # its last words are not read
            self.transport.abort()
            await asyncio.sleep(0)


async def _connect(relay: Relay) -> _Wire:
    loop = asyncio.get_running_loop()
    context = await asyncio.to_thread(_context, relay.ca) if relay.tls == "start" else None
    _, wire = await loop.create_connection(
        _Wire, relay.host, relay.port, ssl=context, server_hostname=relay.host if context else None
    )
    return wire


def _context(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError):
        raise MailError(f"The file {Path(ca).name} of smtp_ca can't be read as certificates.") from None


async def _greet(wire: _Wire, relay: Relay) -> None:
    await wire.expect(220)
    we = f"EHLO {relay.sender.partition('@')[2]}"
    _, offers = await wire.ask(we, 250)
    if relay.tls == "upgrade":
        if not any(offer.upper() == "STARTTLS" for offer in offers):
            raise MailError(f"{relay.host} offers no STARTTLS; `?tls=off` in smtp_url does without.")
        await wire.ask("STARTTLS", 220)
        await wire.encrypt(await asyncio.to_thread(_context, relay.ca), relay.host)
        _, offers = await wire.ask(we, 250)
    if relay.user:
        await _log_in(wire, relay, offers)


async def _hand_over(wire: _Wire, relay: Relay, mail: Mail, body: bytes) -> None:
    await wire.ask(f"MAIL FROM:<{relay.sender}>", 250)
    refused: list[str] = []
    for address in mail.to:
        try:
            await wire.ask(f"RCPT TO:<{address}>", 250, 251)
        except MailError as error:
            if not error.final:  # nothing has been sent yet: all of them another time
                raise
            refused.append(f"{address}: {error.detail}")
    if len(refused) == len(mail.to):
        raise MailError("; ".join(refused)[:1_000], final=True)
    await wire.ask("DATA", 354)
    # RFC 5321 §4.5.2: a line that is a dot alone would be the end
    wire.transport.write(re.sub(rb"(?m)^\.", b"..", body).rstrip(b"\r\n") + b"\r\n.\r\n")
    await wire.expect(250)
    if refused:
        raise MailError(f"The others have it; {'; '.join(refused)}"[:1_000], final=True)


async def _log_in(wire: _Wire, relay: Relay, offers: list[str]) -> None:
    """RFC 4954; PLAIN, or LOGIN for servers that know no other."""
    known = {word.upper() for offer in offers if offer.upper().startswith("AUTH") for word in re.split(r"[ =]", offer)}
    try:
        if "PLAIN" in known:
            await wire.ask(f"AUTH PLAIN {_base64(f'{chr(0)}{relay.user}{chr(0)}{relay.password}')}", 235)
        elif "LOGIN" in known:
            await wire.ask("AUTH LOGIN", 334)
            await wire.ask(_base64(relay.user), 334)
            await wire.ask(_base64(relay.password), 235)
        else:
            raise MailError(f"{relay.host} offers no login by PLAIN or LOGIN.")
    except MailError as error:
        # Whatever it is, it is about the operator's settings: it may be mended while mail waits.
        raise MailError(f"{relay.host} let us not log in: {error.detail}") from None


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _refused(code: int, lines: list[str]) -> MailError:
    text = _printable(" ".join(lines))[:300]
    return MailError(f"The mail server answered {code} {text}".rstrip(), final=500 <= code < 600)


def _printable(text: str) -> str:
    return _SAFE.sub("?", text)
