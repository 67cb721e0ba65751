"""A real mail server on a loopback address: it keeps what it is given, or refuses it as it is told."""

import email
import email.policy
import time
import warnings
from collections import deque
from email.message import EmailMessage
from typing import Any, NamedTuple, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.keeper import free_port


class Letter(NamedTuple):
    sender: str
    to: list[str]
    message: EmailMessage

    @property
    def text(self) -> str:
        return str(self.message.get_content()).replace("\r\n", "\n")


class Postbox:
    """`rcpt` and `data` are what it answers, one after the other, before it takes everything."""

    def __init__(self, login: tuple[str, str] | None = None, **options: Any) -> None:
        self.letters: list[Letter] = []
        self.rcpt: deque[str] = deque()
        self.data: deque[str] = deque()
        self.delay = 0.0
        self.logins: list[tuple[str, str]] = []
        self.refuses: dict[str, str] = {}
        self._login = login
        if login is not None:
            options |= {"authenticator": self._authenticate, "auth_required": True}
        self.port = free_port()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a login without TLS
            self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
            self._controller.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        self.logins.append(given)
        return AuthResult(success=given == self._login, handled=False)  # it answers by itself

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.rcpt:
            return self.rcpt.popleft()
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.delay:
            time.sleep(self.delay)  # in its own thread
        if self.data:
            return self.data.popleft()
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.letters.append(Letter(envelope.mail_from, envelope.rcpt_tos, message))
        return "250 OK"
