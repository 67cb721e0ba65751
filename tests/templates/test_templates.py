"""Templates: made, approved, revised, filled in, previewed."""

from typing import Any

from tests.api import Api, Columba
from tests.http.client import Reply

TO = "+447700900123"
SHIPPED: dict[str, Any] = {
    "name": "order_shipped",
    "versions": [
        {"language": "en", "text": "Hi {{ name }}, order {{ order }} is on its way."},
        {"language": "de", "text": "Hallo {{ name }}, Bestellung {{ order }} ist unterwegs."},
        {"language": "pt-br", "text": "Oi {{ name }}, pedido {{ order }}."},
    ],
    "params": {"name": {"default": "there", "max_length": 10}, "order": {"type": "integer", "min": 1}},
}


async def make(api: Api, key: str | None = None, **changes: Any) -> Any:
    reply = await api("POST", "/v1/templates", {**SHIPPED, **changes}, key=key)
    assert reply.status == 201, reply.json
    return reply.json


async def send(api: Api, template: str = "order_shipped", key: str | None = None, **more: Any) -> Reply:
    return await api("POST", "/v1/messages", {"to": TO, "template": template, **more}, key=key)


async def text(api: Api, **more: Any) -> str:
    reply = await send(api, **more)
    assert reply.status == 202, reply.json
    said: str = reply.json["text"]
    return said


async def test_it_is_sent_by_name_and_by_id(columba: Columba) -> None:
    api = columba.whole
    made = await make(api)
    assert (made["state"], made["revision"], made["approved_revision"]) == ("approved", 1, 1)
    assert made["params"]["order"] == {"type": "integer", "min": 1.0}
    for name in ("order_shipped", made["id"]):
        said = await text(api, template=name, params={"name": "Ada", "order": 7})
        assert said == "Hi Ada, order 7 is on its way."


LANGUAGES = {"en": "Hi", "de": "Hallo", "de-AT": "Hallo", "DE-at": "Hallo", "pt-BR": "Oi", "pt": "Hi", "fr": "Hi"}


async def test_languages_fall_back(small: Columba) -> None:
    await make(small.whole)
    for language, begins in LANGUAGES.items():
        said = await text(small.whole, params={"order": 1}, language=language)
        assert said.startswith(f"{begins} there"), language


WRONG: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({}, [("params.order", "required")]),
    ({"params": {"order": "7"}}, [("params.order", "wrong_type")]),
    ({"params": {"order": 0}}, [("params.order", "out_of_range")]),
    ({"params": {"order": True}}, [("params.order", "wrong_type")]),
    ({"params": {"order": 1, "name": "x" * 11}}, [("params.name", "too_long")]),
    ({"params": {"order": 1, "name": "bell\x07"}}, [("params.name", "invalid_text")]),
    ({"params": {"name": 1, "who": "x"}}, [
        ("params.name", "wrong_type"), ("params.who", "unknown_field"), ("params.order", "required"),
    ]),
    ({"params": {"order": 1}, "text": "Hi"}, [("text", "invalid_value")]),
    ({"params": {"order": 1}, "template": "no_such"}, [("template", "unknown_template")]),
    ({"params": {"order": 1}, "to": "12"}, [("to", "invalid_number")]),
    ({"params": {"order": {"a": 1}}}, [("params.order", "wrong_type")]),
]  # fmt: skip


async def test_every_problem_of_the_values_is_named(small: Columba) -> None:
    api = small.whole
    await make(api)
    for asked, fields in WRONG:
        reply = await send(api, **asked)
        assert (reply.status, reply.json["code"]) == (422, "invalid_request"), asked
        assert sorted(reply.fields) == sorted(fields), (asked, reply.json)


