"""Objects: whole or not at all, in pieces both ways, under the URLs that are taken."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ali.kernel.objects import ObjectMissing, Objects, ObjectsUnavailable, checked_objects_url


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[Objects]:
    store = Objects((tmp_path / "with a space").as_uri())
    yield store
    await store.close()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def pieces(*parts: bytes, fails: bool = False) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if fails:
        raise ValueError("the sender broke off")


async def test_an_object_is_written_read_in_part_and_in_whole_and_deleted(objects: Objects) -> None:
    parts = [b"%d" % (n % 10) * 300_000 for n in range(40)]
    whole = b"".join(parts)
    assert await objects.write("a/b", pieces(*parts)) == len(whole)
    assert await objects.read("a/b", start=299_999, size=2) == b"01"
    assert b"".join([piece async for piece in await objects.open("a/b")]) == whole
    await objects.delete("a/b")
    await objects.delete("a/b")
    with pytest.raises(ObjectMissing):
        await objects.open("a/b")
    with pytest.raises(ObjectMissing):
        await objects.read("a/b", start=0, size=1)
    await objects.probe()


async def test_what_breaks_off_leaves_nothing(objects: Objects, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broke off"):
        await objects.write("a/b", pieces(b"x" * 20_000_000, fails=True))
    assert files_in(tmp_path) == []


@pytest.fixture
def in_the_way(tmp_path: Path) -> None:
    """A file where a folder is to be."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")


@pytest.mark.usefixtures("in_the_way")
async def test_a_store_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    store = Objects((tmp_path / "file" / "folder").as_uri())
    with pytest.raises(ObjectsUnavailable):
        await store.probe()
    await store.close()


@pytest.mark.parametrize("url", ["file:///srv/objects", "gs://bucket", "gs://bucket/prefix/more"])
def test_a_folder_or_a_bucket_is_taken(url: str) -> None:
    assert checked_objects_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/objects",
        "file://host/srv",
        "file:relative",
        "s3://bucket",
        "https://x/y",
        "gs://",
        "gs://u@b/x",
        "gs://b?x",
    ],
)
def test_any_other_place_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="object storage is"):
        checked_objects_url(url)
