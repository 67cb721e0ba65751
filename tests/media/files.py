"""Files as phones make them: just enough of each to be known by its bytes."""

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(range(64))
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(64)
MP4 = b"\0\0\0\x18ftypisom" + bytes(64)
VCARD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ann\r\nEND:VCARD\r\n"
HTML = b"<!doctype html><script>alert(1)</script>"
