"""Every setting once: its name, default, meaning and check. Flags win over the environment, that over columba.toml.

The command line's options, docs/settings.md and `columba doctor` are made from this table. Fails with SettingsError,
which names every setting that is wrong and what it may be.
"""

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple


class SettingsError(Exception):
    """Some settings are wrong; each line of the text names one."""


class Setting(NamedTuple):
    name: str
    default: Any
    help: str
    check: Callable[[Any], Any]
    many: bool = False
    secret: bool = False
    metavar: str = "TEXT"

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "COLUMBA_" + self.name.upper()


def _number(value: Any, kind: type[int] | type[float] = int) -> Any:
    try:
        return kind(value)
    except (ValueError, OverflowError):
        raise ValueError("it must be a number" if kind is float else "it must be a whole number") from None


def _port(value: Any) -> int:
    number: int = _number(value)
    if not 0 <= number <= 65_535:
        raise ValueError("a port is 0 to 65535")
    return number


def _between(low: float, high: float, kind: type[int] | type[float] = int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        number = _number(value, kind)
        if not low <= number <= high:
            raise ValueError(f"it must be from {low} to {high}")
        return number

    return check


def _choice(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"it must be one of {', '.join(choices)}")
        return str(value)

    return check


def _network(value: Any) -> str:
    return str(ipaddress.ip_network(str(value).strip(), strict=False))


def _ports(value: Any) -> str:
    """`2776`, or `2776-2790`."""
    first, _, last = str(value).strip().partition("-")
    try:
        low, high = _port(first), _port(last or first)
    except ValueError:
        low = high = 0
    if not 1 <= low <= high:
        raise ValueError("it must be a port, or the first and the last of a range: 2776-2790")
    return f"{low}-{high}" if last else str(low)


def _database(value: Any) -> str:
    text = str(value)
    if text and not text.startswith(("postgres://", "postgresql://")):
        raise ValueError("it must be a postgresql:// URL; for SQLite leave it out and use --data")
    return text


def _key(value: Any) -> str:
    text = str(value).strip()
    if text and not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError("it must be 64 hexadecimal digits; `openssl rand -hex 32` makes one")
    return text


def _url(value: Any) -> str:
    text = str(value)
    if text and not re.fullmatch(r"https?://\S+", text):
        raise ValueError("it must be an http or https URL")
    return text.rstrip("/")


def _media_store(value: Any) -> str:
    text = str(value)
    if text and not re.fullmatch(r"(file|s3|s3a|gs|az|azure|abfs|abfss)://\S+", text):
        raise ValueError("it must be a file://, s3://, gs:// or az:// URL")
    return text


def _relay(value: Any) -> str:
    from columba.mail import read_relay  # only where it is set: commands of the API's clients load little

    text = str(value).strip()
    try:
        read_relay(text)
    except ValueError as error:
        if "smtp_sender" not in str(error):
            raise
    return text


def _address(value: Any) -> str:
    from columba.mail import ADDRESS

    text = str(value).strip()
    if text and not ADDRESS.fullmatch(text):
        raise ValueError("it must be an e-mail address")
    return text


def _days(value: Any) -> int:
    number: int = _number(value)
    if not 0 <= number <= 3_650:
        raise ValueError("it must be from 0 (for good) to 3650")
    return number


def _option(value: Any) -> str:
    text = str(value).strip()
    if not re.fullmatch(r"[A-Za-z0-9_]+=.*", text):
        raise ValueError("it must be NAME=VALUE")
    return text


def _country(value: Any) -> str:
    from columba.numbers import COUNTRIES

    text = str(value).upper()
    if text and text not in COUNTRIES:
        raise ValueError("it must be a country's two letters, such as GB")
    return text


SETTINGS: tuple[Setting, ...] = (
    Setting("data", "./data", "Folder of the SQLite database, the secret key and media.", str, metavar="DIR"),
    Setting("database", "", "PostgreSQL URL; SQLite in the data folder when it is left out.", _database, metavar="URL"),
    Setting("host", "127.0.0.1", "Address to listen on.", str, metavar="ADDRESS"),
    Setting("port", 8080, "Port to listen on.", _port, metavar="N"),
    Setting("smpp_port", "", "Port of the SMPP server; off when left out.", _port, metavar="N"),
    Setting("smpp_tls_port", "", "Port of the SMPP server with TLS; off when left out.", _port, metavar="N"),
    Setting("smpp_tls_cert", "", "File of the certificate chain (PEM) for it.", str, metavar="FILE"),
    Setting("smpp_tls_key", "", "File of its private key, where the certificate's has none.", str, metavar="FILE"),
    Setting(
        "smpp_outbind",
        (),
        "A port, or a range of them, at which carriers may be waited for (outbind); may be given again.",
        _ports,
        many=True,
        metavar="PORTS",
    ),
    Setting(
        "smpp_from",
        (),
        "A network that may bind over SMPP; may be given again. All when left out.",
        _network,
        many=True,
        metavar="CIDR",
    ),
    Setting("public_url", "", "How the outside reaches this server, where that differs.", _url, metavar="URL"),
    Setting(
        "allow_network",
        (),
        "A private network that webhooks and forwards may reach; may be given again.",
        _network,
        many=True,
        metavar="CIDR",
    ),
    Setting(
        "metrics_from",
        ("127.0.0.0/8", "::1/128"),
        "A network that may read /metrics; may be given again.",
        _network,
        many=True,
        metavar="CIDR",
    ),
    Setting("secret_key", "", "Key that seals secrets; made in the data folder when left out.", _key, secret=True),
    Setting("default_country", "", "Country of numbers that are written without one.", _country, metavar="CC"),
    Setting("log_format", "text", "text for people, json for programs.", _choice("text", "json"), metavar="FORMAT"),
    Setting("log_level", "info", "Least level to log.", _choice("debug", "info", "warning", "error"), metavar="LEVEL"),
    Setting(
        "senders",
        "any",
        "registered: live messages come from registered senders alone, even before an account has any.",
        _choice("any", "registered"),
        metavar="WHICH",
    ),
    Setting(
        "receipt_timeout",
        72 * 3600,
        "Seconds after which a message without a receipt is `unknown`.",
        _between(60, 30 * 86_400),
        metavar="SECONDS",
    ),
    Setting(
        "stop_timeout", 25, "Seconds to finish what is on the wire when stopping.", _between(1, 600), metavar="SECONDS"
    ),
    Setting(
        "keep_events",
        30,
        "Days for which events are kept, with their deliveries to webhooks and the attempts; 0 for good.",
        _days,
        metavar="DAYS",
    ),
    Setting(
        "keep_forwards",
        90,
        "Days for which forwards and other actions of rules are kept, with their attempts; 0 for good.",
        _days,
        metavar="DAYS",
    ),
    Setting(
        "keep_dead_letters",
        90,
        "Days for which deliveries and forwards that were given up can be replayed; 0 for good.",
        _days,
        metavar="DAYS",
    ),
    Setting("keep_verifications", 30, "Days for which verifications are kept; 0 for good.", _days, metavar="DAYS"),
    Setting(
        "keep_audit",
        365,
        "Days for which the log of who saw or changed what is kept, and the jobs of privacy; 0 for good.",
        _days,
        metavar="DAYS",
    ),
    Setting(
        "media_store",
        "",
        "Where media are kept: s3://, gs:// or az:// URL; the data folder when left out.",
        _media_store,
        metavar="URL",
    ),
    Setting(
        "media_option",
        (),
        "NAME=VALUE for the media store, such as region=eu-west-1; may be given again.",
        _option,
        many=True,
        secret=True,
        metavar="NAME=VALUE",
    ),
    Setting("media_max_size", 5 << 20, "Bytes that one file may have.", _between(1_000, 100 << 20), metavar="BYTES"),
    Setting(
        "media_quota",
        10 << 30,
        "Bytes of media that an account may keep; 0 for no end.",
        _between(0, 1 << 50),
        metavar="BYTES",
    ),
    Setting(
        "media_link_ttl",
        7 * 86_400,
        "Seconds for which a link to media is good.",
        _between(3_600, 366 * 86_400),
        metavar="SECONDS",
    ),
    Setting(
        "media_unused_ttl",
        30 * 86_400,
        "Seconds after which media that no message uses are deleted.",
        _between(3_600, 3_660 * 86_400),
        metavar="SECONDS",
    ),
    Setting(
        "smtp_url",
        "",
        "Mail server for alerts and e-mails of rules: smtp://USER:PASSWORD@HOST (STARTTLS), smtps:// (TLS).",
        _relay,
        secret=True,
        metavar="URL",
    ),
    Setting(
        "smtp_sender", "", "Address that mail comes from; columba@HOST when left out.", _address, metavar="ADDRESS"
    ),
    Setting("smtp_ca", "", "File of the certificates (PEM) that are trusted for it.", str, metavar="FILE"),
    Setting(
        "sandbox_record", "", "File to which the sandbox writes each part it takes, for tests.", str, metavar="FILE"
    ),
)
BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}
FILE = "columba.toml"


