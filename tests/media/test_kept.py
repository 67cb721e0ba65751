"""Bytes are kept in a folder or at a local S3 server, whole and durable; a store that fails says so and keeps nothing."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from moto.server import ThreadedMotoServer

from columba.errors import Refusal
from columba.media.kept import Kept, KeptError, open_kept
from tests.api import running
from tests.media.conftest import LOOPBACK, House
from tests.media.files import PNG


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host.replace('0.0.0.0', '127.0.0.1')}:{port}"
    client(url).create_bucket(Bucket="pictures")
    yield url
    server.stop()


def client(url: str) -> Any:
    session = botocore.session.get_session()
    session.set_credentials("AK", "SK")
    return session.create_client("s3", region_name="us-east-1", endpoint_url=url)


def options(url: str, **more: str) -> list[str]:
    given = {"endpoint": url, "region": "us-east-1", "access_key_id": "AK", "secret_access_key": "SK", **more}
    return [f"{name}={value}" for name, value in given.items()]


@pytest.fixture(params=["folder", "s3"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if request.param == "folder":
        return open_kept("", tmp_path)
    return open_kept("s3://pictures/sms", tmp_path, options(request.getfixturevalue("s3")))


async def test_what_is_put_is_there_until_it_is_deleted(kept: Kept) -> None:
    assert await kept.get("acc_1/20260101/med_1") is None
    await kept.put("acc_1/20260101/med_1", PNG, "image/png")
    await kept.put("acc_1/20260101/med_2", b"two", "text/plain")
    await kept.put("acc_1/20260101/med_2", b"again", "text/plain")
    assert await kept.get("acc_1/20260101/med_1") == PNG
    assert await kept.get("acc_1/20260101/med_2") == b"again"
    await kept.delete(["acc_1/20260101/med_1", "acc_1/20260101/none"])
    assert await kept.get("acc_1/20260101/med_1") is None
    assert await kept.probe() is None


async def test_a_folder_holds_whole_files_for_us_alone(tmp_path: Path) -> None:
    kept = open_kept("", tmp_path)
    await kept.put("acc_1/20260101/med_1", PNG, "image/png")
    (file,) = [path for path in (tmp_path / "media").rglob("*") if path.is_file()]
    assert file.stat().st_mode & 0o077 == 0
    (tmp_path / "media" / "acc_2").write_bytes(b"")  # no folder can be made here
    with pytest.raises(Refusal) as refused:
        await kept.put("acc_2/20260101/med_1", PNG, "image/png")
    assert (refused.value.code, refused.value.retry_after) == ("store_unavailable", 5)
    assert str(tmp_path) not in refused.value.detail


async def test_the_bucket_has_the_type_and_the_prefix(s3: str, tmp_path: Path) -> None:
    kept = open_kept("s3://pictures/inner/place", tmp_path, options(s3))
    await kept.put("acc_1/20260101/med_9", PNG, "image/png")
    found = client(s3).get_object(Bucket="pictures", Key="inner/place/acc_1/20260101/med_9")
    assert (found["Body"].read(), found["ContentType"]) == (PNG, "image/png")


@pytest.mark.parametrize("place", ["s3://pictures", "s3://no-such-bucket"])
async def test_a_store_that_is_not_there_is_said_without_its_secrets(s3: str, tmp_path: Path, place: str) -> None:
    where = "http://127.0.0.1:9" if place == "s3://pictures" else s3
    kept = open_kept(place, tmp_path, options(where, secret_access_key="hush"))
    with pytest.raises(Refusal) as refused:
        await kept.put("a", PNG, "image/png")
    assert refused.value.code == "store_unavailable"
    assert "hush" not in refused.value.detail
    assert await kept.probe()


@pytest.mark.parametrize("where", ["s4://x", "s3://", "nonsense"])
def test_a_setting_that_names_no_store_is_refused_at_once(tmp_path: Path, where: str) -> None:
    with pytest.raises(KeptError):
        open_kept(where, tmp_path, ["no_such_option=1"])


async def test_everything_works_with_s3_behind_it(s3: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "media_store": "s3://pictures/app",
        "media_option": options(s3),
        "allow_network": LOOPBACK,
    }
    async with running(tmp_path, **settings) as columba:
        house = House(columba, None, tmp_path)  # type: ignore[arg-type]
        made = await house.upload(PNG, "image/png")
        assert (await house.follow(made["url"])).body == PNG
        assert house.files() == []
        assert (await house.api("DELETE", f"/v1/media/{made['id']}")).status == 204
        assert "Contents" not in client(s3).list_objects_v2(Bucket="pictures", Prefix="app/")


async def test_a_dead_store_refuses_uploads_and_is_swept_once_it_is_back(s3: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"media_store": "s3://not-yet", "media_option": options(s3)}
    async with running(tmp_path, **settings) as columba:
        house = House(columba, None, tmp_path)  # type: ignore[arg-type]
        refused = await house.upload(PNG, "image/png", 503)
        assert refused["code"] == "store_unavailable"
        assert (await house.get("/v1/media"))["data"] == []
        with contextlib.suppress(Refusal):
            await columba.app.media.sweep()
        client(s3).create_bucket(Bucket="not-yet")
        made = await house.upload(PNG, "image/png")
        assert (await house.follow(made["url"])).body == PNG
