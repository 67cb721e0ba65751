"""`columba serve`: one process of the platform, until it is told to stop."""

import asyncio
import contextlib
import errno
import fcntl
import gc
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from columba.cli.lean import structlog  # before anything else loads it
from columba.cli.options import Settings, with_settings
from columba.settings import SETTINGS
from columba.store import StoreRefused, StoreUnavailable
from columba.vault import VaultError


@click.command()
@with_settings(*(setting.name for setting in SETTINGS))
def serve(settings: Settings) -> None:
    """Serve the API, the lanes and the webhooks.

    SQLite in the data folder is used unless a PostgreSQL URL is given. The first start makes an account and prints a
    live and a test key, once.
    """
    import uvloop

    from columba import logs

    logs.configure(settings.log_format, settings.log_level)
    try:
        listening = listen(settings.host, settings.port)
        with alone(settings):
            uvloop.run(_serve(settings, listening))
    except (StoreRefused, VaultError) as error:
        sys.exit(f"columba: {error}")
    except StoreUnavailable as error:
        sys.exit(f"columba: the store can't be used: {error.why}")


def listen(host: str, port: int) -> socket.socket:
    """The socket to serve on, before anything else is started."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(f"columba: port {port} is taken on {host}: choose another with --port, or stop what has it.")
        sys.exit(f"columba: can't listen on {host} port {port}: {error.strerror}. Check --host and --port.")
    return listening


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """One server a folder, for as long as it runs, however it ends: with SQLite, two would not hear of each other."""
    if settings.database:
        yield
        return
    data = Path(settings.data)
    try:
        data.mkdir(parents=True, exist_ok=True)
        file = os.open(data / "serve.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # the store says what is wrong with the folder
        yield
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(file, 20).decode(errors="replace").strip() or "unknown"
            sys.exit(
                f"columba: {data} is used by another `columba serve` (process {other}). Stop that one, name another folder"
                " with --data, or use PostgreSQL (--database), which any number of servers can share."
            )
        except OSError:  # a file system that knows no locks
            yield
            return
        with contextlib.suppress(OSError):  # a disk that is full: the store says so
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)


async def _serve(settings: Settings, listening: socket.socket) -> None:
    import uvicorn

    from columba.app import App
    from columba.http.server import with_direct

    app = App(settings)

    class Server(uvicorn.Server):
        """Ends the streams before it waits for the connections."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.stopping.set()
            super().handle_exit(sig, frame)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """A signal that stopped us is not raised again: stopping when asked is a success."""
            for each in (signal.SIGINT, signal.SIGTERM):
                signal.signal(each, self.handle_exit)
            if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
                signal.signal(signal.SIGHUP, self.hung_up)
            yield

        def hung_up(self, sig: int, frame: FrameType | None) -> None:
            """The terminal was closed. Where there is none, somebody wants the settings read anew."""
            if sys.stderr.isatty():
                self.handle_exit(signal.SIGTERM, frame)
            else:
                why = "settings are read at the start alone: to change them, restart"
                structlog.get_logger().warning("hung_up", why=why)

    await app.start()
    try:
        config = uvicorn.Config(
            app.asgi,
            loop="none",
            http=with_direct(app.direct),
            proxy_headers=False,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            backlog=2048,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )
        server = Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        if server.started:
            # What is here now stays; what a request makes is gone by counting. Looking for cycles pays less often.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 50)
            await app.welcome(listening.getsockname()[1])
        await serving
    finally:
        await app.stop()
        structlog.get_logger().info("stopped")