class Settings:
    """The settings in force. Each is an attribute; `source` says where it came from."""

    data: str
    database: str
    host: str
    port: int
    smpp_port: int | Literal[""]
    smpp_tls_port: int | Literal[""]
    smpp_tls_cert: str
    smpp_tls_key: str
    smpp_outbind: tuple[str, ...]
    smpp_from: tuple[str, ...]
    public_url: str
    allow_network: tuple[str, ...]
    metrics_from: tuple[str, ...]
    secret_key: str
    default_country: str
    log_format: str
    log_level: str
    senders: str
    receipt_timeout: int
    stop_timeout: int
    keep_events: int
    keep_forwards: int
    keep_dead_letters: int
    keep_verifications: int
    keep_audit: int
    media_store: str
    media_option: tuple[str, ...]
    media_max_size: int
    media_quota: int
    media_link_ttl: int
    media_unused_ttl: int
    smtp_url: str
    smtp_sender: str
    smtp_ca: str
    sandbox_record: str

    def __init__(self, **given: Any) -> None:
        unknown = set(given) - set(BY_NAME)
        if unknown:
            raise SettingsError(f"there is no setting {', '.join(sorted(unknown))}")
        self.source: dict[str, str] = {}
        for setting in SETTINGS:
            value = given.get(setting.name, setting.default)
            setattr(self, setting.name, tuple(value) if setting.many else value)
            self.source[setting.name] = "given" if setting.name in given else "default"


