"""Mail reaches a real server, whole and once; what the server says is told; no secret goes to a stranger."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from columba import mail
from columba.cli.doctor.outside import mail_server
from columba.mail import Mail, MailError, Relay, compose, read_relay, send_mail
from columba.settings import Settings
from tests.alerts.postbox import Postbox
from tests.http.egress.peer import Authority

# What the server's own library says of itself, in its thread.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
]
MAIL = Mail("ntc_1", ("ann@example.org",), "A carrier is down", "It went down.\n.\n..two dots\nGrüße\n" + "x" * 2_000)


def relay(port: int, scheme: str = "smtp", who: str = "", query: str = "?tls=off", ca: str = "") -> Relay:
    found = read_relay(f"{scheme}://{who}127.0.0.1:{port}{query}", "columba@example.org", ca)
    assert found is not None
    return found


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def ca(authority: Authority, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.pem)
    return str(path)


async def test_a_mail_comes_as_it_was_written() -> None:
    with Postbox() as box:
        await send_mail(relay(box.port), MAIL, 0)
    (letter,) = box.letters
    assert (letter.sender, letter.to) == ("columba@example.org", ["ann@example.org"])
    assert letter.text == MAIL.text + ("" if MAIL.text.endswith("\n") else "\n")
    assert letter.message["Subject"] == "A carrier is down"
    assert letter.message["Message-ID"] == "<ntc_1@example.org>"
    assert letter.message["Date"] == "Thu, 01 Jan 1970 00:00:00 +0000"
    assert letter.message["Auto-Submitted"] == "auto-generated"


def test_a_subject_makes_no_header_and_all_is_seven_bits() -> None:
    body = compose(relay(1), MAIL._replace(subject="Grüße\r\nBcc: eve@example.org\n"), 0)
    assert body.isascii()
    assert max(map(len, body.split(b"\r\n"))) <= 998
    assert not any(line.lower().startswith(b"bcc:") for line in body.split(b"\r\n"))
    assert b"\n" not in body.replace(b"\r\n", b"")


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_over_tls_with_a_login(authority: Authority, ca: str, scheme: str) -> None:
    context = authority.server("127.0.0.1")
    options: dict[str, Any] = (
        {"tls_context": context, "require_starttls": True} if scheme == "smtp" else {"ssl_context": context}
    )
    if scheme == "smtps":
        options["auth_require_tls"] = False  # it doesn't see that it is there
    with Postbox(("ann@work", "p@ss: wörd"), **options) as box:
        to = relay(box.port, scheme, "ann%40work:p%40ss%3A%20w%C3%B6rd@", "", ca)
        await send_mail(to, MAIL)
        assert box.logins == [("ann@work", "p@ss: wörd")]
        with pytest.raises(MailError) as refused:
            await send_mail(to._replace(password="wrong"), MAIL)
        assert "535" in refused.value.detail
        assert "wrong" not in str(refused.value) + repr(to._replace(password="wrong"))
        assert not refused.value.final  # the operator may mend it while mail waits
    assert len(box.letters) == 1


async def test_a_server_that_nobody_vouches_for_is_told_nothing(authority: Authority, ca: str) -> None:
    context = authority.server("elsewhere.example.org")
    with Postbox(("ann", "secret"), tls_context=context, require_starttls=True) as box:
        with pytest.raises(MailError, match="can't be trusted"):
            await send_mail(relay(box.port, "smtp", "ann:secret@", "", ca), MAIL)
        with pytest.raises(MailError, match="can't be trusted"):
            await send_mail(relay(box.port, "smtp", "ann:secret@", "", ""), MAIL)
        assert (box.logins, box.letters) == ([], [])


async def test_without_starttls_nothing_is_said_unless_the_operator_wants_it() -> None:
    with Postbox(("ann", "secret"), auth_require_tls=False) as box:
        with pytest.raises(MailError, match="offers no STARTTLS"):
            await send_mail(relay(box.port, "smtp", "ann:secret@", ""), MAIL)
        assert (box.logins, box.letters) == ([], [])
        await send_mail(relay(box.port, "smtp", "ann:secret@"), MAIL)
        assert len(box.letters) == 1


@pytest.mark.parametrize(
    ("rcpt", "data", "final"),
    [
        (["450 4.2.0 Greylisted, try again"], [], False),
        (["550 5.1.1 No such user"], [], True),
        ([], ["452 4.3.1 Mailbox full"], False),
        ([], ["554 5.7.1 Spam"], True),
    ],
)
async def test_what_the_server_says_decides_about_another_try(rcpt: list[str], data: list[str], final: bool) -> None:
    with Postbox() as box:
        box.rcpt.extend(rcpt)
        box.data.extend(data)
        with pytest.raises(MailError) as refused:
            await send_mail(relay(box.port), MAIL)
        assert refused.value.final is final
        assert (rcpt + data)[0] in refused.value.detail
        await send_mail(relay(box.port), MAIL)
    assert len(box.letters) == 1


async def test_one_bad_address_keeps_it_from_nobody_else() -> None:
    with Postbox() as box:
        box.refuses = {"bob@example.org": "550 5.1.1 No such user"}
        mail = MAIL._replace(to=("ann@example.org", "bob@example.org", "eve@example.org"))
        with pytest.raises(MailError, match=r"bob@example\.org") as refused:
            await send_mail(relay(box.port), mail)
        assert refused.value.final  # it would come twice to the others
    assert [letter.to for letter in box.letters] == [["ann@example.org", "eve@example.org"]]


@pytest.mark.parametrize(
    "address", ["ann", "ann@", "a b@example.org", "<a@b.c>", "a@b.c\r\nRCPT TO:<x@y.z>", "ü@b.c", ""]
)
async def test_what_is_no_address_is_never_said(address: str) -> None:
    with Postbox() as box:
        with pytest.raises(MailError) as refused:
            await send_mail(relay(box.port), MAIL._replace(to=(address,)))
        assert refused.value.final
        assert "\r" not in refused.value.detail


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[int]:
    """A server that says these, one for each line it hears, and then nothing."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for answer in answers:
                writer.write(answer)
                await reader.readline()
            await reader.read()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n"], "no mail server"),
        ([b"554 go away\r\n"], "554 go away"),
        ([b"220 " + b"x" * 500_000], "ended the connection"),
        ([b"220 hi\r\n", b"250-x\r\n" * 200], "no mail server"),
        # Somebody in between adds a line that would be taken for the server's.
        ([b"220 hi\r\n", b"250-h\r\n250 STARTTLS\r\n", b"220 go on\r\n250 AUTH PLAIN\r\n"], "before encryption"),
    ],
)
async def test_a_server_that_makes_no_sense_ends_nothing_but_the_attempt(answers: list[bytes], said: str) -> None:
    async with scripted(*answers) as port:
        with pytest.raises(MailError, match=said):
            await send_mail(relay(port, "smtp", "ann:secret@", ""), MAIL)


