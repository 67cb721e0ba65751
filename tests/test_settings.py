"""Settings: flags before the environment before the file, and each that is wrong named with what is expected of it."""

from pathlib import Path

import pytest

from columba.settings import SETTINGS, SettingsError, load


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", "abc", "'abc' is not valid: it must be a whole number"),
        ("port", "70000", "a port is 0 to 65535"),
        ("stop_timeout", "soon", "'soon' is not valid: it must be a whole number"),
        ("default_country", "ZZ", "'ZZ' is not valid: it must be a country's two letters"),
        (
            "smpp_outbind",
            ("2776", "abc"),
            "'abc' is not valid: it must be a port, or the first and the last of a range",
        ),
        ("smpp_outbind", ("2790-2776",), "'2790-2776' is not valid"),
        ("allow_network", ("10.0.0.0/8", "nowhere"), "'nowhere' is not valid"),
        ("media_store", "ftp://x", "it must be a file://, s3://, gs:// or az:// URL"),
        ("media_option", ("region",), "it must be NAME=VALUE"),
        ("senders", "maybe", "it must be one of any, registered"),
        ("smtp_sender", "me", "it must be an e-mail address"),
        ("database", "mysql://x", "it must be a postgresql:// URL"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_expected(name: str, value: object, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as wrong:
        load({name: value}, {}, tmp_path)
    assert str(wrong.value).startswith("--" + name.replace("_", "-"))
    assert expected in str(wrong.value)
    assert "invalid literal" not in str(wrong.value)


def test_all_that_is_wrong_is_told_at_once_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "columba.toml").write_text('portt = 1\nsecret_key = "5ec4e7"\n')
    with pytest.raises(SettingsError) as wrong:
        load({"port": "x"}, {"COLUMBA_ALLOW_NETWORK": "a,10.0.0.0/8,b"}, tmp_path)
    lines = str(wrong.value).splitlines()
    assert len(lines) == 5
    for part in ("no setting 'portt'", "--port: 'x'", "COLUMBA_ALLOW_NETWORK: 'a'", "COLUMBA_ALLOW_NETWORK: 'b'"):
        assert any(part in line for line in lines)
    assert "5ec4e7" not in str(wrong.value)


def test_flags_win_over_the_environment_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "columba.toml").write_text(
        'port = 1\nhost = "::1"\ndefault_country = "gb"\nallow_network = ["10.0.0.1/8"]\n'
    )
    found = load({"port": 3}, {"COLUMBA_PORT": "2", "COLUMBA_HOST": "127.0.0.2"}, tmp_path)
    assert (found.port, found.host, found.default_country) == (3, "127.0.0.2", "GB")
    assert found.allow_network == ("10.0.0.0/8",)
    assert {setting.name for setting in SETTINGS} == set(found.source)