def load(flags: Mapping[str, Any], environ: Mapping[str, str], folder: Path | None = None) -> Settings:
    """Flags, then COLUMBA_... variables, then columba.toml in the folder, then the defaults."""
    file: dict[str, Any] = {}
    problems: list[str] = []
    path = (folder or Path()) / FILE
    if path.is_file():
        try:
            file = tomllib.loads(path.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not TOML: {error}") from error
        problems += [f"{path}: there is no setting {name!r}" for name in file if name not in BY_NAME]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for setting in SETTINGS:
        flag = flags.get(setting.name)
        if flag not in (None, ()):
            raw, source = flag, setting.flag
        elif environ.get(setting.variable):
            text = environ[setting.variable]
            raw, source = (text.split(",") if setting.many else text), setting.variable
        elif setting.name in file:
            raw, source = file[setting.name], f"{path}: {setting.name}"
        else:
            continue
        many = raw if setting.many and isinstance(raw, list | tuple) else [raw]
        checked = []
        for each in many:
            try:
                if not setting.many or str(each).strip():
                    checked.append(setting.check(each))
            except (ValueError, TypeError) as error:
                shown = "it" if setting.secret else repr(each)
                problems.append(f"{source}: {shown} is not valid: {error}")
        if setting.many or checked:
            values[setting.name] = tuple(checked) if setting.many else checked[0]
            sources[setting.name] = source
    if problems:
        raise SettingsError("\n".join(problems))
    settings = Settings(**values)
    settings.source.update(sources)
    return settings


def networks(texts: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(each) for each in texts)
