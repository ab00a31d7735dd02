"""`POST /v1/vector_stores/{id}/search`. Source: OpenAI's API reference, "Vector stores"."""

from fastapi import APIRouter

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/search", tags=["vector stores"])