async def test_in_a_batch_rows_have_their_own_values(columba: Columba) -> None:
    api = columba.whole
    await make(api)
    body = {
        "defaults": {"template": "order_shipped", "params": {"name": "Ada"}, "language": "de"},
        "messages": [
            {"to": TO, "params": {"order": 1}},
            {"to": TO},
            {"to": TO, "params": {"order": 2, "name": None}, "language": "en"},
            {"to": TO, "template": None, "text": "Plain"},
            {"to": TO, "params": {"order": 3}, "text": "both"},
        ],
    }
    answer = (await api("POST", "/v1/messages/batch", body)).json
    assert (answer["accepted"], answer["refused"]) == (3, 2)
    assert [row.get("error", {}).get("code") for row in answer["data"]] == [
        None,
        "required",
        None,
        None,
        "invalid_value",
    ]
    sent = (await api("GET", f"/v1/messages?batch_id={answer['batch_id']}")).json["data"]
    assert {each["text"] for each in sent} == {
        "Hallo Ada, Bestellung 1 ist unterwegs.", "Hi there, order 2 is on its way.", "Plain",
    }  # fmt: skip


async def test_it_is_bound_to_a_class_and_a_sender(small: Columba) -> None:
    api = small.whole
    bound = {"class": "marketing", "from": "+12025550100"}
    await make(api, **bound)
    shown = (await send(api, params={"order": 1})).json
    assert (shown["class"], shown["from"]) == ("marketing", "+12025550100")
    assert (await send(api, params={"order": 1}, **bound)).status == 202
    for other in ({"class": "otp"}, {"class": "transactional"}, {"from": "Shop"}):
        reply = await send(api, params={"order": 1}, **other)
        assert reply.fields == [(next(iter(other)), "invalid_value")]


async def test_a_draft_is_not_sent_and_an_older_revision_takes_a_change_back(columba: Columba) -> None:
    api = columba.whole
    writer = await columba.key(scopes=["templates:write", "templates:read", "messages:write"])
    made = await make(api, key=writer)
    assert (made["state"], made["approved_revision"]) == ("draft", None)
    assert (await send(api, params={"order": 1})).fields == [("template", "unknown_template")]
    assert (await api("POST", "/v1/templates/order_shipped/approve", key=writer)).status == 403
    assert (await api("POST", "/v1/templates", {**SHIPPED, "draft": False}, key=writer)).status == 403
    assert (await api("POST", "/v1/templates/order_shipped/approve")).json["state"] == "approved"
    change = {"versions": [{"language": "en", "text": "New: {{ order }}"}]}
    changed = (await api("PATCH", "/v1/templates/order_shipped", change, key=writer)).json
    assert (changed["state"], changed["revision"], changed["approved_revision"]) == ("draft", 2, 1)
    assert (await text(api, params={"order": 1})).startswith("Hi")
    await api("POST", "/v1/templates/order_shipped/approve", {"revision": 2})
    assert await text(api, params={"order": 1}) == "New: 1"
    assert (await api("POST", "/v1/templates/order_shipped/approve", {"revision": 1})).json["state"] == "draft"
    assert (await text(api, params={"order": 1})).startswith("Hi")
    reply = await api("POST", "/v1/templates/order_shipped/approve", {"revision": 3})
    assert reply.fields == [("revision", "invalid_value")]
    revisions = (await api("GET", "/v1/templates/order_shipped/revisions")).json["data"]
    assert [each["revision"] for each in revisions] == [2, 1]
    assert all(each["approved_by"].startswith("key_") for each in revisions)
    await api("POST", "/v1/templates/order_shipped/withdraw")
    assert (await send(api, params={"order": 1})).fields == [("template", "unknown_template")]


async def test_it_is_given_another_name_by_its_name(columba: Columba) -> None:
    api = columba.whole
    made = await make(api)
    reply = await api("PATCH", "/v1/templates/order_shipped", {"name": "sent"})
    assert (reply.status, reply.json["name"], reply.json["revision"]) == (200, "sent", 1)
    assert (await api("GET", "/v1/templates/sent")).json["id"] == made["id"]
    assert (await api("GET", "/v1/templates/order_shipped")).status == 404


