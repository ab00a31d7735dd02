"""Row-level security as every tenant's table has it; revisions call `wall` for each table that they make.

The policy reads two transaction-local settings through scalar subqueries, so that PostgreSQL evaluates them once a
statement and not once a row. A session that has set neither gets an error, not all rows and not none: `current_setting`
raises where the setting was never made, and the cast of the empty string that a past transaction leaves behind raises
too. (In a table without rows PostgreSQL has nothing to compare, and does not evaluate them.) The owner of the schema is
let through by a policy of its own: it migrates, and its functions (`security definer`) are the few doors that the
service has to rows of more than one tenant.
"""

from typing import Final

from alembic import op

from ali.kernel.service_role import SERVICE_ROLE

_ORGANIZATION: Final = "(select current_setting('ali.organization')::uuid)"
_PROJECT: Final = "(select nullif(current_setting('ali.project'), '*')::uuid)"
_ALL_PROJECTS: Final = "(select current_setting('ali.project') = '*')"


def wall(table: str, *, rights: str, by_project: bool = False, organization_column: str = "organization_id") -> None:
    """Force row-level security on `ali.<table>` and grant the service's role `rights`, as SQL lists them.

    `by_project`: the table has a `project_id`, and a caller who is bound to a project sees that project's rows alone.
    """
    visible = f"{organization_column} = {_ORGANIZATION}"
    if by_project:
        visible += f" and ({_ALL_PROJECTS} or project_id = {_PROJECT})"
    op.execute(f"alter table ali.{table} enable row level security")
    op.execute(f"alter table ali.{table} force row level security")
    op.execute(f"create policy tenant on ali.{table} to {SERVICE_ROLE} using ({visible}) with check ({visible})")
    op.execute(f"create policy owner on ali.{table} to current_user using (true) with check (true)")
    op.execute(f"grant {rights} on ali.{table} to {SERVICE_ROLE}")


def door(signature: str) -> None:
    """Let the service's role, and nobody else, call the function `ali.<signature>`, which acts with its owner's rights.

    The function sets `search_path` itself: a caller's could put other tables in place of ours.
    """
    op.execute(f"revoke all on function ali.{signature} from public")
    op.execute(f"grant execute on function ali.{signature} to {SERVICE_ROLE}")
