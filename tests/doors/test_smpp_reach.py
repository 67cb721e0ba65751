"""Who can reach the SMPP server, and by which of several processes."""

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from columba.smpp.pdu import BindTransceiver
from columba.smpp.session import Role, Session
from columba.smpp.stream import connect
from tests.api import running
from tests.doors.house import House, Program, submit


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    return str(cert_file), str(key_file)


async def test_tls(tmp_path: Path, certificate: tuple[str, str]) -> None:
    cert, key = certificate
    async with running(tmp_path / "data", smpp_tls_port=0, smpp_tls_cert=cert, smpp_tls_key=key) as columba:
        house = House(columba)
        login = await house.login()
        program = Program()
        house.programs.append(program)
        await connect(
            "127.0.0.1", house.port, program, lambda now: Session(Role.ESME, now=now),
            tls=ssl.create_default_context(cafile=cert), server_hostname="localhost",
        )  # fmt: skip
        bind = BindTransceiver(system_id=login.system_id, password=login.password)
        assert (await program.ask(bind)).status == 0
        assert (await program.ask(submit())).status == 0
        house.close()


@pytest.mark.parametrize(("network", "heard"), [("127.0.0.0/8", True), ("10.0.0.0/8", False)])
async def test_the_networks_that_may_bind(tmp_path: Path, network: str, heard: bool) -> None:
    async with running(tmp_path, smpp_port=0, smpp_from=(network,)) as columba:
        house = House(columba)
        login = await house.login()
        if heard:
            await house.bound(login)
        else:
            with pytest.raises((ConnectionError, TimeoutError)):
                await house.bind(login)
        house.close()


async def test_what_is_to_be_told_goes_where_the_program_is_bound(tmp_path: Path, tables_url: str) -> None:
    async with (
        running(tmp_path / "one", tables_url, smpp_port=0, secret_key="0b" * 32) as one,
        running(tmp_path / "two", tables_url, smpp_port=0, secret_key="0b" * 32) as two,
    ):
        here, there = House(one), House(two)
        programs = []
        for house in (here, there) * 3:
            login = await here.login()
            await there.app.snapshots.refresh()
            programs.append(await house.bound(login))
        await here.texts_in("to all of them")
        for program in programs:
            await program.got()
        here.close()
        there.close()
