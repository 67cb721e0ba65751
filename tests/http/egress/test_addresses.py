"""Which addresses and URLs may be reached: told before anything is connected to."""

from ipaddress import ip_address, ip_network

import pytest

from columba.http.egress import Policy, check_url

PUBLIC = Policy()


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
        *("168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1"),
        *("192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7"),
        *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:0:127.0.0.1"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:1::1", "2001:2::1"),
        *("2001:10::1", "2001:20::1", "2001:db8::1", "2002:a9fe:a9fe::1", "2002:808:808::1", "3fff::1", "5f00::1"),
        *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1"),
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not PUBLIC.permits(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "198.20.0.1", "223.255.255.255", "::ffff:8.8.8.8"),
        *("2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450::1"),
    ],
)
def test_public_addresses_are_permitted(address: str) -> None:
    assert PUBLIC.permits(ip_address(address))


def test_the_operators_networks_win_and_no_others_come_with_them() -> None:
    policy = Policy((ip_network("10.1.0.0/16"), ip_network("fd00::/8"), ip_network("64:ff9b::/96")))
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "64:ff9b::808:808", "8.8.8.8"):
        assert policy.permits(ip_address(address))
    for address in ("10.2.0.1", "127.0.0.1", "fe80::1"):
        assert not policy.permits(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com", "https://example.com/", "HTTPS://EXAMPLE.COM/a?b#c", "https://example.com:8443/hook"),
        *("https://example.com./x", "https://sub.a-b.example.co.uk/x", "http://my_service:3000/x", "http://receiver/x"),
        *(
            "https://bücher.example/straße?q=ä",
            "https://xn--bcher-kva.example/",
            "https://8.8.8.8/",
            "https://1.example/",
        ),
        *("https://[2606:4700:4700::1111]:8443/x", "https://example.com/@user?to=a@b:c", "https://e.com?x=1"),
    ],
)
def test_good_urls(url: str) -> None:
    assert check_url(url, PUBLIC) is None


LOOPBACK_URLS = [
    *("http://127.0.0.1/", "http://127.0.0.1./", "http://127.1/", "http://127.0.1/", "http://2130706433/"),
    *("http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://017700000001/", "http://127.0.0.01/"),
    *("http://0X7F.1/", "http://0/", "http://0x/", "http://127.0.0.0x1/", "http://1.2.3.4.127.0.0.1/"),
    *("http://[::1]/", "http://[::127.0.0.1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/"),
    *("http://[0:0:0:0:0:ffff:7f00:1]/", "http://[::1%25lo]/", "http://[::1%lo]/", "http://[fe80::1%251]/"),
    *(
        "http://%31%32%37.0.0.1/",
        "http://127%2e0.0.1/",
        "http://１２７.０.０.１/",
        "http://127。0。0。1/",
        "http://①②⑦.0.0.1/",
    ),
    *("http://localhost/", "http://LOCALHOST./", "http://a.localhost/", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/"),
    *("http://[64:ff9b::127.0.0.1]/", "http://[2002:7f00:1::]/", "http://169.254.169.254/latest/meta-data/"),
]


@pytest.mark.parametrize("url", LOOPBACK_URLS)
def test_loopback_is_refused_however_it_is_written(url: str) -> None:
    problem = check_url(url, PUBLIC)
    assert problem
    assert problem.kind in ("forbidden_address", "invalid_url")


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "//example.com/", "/x", "ftp://example.com/", "file:///etc/passwd", "gopher://e.com/_x"),
        *("http://", "http:///x", "http://?x", "http:example.com", "http:/example.com", "https://exa mple.com/"),
        *("http://user@example.com/", "http://user:secret@example.com/", "http://@example.com/", "http://a@b@c/"),
        *("http://good.com\\@evil.com/", "http://good.com\\.evil.com/", "http://e.com/\r\nX: y", "http://e.com/\tx"),
        *("http://e.com\n/", " http://e.com/", "http://e.com/ ", "http://e.com/\x00", "http://e.com/\x7f"),
        *("http://e.com:0/", "http://e.com:65536/", "http://e.com:x/", "http://e.com:-1/", "http://e.com:25/"),
        *(
            "http://e.com:1_0/",
            "http://e.com:٣/",
            "http://e..com/",
            "http://.e.com/",
            "http://-e.com/",
            "http://e-.com/",
        ),
        *(
            "http://" + "a" * 64 + ".com/",
            "http://" + "a." * 127 + "com/",
            "http://e.com/" + "a" * 4096,
            "http://[::1/",
        ),
        *(
            "http://[1.2.3.4]/",
            "http://[::g]/",
            "http://[]/",
            "http://e.com]/",
            "http://straße.example/",
            "http://a\u200db.com/",
        ),
        *("http://ex℀mple.com/", "http://e.com/\ud800", "http://256.1.1.1/", "http://1.1.1/", "http://e.com*/"),
    ],
)
def test_malformed_urls_are_refused(url: str) -> None:
    problem = check_url(url, PUBLIC)
    assert problem
    assert problem.kind == "invalid_url"
    assert "secret" not in problem.detail


def test_the_operators_networks_can_be_written_too() -> None:
    policy = Policy((ip_network("127.0.0.0/8"),))
    for url in ("http://127.0.0.1:3000/", "http://localhost:3000/", "http://[::ffff:127.0.0.1]/"):
        assert check_url(url, policy) is None