async def test_names_are_each_accounts_own(columba: Columba) -> None:
    api = columba.whole
    made = await make(api)
    reply = await api("POST", "/v1/templates", SHIPPED)
    assert (reply.status, reply.json["code"]) == (409, "conflict")
    await make(api, key=columba.live_key, draft=True)
    other = await columba.key(account_id=await columba.another_account())
    assert (await api("GET", f"/v1/templates/{made['id']}", key=other)).status == 404
    assert (await send(api, made["id"], key=other, params={"order": 1})).status == 422
    second = await make(api, name="second")
    reply = await api("PATCH", f"/v1/templates/{second['id']}", {"name": "order_shipped"})
    assert reply.json["code"] == "conflict"
    assert (await api("PATCH", f"/v1/templates/{second['id']}", {"name": "third"})).json["name"] == "third"
    listed = (await api("GET", "/v1/templates?limit=1")).json
    assert [each["name"] for each in listed["data"]] == ["third"]
    listed = (await api("GET", f"/v1/templates?cursor={listed['next_cursor']}")).json
    assert [each["name"] for each in listed["data"]] == ["order_shipped"]
    assert (await api("GET", "/v1/templates?name=third")).json["data"][0]["id"] == second["id"]
    assert (await api("DELETE", "/v1/templates/third")).status == 204
    assert (await api("GET", "/v1/templates/third")).status == 404


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "a b"}, "name", "invalid_value"),
    ({"versions": []}, "versions", "too_few"),
    ({"versions": [{"language": "english", "text": "x"}]}, "versions[0].language", "invalid_value"),
    ({"versions": [{"language": "en", "text": "x"}, {"language": "EN", "text": "y"}]}, "versions[1].language", ""),
    ({"versions": [{"language": "en", "text": "{{ order"}]}, "versions[0].text", "invalid_value"),
    ({"versions": [{"language": "en", "text": "{{ order() }}"}]}, "versions[0].text", "invalid_value"),
    ({"versions": [{"language": "en", "text": "{{ other }}"}]}, "versions[0].text", "invalid_value"),
    ({"default_language": "fr"}, "default_language", "invalid_value"),
    ({"params": {"order": "decimal"}}, "params.order", "invalid_value"),
    ({"params": {"9": "string"}}, "params.9", "invalid_value"),
    ({"params": {"order": {"type": "integer", "default": "x"}}}, "params.order.default", "wrong_type"),
    ({"params": {"order": {"min": 2, "max": 1}}}, "params.order", "out_of_range"),
    ({"params": {"order": {"max_length": 0}}}, "params.order.max_length", "out_of_range"),
    ({"from": "a name far too long"}, "from", "invalid_sender"),
    ({"class": "spam"}, "class", "invalid_value"),
]


async def test_what_makes_no_template(small: Columba) -> None:
    for changes, field, code in BAD:
        reply = await small.whole("POST", "/v1/templates", {**SHIPPED, **changes})
        assert reply.status == 422, changes
        assert reply.fields[0][0] == field, (changes, reply.json)
        assert code in ("", "too_few", reply.fields[0][1]), (changes, reply.json)


TEXTS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("Hi {{ name }}", {}, {"name": "Ada"}, "Hi Ada"),  # names that nobody declared are required strings
    ("100 % {{ a }}%s", {"a": "number"}, {"a": 1.5}, "100 % 1.5%s"),
    ("{% if vip %}Dear {% endif %}{{ name | upper }}", {"vip": "boolean", "name": "string"}, {"vip": True, "name": "a"},
     "Dear A"),
    ("{% for i in items %}{{ i }};{% endfor %}", {"items": "list"}, {"items": ["a", 2]}, "a;2;"),
    ("{{ plan }}", {"plan": {"values": ["gold", "silver"]}}, {"plan": "gold"}, "gold"),
    ("{{ a }}{{ b }}", {"a": {"required": False}, "b": "string"}, {"b": "x"}, "x"),
    ("{{ a }}", {"a": {"gsm": True}}, {"a": "plain"}, "plain"),
    ("{{ from }} {{ order['x'] }}", {"from": "string", "order": "string"}, {"from": "a", "order": "b"}, "a "),
]  # fmt: skip


async def test_what_a_text_comes_to(small: Columba) -> None:
    for n, (template, params, values, said) in enumerate(TEXTS):
        await make(small.whole, name=f"t{n}", versions=[{"language": "en", "text": template}], params=params)
        assert await text(small.whole, template=f"t{n}", params=values) == said, template


