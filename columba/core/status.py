"""A message's statuses and the transitions between them.

A status is a number whose tens are its rank: a message only ever moves to a higher rank, so a late, early or repeated
receipt can't turn it back, and one comparison in SQL is the whole machine. `unknown` ranks below the final statuses: a
receipt that comes after all still tells the truth.
"""

SCHEDULED, QUEUED, SENT, UNKNOWN = 10, 20, 30, 40
DELIVERED, UNDELIVERED, FAILED, EXPIRED, CANCELED, RECEIVED = 50, 51, 52, 53, 54, 60

NAMES = {
    SCHEDULED: "scheduled",
    QUEUED: "queued",
    SENT: "sent",
    UNKNOWN: "unknown",
    DELIVERED: "delivered",
    UNDELIVERED: "undelivered",
    FAILED: "failed",
    EXPIRED: "expired",
    CANCELED: "canceled",
    RECEIVED: "received",
}
NUMBERS = {name: number for number, name in NAMES.items()}
EVENTS = {number: f"message.{name}" for number, name in NAMES.items()}

# Classes, in the order of their priority.
OTP, TRANSACTIONAL, MARKETING = 0, 1, 2
CLASSES = ("otp", "transactional", "marketing")

LIVE, TEST = 1, 0
MODES = ("test", "live")
OUTBOUND, INBOUND = 0, 1
DIRECTIONS = ("outbound", "inbound")
ENCODINGS = ("gsm7", "ucs2", "binary")


def rank(status: int) -> int:
    return status // 10


def may_become(now: int, then: int) -> bool:
    return rank(now) < rank(then) and now < RECEIVED and then < RECEIVED


def is_final(status: int) -> bool:
    return status >= DELIVERED
