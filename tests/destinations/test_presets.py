"""Each preset against a stand-in of its system that checks the exact requests, in their order, and answers as it does."""

import base64
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from columba.forwarding.presets import presets
from columba.http.egress import Egress
from tests.destinations.standin import ID, Answer, Forwarder, Got, Shelf, destination, forwarder, problems, standing
from tests.http.egress.peer import LOOPBACK

FROM, TO, SAID = "+447700900123", "+12025550100", 'My "order" <b>12</b> & more'
MSG, AT = "msg_0000000000001", "2026-01-02T03:04:05.678Z"
TOLD = {
    "id": MSG, "from": FROM, "to": TO, "text": SAID, "media": ["https://m.test/1.jpg"], "received_at": AT, "keyword": "MY",
    "groups": {"order": "12"}, "contact": None, "metadata": {},
}  # fmt: skip
FULL = f"{SAID}\nhttps://m.test/1.jpg"
ESCAPED = 'My "order" &lt;b&gt;12&lt;/b&gt; &amp; more'


class Call(NamedTuple):
    """A request that is expected, and how the system answers it."""

    line: str
    body: Any
    answer: Answer = Answer(200, {})
    headers: Mapping[str, str | None] = {}


def basic(pair: str) -> dict[str, str | None]:
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def bearer(token: str) -> dict[str, str | None]:
    return {"authorization": f"Bearer {token}"}


class Case(NamedTuple):
    params: dict[str, Any]
    calls: list[Call]
    saved: dict[str, Any] = {}
    failing: Answer | None = Answer(500)  # of the last call: it is no success


TOKEN = Call(
    "POST /token", b"grant_type=client_credentials&client_id=an-id&client_secret=a-secret",
    Answer(200, {"access_token": "t0k", "instance_url": "https://acme.my.salesforce.com", "token_type": "Bearer"}),
    {"content-type": "application/x-www-form-urlencoded"},
)  # fmt: skip
ODATA = {"accept": "application/json", "odata-version": "4.0", "odata-maxversion": "4.0", "authorization": "Bearer t0k"}
HUBSPOT_FIND = Call(
    "POST /crm/v3/objects/contacts/search",
    {
        "filterGroups": [
            {"filters": [{"propertyName": "phone", "operator": "EQ", "value": FROM}]},
            {"filters": [{"propertyName": "mobilephone", "operator": "EQ", "value": FROM}]},
            {
                "filters": [
                    {"propertyName": "hs_searchable_calculated_phone_number", "operator": "EQ", "value": "7700900123"}
                ]
            },
        ],
        "properties": ["phone"],
        "limit": 1,
    },
    Answer(200, {"total": 0, "results": []}),
    bearer("pat-1"),
)
HUBSPOT_CREATE = Call(
    "POST /crm/v3/objects/contacts",
    {"properties": {"phone": FROM, "lastname": FROM}},
    Answer(201, {"id": "99"}),
    bearer("pat-1"),
)


def hubspot_log(contact: str) -> Call:
    return Call(
        "POST /crm/v3/objects/communications",
        {
            "properties": {
                "hs_communication_channel_type": "SMS",
                "hs_communication_logged_from": "CRM",
                "hs_communication_body": FULL,
                "hs_timestamp": AT,
            },
            "associations": [
                {"to": {"id": contact}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 81}]}
            ],
        },
        Answer(201, {"id": "7001"}),
        bearer("pat-1"),
    )


def dynamics_case(contact: str) -> Call:
    return Call(
        "POST /api/data/v9.2/incidents",
        {
            "title": f"SMS from {FROM}: {SAID}",
            "description": FULL,
            "caseorigincode": 1,
            "customerid_contact@odata.bind": f"/contacts({contact})",
        },
        Answer(201, {"incidentid": "i-1", "ticketnumber": "CAS-1"}),
        {**ODATA, "prefer": "return=representation"},
    )


