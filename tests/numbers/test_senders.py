"""Senders of the three kinds, and masks that leave no number readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from columba.numbers import NumberError, Sender, mask, sender

SENDERS = [
    ("+447700900123", Sender("number", "+447700900123")),
    ("+1 (202) 555-0100", Sender("number", "+12025550100")),
    ("(+1) 202 555 0100", Sender("number", "+12025550100")),
    ("tel:+12025550100", Sender("number", "+12025550100")),
    ("12025550100", Sender("number", "+12025550100")),
    ("447700900123", Sender("number", "+447700900123")),
    ("+6834002", Sender("number", "+6834002")),
    ("123", Sender("short_code", "123")),
    ("12345", Sender("short_code", "12345")),
    (" 12345678 ", Sender("short_code", "12345678")),
    ("123-45", Sender("short_code", "12345")),
    ("Columba", Sender("name", "Columba")),
    (" Columba ", Sender("name", "Columba")),
    ("A", Sender("name", "A")),
    ("My Shop 24", Sender("name", "My Shop 24")),
    ("H&M_x-y.z+1", Sender("name", "H&M_x-y.z+1")),
    ("24h", Sender("name", "24h")),
    ("1234567890A", Sender("name", "1234567890A")),
]

REFUSED = [
    ("", "empty"),
    ("  ", "empty"),
    ("---", "empty"),
    ("12", "too_short"),
    ("+12", "too_short"),
    ("1234567890123456", "too_long"),
    ("Columba Shop", "too_long"),
    ("x" * 1_000_000, "too_long"),
    ("Caf\u00e9", "symbols"),
    ("\u0416\u0443\u043a", "symbols"),
    ("a\nb", "symbols"),
    ("a\x00b", "symbols"),
    ("a\ud800", "symbols"),
    ("<b>", "symbols"),
    ("&&&", "symbols"),
    ("\U0001f426", "symbols"),
    ("+Columba", "letters"),
    ("07700900123", "unknown_calling_code"),
    ("999123456789", "unknown_calling_code"),
    ("123456789", "too_short"),
]


@pytest.mark.parametrize(("raw", "read"), SENDERS)
def test_senders(raw: str, read: Sender) -> None:
    assert sender(raw) == read
    assert sender(read.value) == read


@pytest.mark.parametrize(("raw", "reason"), REFUSED)
def test_what_is_no_sender_says_why(raw: str, reason: str) -> None:
    with pytest.raises(NumberError) as refused:
        sender(raw)
    assert refused.value.reason == reason


MASKS = [
    ("+447700900123", "+44********23"),
    ("+12025550100", "+1********00"),
    ("+18765551234", "+1********34"),
    ("+353850123456", "+353*******56"),
    ("+6834002", "+683****"),  # of four digits, two would tell
    ("447700900123", "**********23"),
    ("+44 7700 900123", "*************23"),
    ("+999123456789", "***********89"),
    ("12345", "***45"),
    ("1234", "****"),
    ("Columba", "Columba"),
    ("Shop 24", "Shop 24"),
    ("J 07700900", "********00"),
    ("", ""),
    ("\x00\ud800\n", "***"),
    ("someone@example.com", "***************"),
    ("\u0664\u0664\u0667\u0667\u0660\u0660", "******"),
    ("+447700900123" * 1000, "***************23"),
]


@pytest.mark.parametrize(("text", "masked"), MASKS)
def test_masks(text: str, masked: str) -> None:
    assert mask(text) == masked


@given(st.text(st.sampled_from("+0123456789 -\x00"), max_size=30))
def test_a_mask_leaves_at_most_two_digits_after_the_calling_code(text: str) -> None:
    masked = mask(text)
    code = len(masked) - len(masked.lstrip("+0123456789"))
    assert sum(map(str.isdigit, masked[code:])) <= 2
    assert code <= 4
    assert len(masked) <= 20
