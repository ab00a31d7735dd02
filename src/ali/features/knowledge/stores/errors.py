"""What can be wrong with a vector store that is asked for.

NotFound
├── StoreGone                404  of `index`, which finds out too
├── VectorStoreFileNotFound  404  the file is not in the store
└── FileBatchNotFound        404
InvalidRequest
├── FilePurposeWrong         400  the file is for something else
└── VectorStoreFull          400
Conflict
├── VectorStoreExpired       409
└── VectorStoreFileNotReady  409  the file was not read, or not yet
"""

from ali.features.knowledge.index import StoreGone
from ali.features.knowledge.naming import STORABLE
from ali.kernel.errors import Conflict, InvalidRequest, NotFound


class VectorStoreFileNotFound(NotFound):
    """404: no such file in the vector store."""

    code = "vector_store_file_not_found"


class FileBatchNotFound(NotFound):
    """404: no such file batch in the vector store."""

    code = "vector_store_file_batch_not_found"


class FilePurposeWrong(InvalidRequest):
    """400: the file is for something else than to be searched."""

    code = "file_purpose_wrong"


class VectorStoreFull(InvalidRequest):
    """400: the vector store has as many files as one can have."""

    code = "vector_store_full"


class VectorStoreExpired(Conflict):
    """409: the vector store has expired: it is empty, and stays so."""

    code = "vector_store_expired"


class VectorStoreFileNotReady(Conflict):
    """409: the file was not read into the vector store, or not yet."""

    code = "vector_store_file_not_ready"


def store_not_found(param: str = "vector_store_id") -> StoreGone:
    """There is no such store, or it is another project's; the two have one answer, which repeats no identifier."""
    return StoreGone(
        "There is no such vector store in this project. GET /v1/vector_stores lists those there are.", param=param
    )


def file_not_in_store() -> VectorStoreFileNotFound:
    """As above, for a file of a store."""
    return VectorStoreFileNotFound(
        "There is no such file in this vector store. GET /v1/vector_stores/{id}/files lists those there are.",
        param="file_id",
    )


def batch_not_found() -> FileBatchNotFound:
    """As above, for a file batch."""
    return FileBatchNotFound("There is no such file batch in this vector store.", param="batch_id")


def purpose_wrong(param: str) -> FilePurposeWrong:
    """A file that is for something else."""
    return FilePurposeWrong(
        f"A file in a vector store has the purpose {' or '.join(STORABLE)}. Upload it anew with one of them.",
        param=param,
    )


def store_full(most: int) -> VectorStoreFull:
    """A store that takes no more files."""
    return VectorStoreFull(
        f"A vector store has at most {most} files here. Use another store as well: a search takes several. The "
        "operator can raise ALI_MAX_STORE_FILES."
    )


def store_expired(param: str | None = None) -> VectorStoreExpired:
    """A store whose time is over."""
    return VectorStoreExpired(
        "The vector store has expired, and its files are gone from it. Create another.", param=param
    )


def file_not_ready(status: str) -> VectorStoreFileNotReady:
    """A file of which there is nothing to show."""
    return VectorStoreFileNotReady(
        f"The file is {status} in this vector store: nothing of it can be shown. Its last_error says why, if it "
        "failed. If it is in_progress, ask again once it is completed."
    )
