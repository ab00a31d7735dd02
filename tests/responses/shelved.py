"""A tenant's vector store with documents in it, cut and indexed by the product's own code."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from ali.features.files.naming import file_name
from ali.features.knowledge.analysis import index_terms
from ali.features.knowledge.chunk import Prepared
from ali.features.knowledge.index import Document, index_key, write
from ali.features.knowledge.naming import store_name
from ali.features.knowledge.reading.content import Content
from ali.features.knowledge.reading.cutting import chunks_of
from ali.kernel.ids import uuid7
from tests.fixtures.database import HMAC_SECRET, Tenant

ACT: Final = (
    (
        "LEI Nº 1.234\n\nTÍTULO II\nDos Direitos\n\nCAPÍTULO I\nDas Férias\n\n"
        "Art. 7º São direitos do servidor:\nI - férias anuais de trinta dias;\nII - licença para capacitação.\n"
        "§ 3º As férias podem ser acumuladas até o máximo de dois períodos.\n\n"
    ),
    (
        "Art. 8º O adicional noturno é de vinte e cinco por cento sobre a hora diurna.\n\n"
        "Art. 9º Esta lei entra em vigor na data de sua publicação.\n"
    ),
)
"""An act of law on two pages."""
GUIDE: Final = (
    (
        "How to get a parking space\n\nWrite to the front desk. Parking spaces are assigned every Monday morning. "
        "Visitors park behind the building, and the gate closes at eight in the evening.\n"
    ),
)


@dataclass(slots=True)
class Shelf:
    """A vector store of `tenant`, and what stands in it, by file."""

    tenant: Tenant
    id: UUID = field(default_factory=uuid7)
    pages: dict[str, Sequence[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The store's identifier, as callers know it."""
        return store_name(self.id)

    def tool(self, **members: Any) -> Any:  # noqa: ANN401 - a request's members
        """The tool that searches it."""
        return {"type": "file_search", "vector_store_ids": [self.name], **members}

    def make(self, *, expired: bool = False) -> "Shelf":
        """The store's row is there."""
        with psycopg.connect(self.tenant.dsn) as owner:
            owner.execute(
                "insert into ali.vector_store (id, organization_id, project_id, name, expires_at)"
                " values (%s, %s, %s, 'Shelf', case when %s then now() - interval '1 day' end)",
                (self.id, self.tenant.organization_id, self.tenant.project_id, expired),
            )
        return self

    async def put(self, filename: str, pages: Sequence[str], attributes: Mapping[str, object] | None = None) -> str:
        """A file of these pages is in the store; its identifier."""
        tenant, file_id, digest = self.tenant, uuid7(), hashlib.sha256("\f".join(pages).encode()).digest()
        content = Content(pages=pages, bodies=[(0, len(page)) for page in pages], paged=True)
        key = index_key(HMAC_SECRET.encode(), project_id=tenant.project_id)
        prepared = [Prepared(chunk=chunk, analysed=index_terms(chunk, key=key)) for chunk in chunks_of(content)]
        async with await AsyncConnection.connect(tenant.dsn) as owner:
            await owner.execute(
                "insert into ali.file (id, organization_id, project_id, purpose, name, object_name, state, digest)"
                " values (%s, %s, %s, 'assistants', %s, %s, 'ready', %s)",
                (file_id, tenant.organization_id, tenant.project_id, filename.encode(), file_id.hex, digest),
            )
            document = Document(id=uuid7(), digest=digest, chunking="auto", pages=len(pages))
            written = await write(owner, store=self.id, document=document, prepared=prepared)
            await owner.execute(
                "insert into ali.store_file (id, vector_store_id, file_id, organization_id, project_id, document_id,"
                " attributes, chunking, status) values (%s, %s, %s, %s, %s, %s, %s, 'auto', 'completed')",
                (
                    *(uuid7(), self.id, file_id, tenant.organization_id, tenant.project_id, written.document_id),
                    Jsonb(attributes or {}),
                ),
            )
        self.pages[file_name(file_id)] = pages
        return file_name(file_id)

    def is_verbatim(self, citation: Mapping[str, Any], *, file_id: str) -> bool:
        """Whether what a citation cites stands so, byte for byte, where it says."""
        pages = self.pages[file_id]
        slices = [pages[one["page"] - 1][one["start"] : one["end"]] for one in citation["slices"]]
        return bool(slices) and "\n".join(slices) == citation["cited_text"]
