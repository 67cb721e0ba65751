"""Where the bytes are kept: a folder, or S3, Google Cloud Storage or Azure, behind obstore.

`open_kept` reads the setting. What is put is there when `put` returns: on a disk that means fsynced. Fails with a Refusal
(`store_unavailable`) when it can't be written or read, never with an exception of the engine's own.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from columba.core import ids
from columba.errors import Refusal

log = structlog.get_logger()
SCHEMES: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "file")
PATIENCE: Final = timedelta(seconds=15)
# Ours to say of every cloud store: a dead one must not hold a request for minutes.
_RETRY: Final[Any] = {"max_retries": 3, "retry_timeout": PATIENCE}


class KeptError(Exception):
    """The setting names no store that could be opened."""


def key_of(account_id: int, media_id: int) -> str:
    """Where something is: by account and day, so that neither a folder nor a listing grows without end."""
    day = datetime.fromtimestamp(ids.time_of(media_id) / 1000, UTC).strftime("%Y%m%d")
    return f"{ids.show('acc', account_id)}/{day}/{ids.show('med', media_id)}"


class Kept:
    """`folder` is set where it is a folder of this machine. The library is loaded, and the store opened, when first used."""

    def __init__(self, opened: Callable[[], Any], folder: Path | None, name: str) -> None:
        self._store = cache(opened)
        self._folder = folder
        self.name = name

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        try:
            if self._folder is not None:
                await asyncio.to_thread(self._write, key, body)
            else:
                await self._store().put_async(key, body, attributes={"Content-Type": content_type})
        except _failures() as error:
            raise _unavailable("written", error) from error

    def _write(self, key: str, body: bytes) -> None:
        """Whole or not at all, and on the disk: under another name first."""
        assert self._folder is not None
        path = self._folder / key
        made = [each for each in (path.parent, *path.parent.parents) if not each.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        for folder in (path.parent, *(each.parent for each in made)):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    async def get(self, key: str) -> bytes | None:
        """What is there; None for nothing."""
        try:
            found = await self._store().get_async(key)
            return bytes(await found.bytes_async())
        except FileNotFoundError:  # obstore's NotFoundError is one
            return None
        except _failures() as error:
            raise _unavailable("read", error) from error

    async def delete(self, keys: Sequence[str]) -> None:
        """Gone when it returns; what was not there is gone already."""
        for key in keys:
            try:
                await self._store().delete_async(key)
            except FileNotFoundError:
                continue
            except _failures() as error:
                raise _unavailable("deleted from", error) from error

    async def probe(self) -> str | None:
        """Why it can't be used; None when it can."""
        key = "probe"
        try:
            await self.put(key, b"ok", "text/plain")
            read = await self.get(key)
            await self.delete([key])
        except Refusal as refusal:
            return refusal.detail
        return None if read == b"ok" else "What was written could not be read back."


def _local(folder: Path) -> Any:
    from obstore.store import LocalStore

    return LocalStore(prefix=folder, mkdir=True)


def _failures(*more: type[Exception]) -> tuple[type[Exception], ...]:
    from obstore.exceptions import BaseError

    return (BaseError, OSError, *more)


def _unavailable(done: str, error: Exception) -> Refusal:
    # The engine's words may hold the address of a bucket, and of a request that was signed: they are for the log.
    log.warning("media.store_failed", doing=done, error=f"{type(error).__name__}: {str(error)[:300]}")
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    why = "no space is left" if full else "it can't be reached, or refuses"
    return Refusal("store_unavailable", f"The media store can't be {done}: {why}.", retry_after=5)


def open_kept(where: str, data: Path, options: Sequence[str] = ()) -> Kept:
    """`where` is the setting `media_store`: empty for a folder in the data folder, else a URL. KeptError if it can't be.

    `options` are NAME=VALUE, as obstore has them: region, endpoint, access_key_id, secret_access_key ...
    """
    try:
        parts = urlsplit(where)
        if not where or parts.scheme == "file":
            folder = Path(parts.path) if where else data / "media"
            folder.mkdir(parents=True, exist_ok=True)
            return Kept(lambda: _local(folder), folder, str(folder))
        config: Any = dict(option.split("=", 1) for option in options)
        # Plain HTTP only where the operator wrote so.
        named = (config.get(name) for name in ("endpoint", "aws_endpoint", "endpoint_url", "aws_endpoint_url"))
        known = (os.environ.get(name) for name in ("AWS_ENDPOINT", "AWS_ENDPOINT_URL"))
        plain = next((each for each in (*named, *known) if each), "").startswith("http://")
        client: Any = {"allow_http": plain, "timeout": PATIENCE, "connect_timeout": timedelta(seconds=5)}
        from obstore.store import from_url

        store = from_url(where, config=config, client_options=client, retry_config=_RETRY)
        return Kept(lambda: store, None, where)
    except _failures(ValueError, TypeError) as error:
        raise KeptError(f"--media-store {where or 'folder'} can't be opened: {str(error)[:300]}") from error
