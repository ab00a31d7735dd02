"""`ali doctor` on the index of vector stores."""

import pytest

from ali.cli.doctor_index import search_index
from ali.kernel.checks import CheckStatus
from ali.kernel.settings import Settings
from tests.fixtures.database import make_tenant
from tests.knowledge.shelf import Shelf

SCATTER = """
insert into ali.segment (vector_store_id, organization_id, project_id, first_number, end_number)
select %(store)s, %(organization)s, %(project)s, n, n + 1 from generate_series(1, 101) n
"""


async def test_merges_that_lag_are_warned_of(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_dsn)
    shelf = Shelf(tenant=make_tenant(database_dsn)).make()
    assert [each.status for each in search_index(Settings())] == [CheckStatus.OK]
    gone = await shelf.add([{1: 1}])
    await shelf.remove(gone.document_id)
    assert [each.status for each in search_index(Settings())] == [CheckStatus.OK]
    await shelf.rows("update ali.store_document set gone_at = now() - interval '4 days'")
    await shelf.rows(SCATTER, organization=shelf.tenant.organization_id, project=shelf.tenant.project_id)
    findings = list(search_index(Settings()))
    assert [each.status for each in findings] == [CheckStatus.WARN] * 2
    assert "more than 100 parts" in findings[0].detail
    assert "1 documents" in findings[1].detail
    assert "ali worker" in findings[0].hint
