"""Access tokens: RFC 6749's shapes, never more than the key, and never for longer than it."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import msgspec
import pytest

from columba.core.status import TEST
from columba.errors import Refusal
from columba.keys import new_secret
from columba.keys.tokens import PREFIX
from columba.vault import Vault
from tests.keys.house import DAY, HOUR, START, Clock, House, Made, Reply, house

TOKEN = "/v1/oauth/token"
GRANT = "grant_type=client_credentials"


def basic(made: Made) -> dict[str, str]:
    pair = f"{quote_plus(made.key.key_id)}:{quote_plus(made.secret)}"
    return {"authorization": "Basic " + b64encode(pair.encode()).decode()}


async def token(small: House, made: Made, more: str = "") -> Reply:
    reply = await small.ask("POST", TOKEN, GRANT + more, headers=basic(made))
    assert reply.status == 200
    return reply


async def test_a_token_stands_for_its_key(small: House) -> None:
    made = await small.make("keys:read", "messages:write")
    reply = await token(small, made)
    assert reply.json | {"access_token": ""} == {
        "access_token": "",
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "keys:read messages:write",
    }
    assert (reply.headers["cache-control"], reply.headers["pragma"]) == ("no-store", "no-cache")
    bearer = reply.json["access_token"]
    assert bearer.startswith(PREFIX)
    assert made.secret not in bearer
    assert (await small.ask("GET", "/v1/keys", key=bearer)).json["data"][0]["id"] == made.key.key_id
    caller, _ = small.auth.caller({}, f"Bearer {bearer}".encode())
    assert caller.key_id == made.key.id


async def test_the_client_may_be_named_in_the_form(small: House) -> None:
    made = await small.make()
    reply = await small.ask(
        "POST", TOKEN, f"{GRANT}&client_id={made.key.key_id}&client_secret={made.secret}&audience=x"
    )
    assert reply.status == 200


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("", "keys:read messages:read messages:write"),
        ("&scope=", "keys:read messages:read messages:write"),  # §3.2: without a value, as if left out
        ("&scope=messages:read", "messages:read"),
        ("&scope=messages:read+messages:write", "messages:read messages:write"),
        ("&scope=messages:*", "messages:read messages:write"),
    ],
)
async def test_a_token_may_have_fewer_scopes(small: House, asked: str, granted: str) -> None:
    made = await small.make("messages:*", "keys:read")
    reply = await token(small, made, asked)
    assert reply.json["scope"] == granted
    key = small.auth.key({b"authorization": f"Bearer {reply.json['access_token']}".encode()}, "")
    assert key.scopes == set(granted.split())


async def test_a_token_has_no_scope_that_was_taken_from_its_key(small: House) -> None:
    made = await small.make("messages:read", "keys:read", "keys:write")
    bearer = (await token(small, made, "&scope=messages:read+keys:read")).json["access_token"]
    await small.keys.update(made.key.id, scopes=["keys:read"])
    assert (await small.ask("GET", "/v1/keys", key=bearer)).status == 200
    await small.keys.update(made.key.id, scopes=["keys:write"])
    assert (await small.ask("GET", "/v1/keys", key=bearer)).status == 401


SECRET: dict[str, Any] = {"form": f"{GRANT}&client_id={{id}}&client_secret={{secret}}"}
BASIC: dict[str, Any] = {"basic": True}


@pytest.mark.parametrize(
    ("asked", "status", "error"),
    [
        (BASIC | {"form": "scope=messages:read"}, 400, "invalid_request"),
        (BASIC | {"form": "grant_type="}, 400, "invalid_request"),
        (BASIC | {"form": f"{GRANT}&{GRANT}"}, 400, "invalid_request"),
        (BASIC | {"form": "grant_type=%ff"}, 400, "invalid_request"),
        (BASIC | {"form": GRANT + "&x=1" * 200}, 400, "invalid_request"),
        (BASIC | {"form": GRANT, "type": "application/json"}, 400, "invalid_request"),
        (BASIC | SECRET, 400, "invalid_request"),  # §2.3: one method a request
        (BASIC | {"form": f"{GRANT}&client_id=key_other"}, 400, "invalid_request"),
        (BASIC | {"form": "grant_type=password"}, 400, "unsupported_grant_type"),
        (BASIC | {"form": f"{GRANT}&scope=messages:delete"}, 400, "invalid_scope"),
        (BASIC | {"form": f"{GRANT}&scope=keys:write"}, 400, "invalid_scope"),
        (BASIC | {"form": f"{GRANT}&scope=*"}, 400, "invalid_scope"),
        ({"form": GRANT}, 401, "invalid_client"),
        ({"form": f"{GRANT}&client_id={{id}}"}, 401, "invalid_client"),
        ({"form": f"{GRANT}&client_id={{id}}&client_secret=ck_test_guess"}, 401, "invalid_client"),
        ({"form": f"{GRANT}&client_id=key_0000000000000&client_secret={{secret}}"}, 401, "invalid_client"),
        ({"form": GRANT, "authorization": "Basic !!"}, 401, "invalid_client"),
        ({"form": GRANT, "authorization": "Bearer {secret}"}, 401, "invalid_client"),
    ],
)
async def test_what_is_refused_has_the_rfcs_errors(
    small: House, asked: dict[str, Any], status: int, error: str
) -> None:
    made = await small.make("messages:read")
    names = {"id": made.key.key_id, "secret": made.secret}
    more = basic(made) if asked.get("basic") else {}
    if "authorization" in asked:
        more["authorization"] = asked["authorization"].format(**names)
    more |= {"content-type": asked["type"]} if "type" in asked else {}
    reply = await small.ask("POST", TOKEN, asked["form"].format(**names), headers=more)
    assert (reply.status, reply.json["error"]) == (status, error)
    assert reply.json["error_description"]
    assert made.secret not in json.dumps(reply.json)
    assert (reply.headers.get("www-authenticate", "")[:5] == "Basic") is (status == 401)
    assert reply.headers["content-type"] == "application/json"


async def test_a_token_lasts_an_hour(small: House, clock: Clock) -> None:
    bearer = (await token(small, await small.make())).json["access_token"]
    clock.now += HOUR - 1
    assert (await small.ask("GET", "/v1/keys", key=bearer)).status == 200
    clock.now += 1
    reply = await small.ask("GET", "/v1/keys", key=bearer)
    assert (reply.status, reply.json["detail"]) == (401, "The token has expired.")


async def test_a_token_ends_with_its_key(small: House, clock: Clock) -> None:
    made = await small.make(expires_at=START + 60_000)
    reply = await token(small, made)
    assert reply.json["expires_in"] == 60
    await small.keys.update(made.key.id, expires_at=START + DAY)
    clock.now += 60_000
    assert (await small.ask("GET", "/v1/keys", key=reply.json["access_token"])).status == 401
    again = (await token(small, made)).json["access_token"]
    assert (await small.ask("GET", "/v1/keys", key=again)).status == 200
    await small.keys.revoke(made.key.id)
    assert (await small.ask("GET", "/v1/keys", key=again)).status == 401
    refused = await small.ask("POST", TOKEN, GRANT, headers=basic(made))
    assert (refused.status, refused.json["error"]) == (401, "invalid_client")


async def test_a_token_ends_with_the_secret_that_it_was_got_with(small: House, clock: Clock) -> None:
    made = await small.make()
    bearer = (await token(small, made)).json["access_token"]
    new = Made(made.key, new_secret(TEST, lambda size: b"\x01" * size))
    await small.keys.rotate(made.key.id, new.secret, 60)
    later = (await token(small, new)).json["access_token"]
    assert (await small.ask("GET", "/v1/keys", key=bearer)).status == 200
    clock.now += 60_000
    assert (await small.ask("GET", "/v1/keys", key=bearer)).status == 401
    assert (await small.ask("GET", "/v1/keys", key=later)).status == 200


async def test_only_a_token_is_a_token(small: House, clock: Clock, tmp_path: Path) -> None:
    """Neither an altered one, nor one of another installation, nor whatever else the vault may have sealed."""
    made = await small.make()
    bearer = (await token(small, made)).json["access_token"]
    body = msgspec.json.encode([made.key.id, made.key.secret_hash[:16], START + HOUR, None]).decode()
    async with house(tmp_path / "other", clock, vault=Vault(b"o" * 32)) as other:
        foreign = (await token(other, await other.make())).json["access_token"]
    for forged in (
        bearer[:-6] + ("A" if bearer[-6] != "A" else "B") + bearer[-5:],
        bearer[:-4],
        foreign,
        PREFIX + small.vault.seal(body),
        PREFIX + small.vault.seal("token " + body),
        PREFIX + small.vault.seal("\x00token {}"),
    ):
        with pytest.raises(Refusal) as refused:
            small.auth.key({b"authorization": f"Bearer {forged}".encode()}, "")
        assert refused.value.code == "unauthorized"


async def test_guessing_secrets_here_counts_as_everywhere(small: House) -> None:
    made = await small.make()
    guess = Made(made.key, "ck_test_guess")
    replies = [await small.ask("POST", TOKEN, GRANT, headers=basic(guess)) for _ in range(51)]
    assert [reply.status for reply in replies] == [401] * 50 + [429]
    assert replies[-1].headers["retry-after"] == "60"
    assert (await small.ask("GET", "/v1/keys", key="ck_test_guess")).status == 429
    assert (await token(small, made)).status == 200


async def test_a_form_that_is_too_large_is_refused(small: House) -> None:
    reply = await small.ask("POST", TOKEN, "x=" + "y" * 20_000)
    assert (reply.status, reply.json["code"]) == (413, "payload_too_large")
