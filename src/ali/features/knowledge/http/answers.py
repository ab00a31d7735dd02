"""Vector stores and what is in them, as OpenAI's API prints them."""

from collections import Counter
from collections.abc import Mapping

from ali.features.files.naming import file_name
from ali.features.identity.http.answers import Json, maybe_unix, unix
from ali.features.knowledge.chunking import shown_chunking
from ali.features.knowledge.models import StoreFile, StoreFileBatch, VectorStore
from ali.features.knowledge.naming import batch_name, store_name
from ali.features.knowledge.stores.batches import status_of
from ali.features.knowledge.stores.files import Held
from ali.features.knowledge.stores.lifecycle import is_expired
from ali.features.knowledge.stores.sums import STATUSES, Sums


def vector_store(store: VectorStore, sums: Sums) -> Json:
    """`vector_store`."""
    days = store.expires_after_days
    status = "expired" if is_expired(store) else "in_progress" if sums.files["in_progress"] else "completed"
    return {
        "id": store_name(store.id),
        "object": "vector_store",
        "created_at": unix(store.created_at),
        "name": store.name.decode(),
        "description": None if store.description is None else store.description.decode(),
        "usage_bytes": sums.usage_bytes,
        "file_counts": _counts(sums.files),
        "status": status,
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": maybe_unix(store.expires_at),
        "last_active_at": unix(store.last_active_at),
        "metadata": store.tags,
    }


def vector_store_file(held: Held) -> Json:
    """`vector_store.file`. `progress` is no field of OpenAI's: how many of its pages are read."""
    file, size_bytes = held
    return {
        "id": file_name(file.file_id),
        "object": "vector_store.file",
        "usage_bytes": size_bytes or 0,
        "created_at": unix(file.created_at),
        "vector_store_id": store_name(file.vector_store_id),
        "status": file.status,
        "last_error": _error(file),
        "chunking_strategy": shown_chunking(file.chunking),
        "attributes": file.attributes,
        "progress": {"pages_done": file.pages_done, "pages": file.pages},
    }


def file_batch(batch: StoreFileBatch, files: Mapping[str, int]) -> Json:
    """`vector_store.files_batch`."""
    return {
        "id": batch_name(batch.id),
        "object": "vector_store.files_batch",
        "created_at": unix(batch.created_at),
        "vector_store_id": store_name(batch.vector_store_id),
        "status": status_of(batch, Counter(files)),
        "file_counts": _counts(files),
    }


def _counts(files: Mapping[str, int]) -> Json:
    counts = {status: files.get(status, 0) for status in STATUSES}
    return {**counts, "total": sum(counts.values())}


def _error(file: StoreFile) -> Json | None:
    if file.error_code is None:
        return None
    return {"code": file.error_code, "message": (file.error_message or b"").decode()}