async def test_a_slow_server_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "WHOLE_S", 0.2)
    async with scripted(b"220 hi\r\n") as port:
        with pytest.raises(MailError, match="too long") as refused:
            await send_mail(relay(port), MAIL)
    assert not refused.value.final


async def test_a_server_that_is_not_there() -> None:
    with pytest.raises(MailError, match="can't be reached") as refused:
        await send_mail(relay(9), MAIL)
    assert not refused.value.final


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [
        ("smtp://a.b", 587, "upgrade"),
        ("smtps://a.b", 465, "start"),
        ("smtp://a.b?tls=off", 25, "none"),
        ("smtp://a.b:26", 26, "upgrade"),
    ],
)
def test_the_setting(url: str, port: int, tls: str) -> None:
    found = read_relay(url)
    assert found is not None
    assert (found.host, found.port, found.tls, found.sender) == ("a.b", port, tls, "columba@a.b")


@pytest.mark.parametrize(
    "url",
    ["a.b", "http://a.b", "smtp://", "smtp://a.b/x", "smtp://a.b?tls=no", "smtps://a.b?tls=off"],
)
def test_a_setting_that_makes_no_sense(url: str) -> None:
    with pytest.raises(ValueError):
        read_relay(url)
    assert read_relay("") is None


async def test_doctor_logs_in_and_sends_nothing(authority: Authority, ca: str) -> None:
    with Postbox(("ann", "secret"), tls_context=authority.server("127.0.0.1"), require_starttls=True) as box:
        await mail.probe(relay(box.port, "smtp", "ann:secret@", "", ca))
        assert (box.logins, box.letters) == ([("ann", "secret")], [])
        url = f"smtp://ann:wrong@127.0.0.1:{box.port}"
        settings = Settings(smtp_url=url, smtp_ca=ca, smtp_sender="columba@example.org")
        (finding,) = await asyncio.to_thread(lambda: list(mail_server(settings)))
        assert (finding.state, "log in" in finding.text, "wrong" in finding.text) == ("fail", True, False)
        good = Settings(smtp_url=url.replace("wrong", "secret"), smtp_ca=ca, smtp_sender="columba@example.org")
        (finding,) = await asyncio.to_thread(lambda: list(mail_server(good)))
        assert finding.state == "ok"
