"""Whether the key that seals secrets is there, is nobody else's, and opens what is sealed in the store."""

from collections.abc import Callable, Iterator

from columba.cli.admin import key_mode, key_path, vault
from columba.cli.doctor.finding import Finding
from columba.cli.options import Settings
from columba.vault import Vault, VaultError

SEALED = (
    "select secret from webhooks",
    "select previous_secret from webhooks where previous_secret is not null",
    "select secrets from carriers where secrets is not null",
    "select secrets from destinations where secrets is not null",
    "select token from destination_tokens",
    "select value from vault_secrets",
)


def secret_key(settings: Settings) -> Iterator[Finding]:
    area, path = "secrets", key_path(settings)
    if settings.secret_key:
        yield Finding(area, "key", "ok", f"given by {settings.source['secret_key']}")
        return
    mode = key_mode(settings)
    if mode is None:
        yield Finding(
            area, "key", "warn", f"There is no secret key at {path} yet.",
            "`columba serve` makes it at its first start; or set COLUMBA_SECRET_KEY.",
        )  # fmt: skip
        return
    if mode & 0o077:
        yield Finding(area, "key", "fail", f"{path} can be read by others (mode {mode:04o}).", f"chmod 600 {path}")
        return
    try:
        vault(settings)
    except VaultError as error:
        yield Finding(area, "key", "fail", f"{error}.", f"Put back {path} from a backup: it opens what is sealed.")
        return
    yield Finding(area, "key", "ok", f"{path}, mode {mode:04o}: keep a copy of it")
    if settings.database:
        yield Finding(
            area, "shared", "warn", "The key is in a file of this machine.",
            "With servers on several machines, give all of them the same COLUMBA_SECRET_KEY.",
        )  # fmt: skip


def secrets(settings: Settings, read: Callable[[str], list[str]]) -> Iterator[Finding]:
    """Whether what is sealed in the store can be opened."""
    sealed = [text for query in SEALED for text in read(query)]
    try:
        opener: Vault | None = vault(settings)
    except VaultError:
        opener = None
        if not sealed:
            return
    bad = 0
    why = "the secret key is missing"
    for text in sealed:
        try:
            if opener is None:
                raise VaultError(why)
            opener.open(text)
        except (VaultError, ValueError) as error:
            bad, why = bad + 1, str(error)
    if bad:
        yield Finding(
            "store", "sealed", "fail", f"{bad} of {len(sealed)} sealed secrets can't be opened: {why}.",
            "Put back the key that sealed them: the file secret.key of the data folder, or COLUMBA_SECRET_KEY.",
        )  # fmt: skip
    else:
        yield Finding("store", "sealed", "ok", f"{len(sealed)} sealed secrets can be opened")
