"""What a file is follows from its bytes, and a name is safe wherever it is written."""

import pytest

from columba.media.sniff import UNKNOWN, agrees, file_name, is_inline, kind_of, url_name
from tests.media.files import HTML, JPEG, MP4, PNG, VCARD


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (b"GIF89a" + bytes(9), "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "audio/wav"),
        (b"\0\0\0\x18ftypheic" + bytes(9), "image/heic"),
        (MP4, "video/mp4"),
        (b"\0\0\0\x18ftyp3gp4" + bytes(9), "video/3gpp"),
        (b"\0\0\0\x18ftypM4A " + bytes(9), "audio/mp4"),
        (b"#!AMR\n" + bytes(9), "audio/amr"),
        (b"ID3\x04" + bytes(9), "audio/mpeg"),
        (b"\xff\xfb\x90\x44" + bytes(9), "audio/mpeg"),
        (b"\xff\xf1\x50\x80" + bytes(9), "audio/aac"),
        (b"OggS" + bytes(9), "audio/ogg"),
        (b"%PDF-1.7\n", "application/pdf"),
        (VCARD, "text/vcard"),
        ("BEGIN:VCALENDAR\r\n".encode("utf-8-sig"), "text/calendar"),
        ("Grüße 🐦".encode(), "text/plain"),
        # What a browser would run is text, and no more.
        (HTML, "text/plain"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', "text/plain"),
        (b"\x01\x02\x03", None),
        (b"\xe4\xf6\xfc not UTF-8", None),
        (b"MZ\x90\0", None),
        (b"PK\x03\x04" + bytes(9), None),
        (b"", None),
    ],
)
def test_its_bytes_say_what_it_is(body: bytes, kind: str | None) -> None:
    found = kind_of(body)
    assert (None if found is None else found.type) == kind


@pytest.mark.parametrize(
    ("body", "declared", "good"),
    [
        (PNG, "image/png", True),
        (PNG, "", True),
        (PNG, "application/octet-stream", True),
        (PNG, "image/jpeg; charset=binary", True),  # a picture all the same
        (PNG, "video/mp4", False),
        (PNG, "text/html", False),
        (HTML, "text/html", False),
        (HTML, "image/svg+xml", False),
        (VCARD, "text/x-vcard", True),
        (MP4, "audio/mp4", True),
    ],
)
def test_a_declared_type_must_not_say_otherwise(body: bytes, declared: str, good: bool) -> None:
    assert agrees(kind_of(body) or UNKNOWN, declared) is good


def test_only_pictures_sounds_and_films_are_shown_in_the_page() -> None:
    assert is_inline("image/png")
    assert not any(map(is_inline, ("text/plain", "application/pdf", "text/vcard", "application/octet-stream")))


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("menu.jpg", "menu.png"),  # the bytes decide
        (None, "file.png"),
        ("", "file.png"),
        ("../../etc/passwd", "passwd.png"),
        ("C:\\x\\Ann's picture.PNG", "Ann-s-picture.png"),
        ('a";\r\nSet-Cookie: x=1', "a-Set-Cookie-x-1.png"),
        ("Grüße", "Gr-e.png"),
        (".png", "png.png"),
        ("x" * 500, "x" * 92 + ".png"),
    ],
)
def test_a_name_is_safe_everywhere(wanted: str | None, name: str) -> None:
    kind = kind_of(PNG)
    assert kind
    assert file_name(wanted, kind) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.example/x/Pic.JPG?sig=1", "Pic.jpg"),
        ("https://a.example/media/ME123", "ME123"),
        ("https://a.example", "file"),
        ("https://a.example/a.exe", "a"),
        ("data:application/octet-stream;base64,AAAA", "file"),
    ],
)
def test_what_a_url_leads_to_has_a_name_before_it_is_fetched(url: str, name: str) -> None:
    assert url_name(url) == name