DYNAMICS_FIND = (
    "GET /api/data/v9.2/contacts?%24select=contactid&%24top=1"
    "&%24filter=mobilephone%20eq%20%27%2B447700900123%27%20or%20telephone1%20eq%20%27%2B447700900123%27"
)
DYNAMICS_TOKEN = TOKEN._replace(
    body=lambda url: f"grant_type=client_credentials&scope={url}/.default&client_id=an-id&client_secret=a-secret".replace(
        "://", "%3A%2F%2F"
    ).replace("/.default", "%2F.default").replace("127.0.0.1:", "127.0.0.1%3A").encode()
)  # fmt: skip
SUBJECT = f"SMS from {FROM}: {SAID}"
SALESFORCE = {"domain": "acme", "client_id": "an-id", "client_secret": "a-secret", "base_url": "URL"}

CASES: dict[str, list[Case]] = {
    "webhook": [Case({"url": "URL/in"}, [Call("POST /in",
        TOLD, headers={"idempotency-key": ID, "authorization": None})])],
    "webhook_signed": [
        Case({"url": "URL/in", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, [
            Call("POST /in", TOLD, headers={"webhook-id": ID, "webhook-timestamp": "1767323045"})])
    ],
    "zendesk": [
        Case({"subdomain": "acme", "email": "a@acme.test", "api_token": "zt", "base_url": "URL/"}, [
            Call("POST /api/v2/tickets.json", {"ticket": {
                "subject": SUBJECT, "comment": {"body": FULL}, "requester": {"name": FROM, "phone": FROM},
                    "external_id": MSG,
                "tags": ["sms"]}}, Answer(201, {"ticket": {"id": 35,
                    "url": "https://acme.zendesk.com/api/v2/tickets/35.json"}}),
                {**basic("a@acme.test/token:zt"), "idempotency-key": ID})],
            {"ticket_id": 35, "ticket_url": "https://acme.zendesk.com/api/v2/tickets/35.json"})
    ],
    "freshdesk": [
        Case({"subdomain": "acme", "api_key": "fk", "priority": 3, "base_url": "URL"}, [
            Call("POST /api/v2/tickets", {
                "subject": SUBJECT, "description": "My &quot;order&quot; &lt;b&gt;12&lt;/b&gt; &amp; more<br>https://m.test/1.jpg",
                "phone": FROM, "name": FROM, "status": 2, "priority": 3, "source": 3}, Answer(201, {"id": 4}),
                    basic("fk:X"))],
            {"ticket_id": 4})
    ],
    "servicenow": [
        Case({"instance": "acme", "username": "u", "password": "pw", "base_url": "URL"}, [
            Call("POST /api/now/table/incident", {
                "short_description": SUBJECT, "comments": FULL, "contact_type": "phone", "correlation_id": MSG},
                Answer(201, {"result": {"sys_id": "ab", "number": "INC1"}}), {**basic("u:pw"),
                    "accept": "application/json"})],
            {"sys_id": "ab", "number": "INC1"})
    ],
    "hubspot": [
        Case({"access_token": "pat-1", "base_url": "URL"}, [HUBSPOT_FIND, HUBSPOT_CREATE, hubspot_log("99")],
             {"communication_id": "7001", "contact_id": "99"}),
        Case({"access_token": "pat-1", "base_url": "URL"}, [
            HUBSPOT_FIND._replace(answer=Answer(200, {"total": 1, "results": [{"id": "5"}]})), hubspot_log("5")],
            {"communication_id": "7001", "contact_id": "5"}),
    ],
    "salesforce_case": [
        Case(SALESFORCE, [
            TOKEN._replace(line="POST /services/oauth2/token"),
            Call("POST /services/data/v61.0/sobjects/Case", {
                "Subject": SUBJECT, "Description": FULL, "Origin": "Phone",
                    "SuppliedPhone": FROM, "SuppliedName": FROM},
                Answer(201, {"id": "500x", "success": True, "errors": []}), bearer("t0k"))],
            {"case_id": "500x"}, Answer(200, {"success": False, "errors": ["x"]}))
    ],
    "salesforce_lead": [
        Case({**SALESFORCE, "company": "ACME", "version": "62.0"}, [
            TOKEN._replace(line="POST /services/oauth2/token"),
            Call("POST /services/data/v62.0/sobjects/Lead", {
                "LastName": FROM, "Company": "ACME", "Phone": FROM, "MobilePhone": FROM, "LeadSource": "Other",
                "Description": FULL}, Answer(201, {"id": "00Qx", "success": True}), bearer("t0k"))],
            {"lead_id": "00Qx"})
    ],
    "odoo": [
        Case({"url": "URL/", "api_key": "ok", "database": database} if database else {"url": "URL", "api_key": "ok"}, [
            Call("POST /json/2/crm.lead/create", {"vals_list": [
                {"name": SUBJECT, "phone": FROM, "contact_name": FROM, "description": FULL}]}, Answer(200, [42]),
                {"authorization": "bearer ok", "x-odoo-database": database})], {"lead_id": 42})
        for database in ("acme", None)
    ],
    "erpnext": [
        Case({"url": "URL", "api_key": "k", "api_secret": "s3"}, [
            Call("POST /api/resource/Issue", {"subject": SUBJECT, "description": SAID}, Answer(200,
                {"data": {"name": "ISS-1"}}),
                 {"authorization": "token k:s3"})], {"name": "ISS-1"}),
        Case({"url": "URL", "api_key": "k", "api_secret": "s3", "doctype": "Lead"}, [
            Call("POST /api/resource/Lead", {"lead_name": FROM, "mobile_no": FROM, "notes": [{"note": SAID}]},
                 Answer(200, {"data": {"name": "LEAD-1"}}), {"authorization": "token k:s3"})], {"name": "LEAD-1"}),
    ],
    "dynamics365": [
        Case({"url": "URL", "tenant": "t", "client_id": "an-id", "client_secret": "a-secret",
            "token_url": "URL/token"}, [
            DYNAMICS_TOKEN, Call(DYNAMICS_FIND, b"", Answer(200, {"value": []}), ODATA),
            Call("POST /api/data/v9.2/contacts", {"lastname": FROM, "mobilephone": FROM}, Answer(201,
                {"contactid": "c-9"}),
                 {**ODATA, "prefer": "return=representation"}), dynamics_case("c-9")],
            {"case_id": "i-1", "ticket_number": "CAS-1"}),
        Case({"url": "URL", "tenant": "t", "client_id": "an-id", "client_secret": "a-secret",
            "token_url": "URL/token"}, [
            DYNAMICS_TOKEN, Call(DYNAMICS_FIND, b"", Answer(200, {"value": [{"contactid": "c-1"}]}), ODATA),
                dynamics_case("c-1")],
            {"case_id": "i-1", "ticket_number": "CAS-1"}),
    ],
    "jira_service_management": [
        Case({"site": "acme", "email": "a@b.test", "api_token": "jt", "service_desk_id": 1, "request_type_id": "10",
              "base_url": "URL"}, [
            Call("POST /rest/servicedeskapi/request", {
                "serviceDeskId": "1", "requestTypeId": "10",
                "requestFieldValues": {"summary": SUBJECT, "description": f"{FULL}\n\n{FROM}"}},
                Answer(201, {"issueId": "7", "issueKey": "HELP-1"}), basic("a@b.test:jt"))],
            {"issue_key": "HELP-1", "issue_id": "7"})
    ],
    "slack": [
        Case({"webhook_url": "URL/services/T/B/X"}, [
            Call("POST /services/T/B/X", {"text": f"*{FROM}* to {TO}: {ESCAPED}\nhttps://m.test/1.jpg"}, Answer(200,
                b"ok"))],
            {}, Answer(200, b"no_service"))
    ],
    "slack_bot": [
        Case({"token": "xoxb-1", "channel": "C1", "base_url": "URL"}, [
            Call("POST /api/chat.postMessage", {"channel": "C1",
                "text": f"*{FROM}* to {TO}: {ESCAPED}\nhttps://m.test/1.jpg"},
                 Answer(200, {"ok": True, "ts": "1.2"}), {**bearer("xoxb-1"),
                     "content-type": "application/json; charset=utf-8"})],
            {"ts": "1.2"}, Answer(200, {"ok": False, "error": "ratelimited"}))
    ],
    "teams": [
        Case({"webhook_url": "URL/workflows/x?sig=abc"}, [
            Call("POST /workflows/x?sig=abc", {"type": "message", "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard",
                        "version": "1.4",
                    "body": [
                        {"type": "TextBlock", "weight": "Bolder", "text": f"SMS from {FROM}", "wrap": True},
                        {"type": "TextBlock", "text": FULL, "wrap": True},
                        {"type": "TextBlock", "isSubtle": True, "size": "Small", "wrap": True,
                         "text": f"to {TO}, 2026-01-02 03:04 UTC"}]}}]}, Answer(202, b""))])
    ],
    "discord": [
        Case({"webhook_url": "URL/api/webhooks/1/x"}, [
            Call("POST /api/webhooks/1/x?wait=true", {
                "content": f"**{FROM}**: {SAID} https://m.test/1.jpg", "allowed_mentions": {"parse": []}},
                Answer(200, {"id": "5"}))], {"message_id": "5"})
    ],
    "telegram": [
        Case({"token": "123:abc", "chat_id": "-100", "base_url": "URL"}, [
            Call("POST /bot123:abc/sendMessage", {"chat_id": "-100", "text": f"{FROM}: {SAID} https://m.test/1.jpg"},
                 Answer(200, {"ok": True, "result": {"message_id": 9}}))], {"message_id": 9}, Answer(200,
                     {"ok": False}))
    ],
    "google_chat": [
        Case({"webhook_url": "URL/v1/spaces/A/messages?key=k&token=t"}, [
            Call("POST /v1/spaces/A/messages?key=k&token=t&messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD", {
                "text": f"*{FROM}*: {FULL}", "thread": {"threadKey": "sms-447700900123"}},
                Answer(200, {"name": "spaces/A/messages/B"}), {"content-type": "application/json; charset=UTF-8"})],
            {"message": "spaces/A/messages/B"})
    ],
    "zapier": [
        Case({"webhook_url": "URL/hooks/catch/1/x/"}, [Call("POST /hooks/catch/1/x/", TOLD, Answer(200,
            {"status": "success"}))],
             {}, Answer(200, {"status": "error"}))
    ],
    "make": [Case({"webhook_url": "URL/abc"}, [Call("POST /abc", TOLD, Answer(200, b"Accepted"))])],
    "n8n": [
        Case({"webhook_url": "URL/webhook/x", "token": "nt"}, [Call("POST /webhook/x",
            TOLD, headers={"x-columba-token": "nt"})]),
        Case({"webhook_url": "URL/webhook/x"}, [Call("POST /webhook/x", TOLD, headers={"x-columba-token": None})]),
    ],
    "pagerduty": [
        Case({"routing_key": "r" * 32, "base_url": "URL"}, [
            Call("POST /v2/enqueue", {
                "routing_key": "r" * 32, "event_action": "trigger", "dedup_key": MSG, "payload": {
                    "summary": SUBJECT, "source": TO, "severity": "error", "timestamp": AT,
                    "custom_details": {"from": FROM, "to": TO, "text": SAID, "media": ["https://m.test/1.jpg"]}}},
                Answer(202, {"status": "success", "dedup_key": MSG}))], {"dedup_key": MSG}, Answer(200, {}))
    ],
}  # fmt: skip


