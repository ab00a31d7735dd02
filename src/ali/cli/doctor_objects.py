"""What `ali doctor` finds of the object store: whether files can be written there, read and deleted."""

import asyncio
from collections.abc import Iterator

from ali.kernel.checks import CheckResult, failed, passed, warned
from ali.kernel.objects import Objects, ObjectsUnavailable
from ali.kernel.settings import Settings

_TIMEOUT_S = 20


def objects(settings: Settings) -> Iterator[CheckResult]:
    """One object, written, read and deleted."""
    name = "object store"
    local = settings.objects.startswith("file:")
    if local and not settings.home.exists() and settings.objects_url is None:
        yield passed(name, "will be made in the home folder")
        return
    try:
        asyncio.run(_probe(settings.objects))
    except (ObjectsUnavailable, TimeoutError) as error:
        reason = type(error.__cause__.__cause__ or error).__name__ if error.__cause__ else type(error).__name__
        hint = "Check ALI_OBJECTS_URL, the folder's or bucket's rights, and this machine's credentials for it."
        yield failed(name, f"{settings.objects} cannot be written ({reason})", hint=hint)
        return
    if local and not settings.embedded:
        hint = "Right where one machine serves, or the folder is shared; else set ALI_OBJECTS_URL to a bucket."
        yield warned(name, f"{settings.objects} can be written, and is of this machine", hint=hint)
        return
    yield passed(name, f"{settings.objects} can be written")


async def _probe(url: str) -> None:
    store = Objects(url)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await store.probe()
    finally:
        await store.close()
