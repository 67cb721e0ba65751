"""Whether what stands outside can be used: where media are kept, and the mail server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from columba.cli.doctor.finding import Finding
from columba.cli.options import Settings

AREA: Final = "outside"


def media_store(settings: Settings) -> Iterator[Finding]:
    """A probe is written, read and removed."""
    from columba.media.kept import KeptError, open_kept

    data = Path(settings.data)
    if not settings.media_store and not (data / "media").is_dir():
        yield Finding(AREA, "media_store", "ok", f"{data / 'media'}  (made at the first start)")
        return
    try:
        kept = open_kept(settings.media_store, data, settings.media_option)
        problem = asyncio.run(kept.probe())
    except KeptError as error:
        yield Finding(AREA, "media_store", "fail", str(error), "Correct --media-store and --media-option.")
        return
    if problem is not None:
        mend = "Make room, or let this user write there." if not settings.media_store else "Check its address and keys."
        yield Finding(AREA, "media_store", "fail", problem, mend)
    elif settings.database and not settings.media_store:
        yield Finding(
            AREA, "media_store", "warn", f"{kept.name}: a folder of this machine, with a database that others may share.",
            "With several machines use --media-store s3://..., or a folder that all of them mount.",
        )  # fmt: skip
    else:
        yield Finding(AREA, "media_store", "ok", kept.name)


def mail_server(settings: Settings) -> Iterator[Finding]:
    """A login without a mail."""
    from columba.mail import MailError, probe, read_relay

    try:
        relay = read_relay(settings.smtp_url, settings.smtp_sender, settings.smtp_ca)
    except ValueError as error:
        yield Finding(AREA, "smtp_url", "fail", f"{error}.", "Correct --smtp-url and --smtp-sender.")
        return
    if relay is None:
        return
    try:
        asyncio.run(probe(relay))
    except MailError as error:
        yield Finding(AREA, "smtp_url", "fail", error.detail, "Check the server, its port, certificate and login.")
    else:
        yield Finding(AREA, "smtp_url", "ok", f"{relay.host}:{relay.port}, as {relay.sender}")