class System:
    """A stand-in: it answers the requests that it expects, in their order, and nothing else."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.url = ""
        self.wrong: list[str] = []
        self.at = 0

    def __call__(self, got: Got) -> Answer:
        if self.at >= len(self.calls):
            self.wrong.append(f"{got.method} {got.target} was not expected")
            return Answer(500)
        call = self.calls[self.at]
        self.at += 1
        body = call.body(self.url) if callable(call.body) else call.body
        sent = got.body if isinstance(body, bytes) else got.json
        if f"{got.method} {got.target}" != call.line:
            self.wrong.append(f"{got.method} {got.target}, not {call.line}")
        if sent != body:
            self.wrong.append(f"{sent!r}, not {body!r}")
        self.wrong += [
            f"{n}: {got.headers.get(n)!r}, not {v!r}" for n, v in call.headers.items() if got.headers.get(n) != v
        ]
        return call.answer


def filled(name: str, params: dict[str, Any], url: str) -> Any:
    given = {key: value.replace("URL", url) if isinstance(value, str) else value for key, value in params.items()}
    return destination(preset=name, params=given)


ALL = [pytest.param(name, case, id=f"{name}-{n}") for name, cases in CASES.items() for n, case in enumerate(cases)]


@pytest.mark.parametrize(("name", "case"), ALL)
async def test_the_exact_requests(name: str, case: Case) -> None:
    said: dict[str, Any] = {"groups": {"order": "12"}, "media": ["https://m.test/1.jpg"]}
    system = System(case.calls)
    egress = Egress(LOOPBACK)
    async with standing(system) as peer, forwarder(egress) as forward:
        system.url = peer.url
        done = await forward(filled(name, case.params, peer.url), SAID, **said)
        assert system.wrong == []
        assert system.at == len(case.calls)
        assert done.ok, done.error
        assert done.saved == case.saved
        if case.failing is not None:
            failing = [*case.calls[:-1], case.calls[-1]._replace(answer=case.failing)]
            system.calls, system.at = failing, 0
            forward = Forwarder(egress, forward.clock, Shelf())  # without the token of before
            assert not (await forward(filled(name, case.params, peer.url), SAID, **said)).ok
            assert (system.wrong, system.at) == ([], len(failing))
    secrets = [
        value for key, value in case.params.items() if presets()[name].params[key].secret and "URL" not in str(value)
    ]
    kept = json.dumps([each.request.__repr__() for each in done.exchanges])
    assert not [secret for secret in secrets if len(str(secret)) > 2 and str(secret) in kept]


def test_every_preset_has_a_stand_in() -> None:
    assert CASES.keys() == presets().keys()
    wanted = {
        "hubspot", "salesforce_case", "salesforce_lead", "zendesk", "freshdesk", "servicenow", "odoo", "erpnext",
            "dynamics365",
        "jira_service_management", "slack", "teams", "discord", "telegram", "google_chat", "zapier", "make", "n8n",
            "pagerduty",
        "webhook",
    }  # fmt: skip
    assert wanted <= presets().keys()


@pytest.mark.parametrize("name", sorted(presets()))
def test_it_asks_for_what_it_needs(name: str) -> None:
    needed = {
        f"params.{key}" for key, param in presets()[name].params.items() if param.required and param.default is None
    }
    assert needed
    assert problems(preset=name).keys() == needed
    assert "params.nonsense" in problems(preset=name, params={"nonsense": 1})
    assert presets()[name].setup or name == "webhook"


def test_what_is_given_takes_the_place_of_the_presets() -> None:
    found = destination(
        preset="zendesk", params={"subdomain": "acme", "email": "a@b.test", "api_token": "x"}, timeout=20, save={},
        secrets={"more": "y"},
    )  # fmt: skip
    assert (found.spec.timeout, found.spec.save, found.spec.secrets) == (20, {}, {"api_token": "x", "more": "y"})
    assert found.spec.params["tags"] == "sms"
    assert "params.priority" in problems(preset="freshdesk", params={"subdomain": "a", "api_key": "b", "priority": 9})
