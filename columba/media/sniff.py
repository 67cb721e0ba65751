"""What a file is, told by its bytes: a name or a header may say anything. Pure; never fails.

Only what people send each other over MMS is known. What a browser would run (HTML, SVG, scripts) is never called by a
name that makes it do so: text is `text/plain`, everything else that isn't known has no type here.
"""

import re
from typing import Final, NamedTuple

LONGEST_NAME: Final = 100


class Kind(NamedTuple):
    type: str
    extension: str


JPEG, PNG, GIF = Kind("image/jpeg", "jpg"), Kind("image/png", "png"), Kind("image/gif", "gif")
WEBP, BMP, TIFF = Kind("image/webp", "webp"), Kind("image/bmp", "bmp"), Kind("image/tiff", "tiff")
HEIC, AVIF = Kind("image/heic", "heic"), Kind("image/avif", "avif")
MP4, GP3, MOV = Kind("video/mp4", "mp4"), Kind("video/3gpp", "3gp"), Kind("video/quicktime", "mov")
WEBM, AVI = Kind("video/webm", "webm"), Kind("video/x-msvideo", "avi")
M4A, MP3, WAV = Kind("audio/mp4", "m4a"), Kind("audio/mpeg", "mp3"), Kind("audio/wav", "wav")
OGG, AAC, AMR = Kind("audio/ogg", "ogg"), Kind("audio/aac", "aac"), Kind("audio/amr", "amr")
MIDI = Kind("audio/midi", "mid")
PDF, VCARD, ICAL = Kind("application/pdf", "pdf"), Kind("text/vcard", "vcf"), Kind("text/calendar", "ics")
TEXT: Final = Kind("text/plain", "txt")
UNKNOWN: Final = Kind("application/octet-stream", "bin")

_MAGIC: Final = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"\x1aE\xdf\xa3", WEBM),
    (b"ID3", MP3),
    (b"OggS", OGG),
    (b"#!AMR", AMR),
    (b"MThd", MIDI),
    (b"%PDF-", PDF),
)
_RIFF: Final = {b"WEBP": WEBP, b"WAVE": WAV, b"AVI ": AVI}
# ISO 14496-12 §4.3: what a file's brand says that it is; a brand that isn't known is a film.
_BRANDS: Final = {
    b"heic": HEIC, b"heix": HEIC, b"mif1": HEIC, b"msf1": HEIC, b"heim": HEIC, b"avif": AVIF, b"avis": AVIF,
    b"M4A ": M4A, b"M4B ": M4A, b"qt  ": MOV,
}  # fmt: skip
_TEXTS: Final = ((b"begin:vcard", VCARD), (b"begin:vcalendar", ICAL))
# What no text has: the controls but tab, line feed, carriage return, form feed and escape.
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_INLINE: Final = frozenset(
    kind.type for kind in (JPEG, PNG, GIF, WEBP, BMP, HEIC, AVIF, MP4, GP3, MOV, WEBM, M4A, MP3, WAV, OGG, AAC, AMR)
)


def kind_of(body: bytes) -> Kind | None:
    """What it is; None for what isn't known."""
    for magic, kind in _MAGIC:
        if body.startswith(magic):
            return kind
    if body.startswith(b"RIFF"):
        return _RIFF.get(body[8:12])
    if body[4:8] == b"ftyp":
        brand = body[8:12]
        return GP3 if brand[:2] == b"3g" else _BRANDS.get(brand, MP4)
    if body.startswith(b"BM") and len(body) >= 26 and int.from_bytes(body[2:6], "little") == len(body):
        return BMP
    if len(body) > 2 and body[0] == 0xFF and body[1] & 0xE0 == 0xE0:  # a frame's sync word: ADTS has layer 0, MP3 3
        layer = body[1] >> 1 & 3
        if layer == 0 and body[1] & 0xF0 == 0xF0:
            return AAC
        if layer == 1 and body[2] & 0xF0 != 0xF0:
            return MP3
    return _text(body)


def _text(body: bytes) -> Kind | None:
    if not body or _CONTROLS.search(body):
        return None
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    start = body.removeprefix(b"\xef\xbb\xbf").lstrip()[:16].lower()
    return next((kind for begins, kind in _TEXTS if start.startswith(begins)), TEXT)


def agrees(kind: Kind, declared: str) -> bool:
    """Whether a Content-Type may stand for it: the same family, for there are many names for one thing."""
    name = declared.partition(";")[0].strip().lower()
    if name in ("", UNKNOWN.type, "binary/octet-stream", kind.type):
        return True
    if kind is PDF:
        return name == "application/x-pdf"
    families = {name.partition("/")[0], *(("audio", "video") if name.startswith(("audio/", "video/")) else ())}
    if name == "application/ogg":
        families = {"audio", "video"}
    if name in ("text/html", "text/javascript", "image/svg+xml", "text/xml"):
        return False
    return kind.type.partition("/")[0] in families


def is_inline(content_type: str) -> bool:
    """Whether a browser may show it as a page of ours: pictures, sounds and films alone."""
    return content_type in _INLINE


_EXTENSIONS: Final = frozenset(
    (
        "jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff", "heic", "avif", "mp4", "3gp", "3gpp", "mov", "webm",
        "avi", "m4a", "mp3", "wav", "ogg", "oga", "aac", "amr", "mid", "pdf", "vcf", "ics", "txt",
    )
)  # fmt: skip
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")


def file_name(wanted: str | None, kind: Kind) -> str:
    """A name that is safe in a URL, a header and a folder, with the extension that its bytes say."""
    last = (wanted or "").replace("\\", "/").rstrip("/").rpartition("/")[2]
    stem = _ODD.sub("-", last.rpartition(".")[0] or last).strip(".-_")[: LONGEST_NAME - 8].strip(".-_")
    return f"{stem or 'file'}.{kind.extension}"


def url_name(url: str) -> str:
    """What to call what a URL leads to, before its bytes are known."""
    if url.startswith("data:"):
        return "file"
    last = url.partition("?")[0].partition("#")[0].partition("//")[2].partition("/")[2].rpartition("/")[2]
    stem, dot, extension = last.rpartition(".")
    if not dot:
        stem, extension = last, ""
    stem = _ODD.sub("-", stem).strip(".-_")[:40].strip(".-_") or "file"
    extension = extension.lower()
    return f"{stem}.{extension}" if extension in _EXTENSIONS else stem
