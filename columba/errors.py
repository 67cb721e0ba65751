"""The catalogue of refusals: why something was not accepted or not done, in one place for every door.

Each code has its HTTP status, SMPP command_status and Twilio error code, a title and what to do about it.
Doors translate; nothing else invents a code. A code is added here, and docs/errors.md is generated from it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Code(NamedTuple):
    """One entry of the catalogue. `smpp` and `twilio` are what those doors answer for it."""

    http: int
    title: str
    advice: str
    smpp: int = 0x08  # ESME_RSYSERR
    twilio: int = 20001


CATALOGUE: Mapping[str, Code] = {
    # The request itself
    "invalid_json": Code(400, "The body is not JSON", "Send UTF-8 JSON with Content-Type: application/json."),
    "invalid_request": Code(422, "Some fields are not valid", "Correct each field named in `errors`.", twilio=21602),
    "payload_too_large": Code(413, "The body is too large", "Send less at once: smaller batches, media by URL."),
    "unsupported_media_type": Code(415, "The body's type is not supported", "Send application/json."),
    "not_found": Code(404, "There is no such thing", "Check the id, and that the key has its mode.", 0x0C, 20404),
    "method_not_allowed": Code(405, "The method is not allowed here", "See the API reference for this address."),
    "conflict": Code(409, "It is not in a state that allows this", "Read it again and decide anew."),
    "idempotency_mismatch": Code(
        409,
        "This Idempotency-Key was used with another body",
        "Use a new key for a new request, and the same body to repeat one.",
    ),
    "idempotency_in_progress": Code(409, "The first request with this key is still being answered", "Ask again soon."),
    # Who asks
    "unauthorized": Code(401, "The key is missing or not valid", "Send Authorization: Bearer <key>.", 0x0E, 20003),
    "forbidden": Code(403, "The key lacks a scope", "Use a key with the scope named.", 0x0E, 20003),
    "wrong_mode": Code(403, "The key's mode does not allow this", "Use a key of the other mode.", 0x0E, 20003),
    "bad_signature": Code(
        403, "The callback is not proven to be the provider's", "Check the carrier's secrets.", 0x0E, 20003
    ),
    "invalid_callback": Code(400, "The callback can't be read", "Give the provider the address that belongs to it."),
    # Too fast, too full
    "rate_limited": Code(429, "Too many requests", "Wait for Retry-After seconds.", 0x58, 20429),
    "overloaded": Code(503, "The server is full for the moment", "Wait for Retry-After seconds.", 0x58, 20429),
    "store_unavailable": Code(
        503, "The store can't be written", "Wait for Retry-After seconds; the operator should look.", 0x08, 20500
    ),
    "internal": Code(500, "Something unexpected went wrong", "Report it with the request_id.", 0x08, 20500),
    "quota_exceeded": Code(422, "The account has used up its quota", "Delete what is not needed, or have it raised."),
    # Mail
    "mail_refused": Code(
        422, "The mail server refuses the e-mail", "Correct the address, or ask the server's operator."
    ),
    "no_mail_server": Code(
        422,
        "There is no mail server",
        "The operator sets one with --smtp-url (COLUMBA_SMTP_URL); or choose another way.",
    ),
    "mail_unavailable": Code(503, "The e-mail can't be sent for now", "It is tried again; the operator should look."),
    # Media
    "media_pending": Code(503, "The file is still being fetched", "Ask again in a moment."),
    "link_expired": Code(410, "The link has expired", "Ask for the message or its media again: it has a new link."),
    # A message's fields
    "required": Code(422, "The field is required", "Add it.", twilio=21602),
    "unknown_field": Code(422, "There is no such field", "Remove it, or check its spelling."),
    "wrong_type": Code(422, "The value has the wrong type", "Send the type that the reference names."),
    "too_long": Code(422, "The value is too long", "Shorten it.", 0x01, 21617),
    "too_short": Code(422, "The value is too short", "Lengthen it."),
    "too_many": Code(422, "There are too many", "Send fewer."),
    "out_of_range": Code(422, "The value is out of range", "Keep it within the bounds named."),
    "invalid_value": Code(422, "The value is not one that is allowed", "Use one of those named."),
    "invalid_number": Code(422, "The number can't exist", "Use E.164: + and the country's code.", 0x0B, 21211),
    "invalid_sender": Code(422, "The sender is not valid", "Use a number, a short code or a name.", 0x0A, 21212),
    "invalid_text": Code(422, "The text can't be sent", "Remove the characters named.", 0x01, 21602),
    "invalid_url": Code(422, "The URL is not valid", "Use an absolute http or https URL."),
    "forbidden_url": Code(
        422, "The URL leads to an address that is not allowed", "Use a public address, or have the operator allow it."
    ),
    "unknown_template": Code(422, "There is no such template", "Use the name or id of one that is approved."),
    "invalid_time": Code(422, "The time is not valid", "Use RFC 3339, in the future where it says so."),
    "invalid_code": Code(
        422, "A template, expression, pattern or schema is not valid", "Correct it at the line and column named."
    ),
    # A message's way
    "no_route": Code(422, "No carrier takes this message", "Add a carrier or a route for it.", 0x0B, 21612),
    "sender_not_allowed": Code(
        422, "It can't come from this sender", "Use one of your senders, that may send to this country.", 0x0A, 21606
    ),
    "not_a_template": Code(422, "It is none of the registered templates", "Use one, or register it.", 0x01, 30007),
    "insufficient_balance": Code(402, "The balance is spent", "Top it up: POST /v1/spend/top-up.", 0x58, 20003),
    "daily_cap_reached": Code(402, "The day's cap is reached", "Wait until midnight UTC, or raise it.", 0x58, 20003),
    "no_price": Code(
        422, "No price is known for it", "Add it to the price table, or let such messages pass.", 0x0B, 21612
    ),
    "no_recipient": Code(422, "The number does not exist", "Remove it from your list.", 0x0B, 21211),
    "opted_out": Code(422, "The recipient has opted out", "Don't send until they opt in again.", 0x0B, 21610),
    "consent_required": Code(
        422, "The recipient has not opted in", "Record their opt-in, or change what the class needs.", 0x0B, 21610
    ),
    "quiet_hours": Code(422, "The recipient's quiet hours never end", "Correct the windows that apply.", 0x0B, 21611),
    "content_refused": Code(422, "The text is likely to be filtered", "Change what each reason names.", 0x45, 30007),
    # Codes
    "too_many_attempts": Code(429, "It was tried too often", "Wait for Retry-After seconds.", 0x58, 60203),
    "blocked": Code(
        403, "The guard against fraud stopped it", "See /v1/verifications/blocks and settings.", 0x08, 60410
    ),
    "country_not_allowed": Code(403, "Codes are not sent to this country", "Add it to the settings.", 0x08, 60605),
    "not_cancelable": Code(409, "The message has left already", "Only scheduled or queued messages can be canceled."),
}


class FieldError(NamedTuple):
    """One problem of one field; `field` is a path like `messages[3].to`."""

    field: str
    code: str
    detail: str


class Refusal(Exception):
    """Why a request or a submission was not accepted. Raised by any room, answered by the door."""

    def __init__(
        self, code: str, detail: str = "", errors: Iterable[FieldError] = (), retry_after: int | None = None
    ) -> None:
        self.code = code
        self.kind = CATALOGUE[code]
        self.detail = detail or self.kind.title
        self.errors: Sequence[FieldError] = tuple(errors)
        self.retry_after = retry_after
        super().__init__(f"{code}: {self.detail}")
