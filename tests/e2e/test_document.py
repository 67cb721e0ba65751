"""The running server keeps to its own document, whatever schemathesis thinks of: no 5xx, and every answer as described."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import Program

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
# Left out: that data of the right shape is always accepted (a number can have the shape and not exist), and that a bad
# key is always told so (after a hundred of them the address is told to wait).
LEFT_OUT = ("positive_data_acceptance", "ignored_auth")


def tags(*names: str) -> list[str]:
    return [word for name in names for word in ("--include-tag", name)]


RUNS = {
    # All but the stream, which has no end.
    "sending": [
        *tags("Messages", "Events", "Webhooks", "Numbers", "Sandbox", "Operation", "Media"),
        *("--exclude-path", "/v1/events/stream", "--exclude-path", "/v1/messages/batch"),
    ],
    "receiving": tags("Rules", "Destinations", "Forwards", "Secrets", "Alerts"),
    "rights": tags("Consent", "Content", "Quiet hours", "Templates", "Verifications", "Privacy", "Audit"),
    # What only a live key may do.
    "live": [
        *tags("Carriers", "Keys", "Routes", "Senders", "Spend", "SMPP"),
        *("--exclude-path", "/v1/smpp/trace", "--exclude-path", "/v1/carriers/{id}/trace"),
    ],
    # A bad row refuses itself and not the batch.
    "batch": ["--include-path", "/v1/messages/batch"],
}


@pytest.mark.parametrize("run", RUNS)
def test_the_server_keeps_to_its_document(tmp_path: Path, run: str) -> None:
    left_out = [*LEFT_OUT, *(["negative_data_rejection"] if run == "batch" else [])]
    with Program() as columba:
        key = columba.live_key if run == "live" else columba.test_key
        # One worker: Python 3.11 can't parse source in two threads at once, which hypothesis does to name things.
        command = [
            str(SCHEMATHESIS), "run", f"{columba.url}/v1/openapi.json", "--url", columba.url,
            "--header", f"Authorization: Bearer {key}", "--phases", "examples,coverage,fuzzing", "--seed", "1",
            "--max-examples", "8", "--checks", "all", "--exclude-checks", ",".join(left_out), "--workers", "1",
            "--request-timeout", "15", "--no-color", *RUNS[run],
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
        assert columba.request("GET", "/readyz", key="").status == 200
        assert "request_failed" not in columba.log