async def test_parameters_that_nobody_declared_follow_the_text(small: Columba) -> None:
    await make(small.whole, versions=[{"language": "en", "text": "Hi {{ name }}"}], params={})
    change = {"versions": [{"language": "en", "text": "Hi {{ first }} {{ last }}"}]}
    changed = (await small.whole("PATCH", "/v1/templates/order_shipped", change)).json
    assert list(changed["params"]) == ["first", "last"]
    declared = {"params": {"first": "string", "last": {"default": ""}}}
    assert (await small.whole("PATCH", "/v1/templates/order_shipped", declared)).status == 200
    reply = await small.whole(
        "PATCH", "/v1/templates/order_shipped", {"versions": [{"language": "en", "text": "{{ x }}"}]}
    )
    assert reply.fields == [("versions[0].text", "invalid_value")]


async def test_a_text_that_never_ends_is_refused(small: Columba) -> None:
    bomb = "{% for a in l %}{% for b in l %}{% for c in l %}{{ a * 9 }}{% endfor %}{% endfor %}{% endfor %}"
    params: Any = {"l": {"type": "list", "max_length": 50}}
    reply = await small.whole(
        "POST", "/v1/templates",
        {**SHIPPED, "name": "bomb", "versions": [{"language": "en", "text": bomb}], "params": params},
    )  # fmt: skip
    if reply.status == 201:
        reply = await send(small.whole, "bomb", params={"l": [1] * 50})
    assert reply.status == 422
    assert reply.fields[0][0] in ("template", "versions[0].text")


async def test_a_preview_shows_the_sample_and_the_worst(small: Columba) -> None:
    api = small.whole
    await make(api)
    shown = (await api("POST", "/v1/templates/order_shipped/preview")).json
    assert shown["sample"] == {
        "text": "Hi there, order 42 is on its way.", "encoding": "gsm7", "segments": 1, "units": 33, "price": None,
    }  # fmt: skip
    assert shown["worst"]["encoding"] == "ucs2"  # a name may be written in any alphabet
    asked = {"params": {"name": "Ada", "order": 7}, "language": "de", "revision": 1}
    shown = (await api("POST", "/v1/templates/order_shipped/preview", asked)).json
    assert (shown["language"], shown["sample"]["text"]) == ("de", "Hallo Ada, Bestellung 7 ist unterwegs.")
    reply = await api("POST", "/v1/templates/order_shipped/preview", {"params": {"order": "x"}})
    assert reply.fields == [("params.order", "wrong_type")]
    await make(
        api,
        name="long",
        versions=[{"language": "en", "text": "{{ a }}"}],
        params={"a": {"max_length": 200, "gsm": True}},
    )
    worst = (await api("POST", "/v1/templates/long/preview")).json["worst"]
    assert (worst["encoding"], worst["segments"]) == ("gsm7", 2)


async def test_other_processes_know_of_it(columba: Columba) -> None:
    """What the store has is what a process that starts now knows."""
    await make(columba.whole)
    before = columba.app.templates.make(columba.account_id, 0, "order_shipped", {"order": 1}, None)
    columba.app.templates._rows.clear()
    await columba.app.templates._load()
    assert columba.app.templates.make(columba.account_id, 0, "order_shipped", {"order": 1}, None) == before


async def test_a_preview_tells_the_price_where_it_is_known(small: Columba) -> None:
    api = small.whole
    await make(api, name="long", versions=[{"language": "en", "text": "{{ a }}"}], params={"a": {"gsm": True}})
    asked = {"to": TO, "params": {"a": "x"}}
    assert (await api("POST", "/v1/templates/long/preview", asked)).json["worst"]["price"] is None
    reply = await api("POST", "/v1/prices", {"csv": "country,price,currency\nGB,0.04,EUR\n"})
    assert reply.status < 300, reply.json
    shown = (await api("POST", "/v1/templates/long/preview", asked)).json
    assert (shown["sample"]["price"], shown["worst"]["price"]) == ("0.04", "0.08")
