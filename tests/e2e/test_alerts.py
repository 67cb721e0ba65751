"""Alerts through the real program: what failed is told by mail although the program was killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.alerts.postbox import Postbox
from tests.e2e.talk import ended, get, number, send
from tests.http.egress.peer import Authority
from tests.program import Program, eventually

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the mail server's library
OPS = "ops@example.org"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postbox, Path]]:
    folder = tmp_path_factory.mktemp("mail")
    authority = Authority(folder)
    (folder / "ca.pem").write_bytes(authority.pem)
    context = authority.server("127.0.0.1")
    with Postbox(("columba", "s3cret"), tls_context=context, require_starttls=True) as running:
        yield running, folder / "ca.pem"


@pytest.fixture(scope="module")
def columba(box: tuple[Postbox, Path]) -> Iterator[Program]:
    env = {
        "COLUMBA_SMTP_URL": f"smtp://columba:s3cret@127.0.0.1:{box[0].port}",
        "COLUMBA_SMTP_SENDER": "columba@example.org",
        "COLUMBA_SMTP_CA": str(box[1]),
    }
    with Program(env=env) as program:
        yield program


def test_what_failed_is_told_although_the_program_was_killed(columba: Program, box: tuple[Postbox, Path]) -> None:
    body = {"name": "Texts", "on": ["message.undelivered"], "wait": 2, "channels": [{"kind": "email", "to": [OPS]}]}
    made = columba.request("POST", "/v1/alerts", body)
    assert made.status == 201, made
    sent = send(columba, number()[:-4] + "0002")
    ended(columba, sent["id"], "undelivered")
    columba.kill9()
    columba.start()
    (letter,) = eventually(lambda: box[0].letters)
    assert sent["id"] in letter.text
    assert box[0].logins[-1] == ("columba", "s3cret")
    (notice,) = get(columba, f"/v1/alerts/{made.json['id']}/notices")["data"]
    eventually(lambda: get(columba, f"/v1/alerts/{made.json['id']}/notices")["data"][0]["status"] == "sent")
    assert notice["recipient"] == OPS
    assert "s3cret" not in columba.log
