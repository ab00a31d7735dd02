"""`/v1/organization/audit_logs`: the audit record's read side."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from ali.features.audit.queries import Wanted
from ali.features.identity import trail
from ali.features.identity.authority import Authority
from ali.features.identity.http.access import Transaction
from ali.features.identity.http.answers import Json, listing, unix
from ali.features.identity.http.authority import over_organization
from ali.features.identity.http.inputs import LATEST, listed, moment, place_of
from ali.features.identity.naming import Kind, maybe_named, named, read, read_any
from ali.features.identity.paging import Place
from ali.features.identity.roles import Permission

router = APIRouter(prefix="/v1/organization/audit_logs", tags=["administration"])


async def _wanted(
    *,
    project_ids: Annotated[list[str], listed("project_ids")],
    event_types: Annotated[list[str], listed("event_types")],
    actor_ids: Annotated[list[str], listed("actor_ids")],
    resource_ids: Annotated[list[str], listed("resource_ids")],
    later_than: Annotated[int | None, Query(alias="effective_at[gt]", ge=0, le=LATEST - 1)] = None,
    since: Annotated[int | None, Query(alias="effective_at[gte]", ge=0, le=LATEST)] = None,
    until: Annotated[int | None, Query(alias="effective_at[lt]", ge=0, le=LATEST)] = None,
    up_to: Annotated[int | None, Query(alias="effective_at[lte]", ge=0, le=LATEST - 1)] = None,
) -> Wanted:
    """The filters. An identifier that is none is one of nothing: it narrows, and finds nothing."""
    starts = [second for second in (since, None if later_than is None else later_than + 1) if second is not None]
    ends = [second for second in (until, None if up_to is None else up_to + 1) if second is not None]
    projects = [read(Kind.PROJECT, text) for text in project_ids]
    actors = [read_any((Kind.USER, Kind.API_KEY), text) for text in actor_ids]
    return Wanted(
        since=moment(max(starts)) if starts else None,
        until=moment(min(ends)) if ends else None,
        actions=event_types or None,
        projects=[project for project in projects if project] if project_ids else None,
        actors=[actor for actor in actors if actor] if actor_ids else None,
        targets=resource_ids or None,
    )


@router.get("", summary="List audit logs")
async def list_audit_logs(
    reader: Annotated[Authority, over_organization(Permission.AUDIT_READ)],
    transaction: Transaction,
    place: Annotated[Place, place_of(Kind.AUDIT_EVENT, descending=True)],
    wanted: Annotated[Wanted, Depends(_wanted)],
    actor_emails: Annotated[list[str], listed("actor_emails")],
) -> Json:
    """What was done in the organization, newest first. Times are whole seconds, as `effective_at` shows them."""
    page = await trail.listed(
        transaction, reader.organization_id, wanted=wanted, actor_emails=actor_emails, place=place
    )
    return listing(page, event)


def event(entry: trail.Entry) -> Json:
    """`organization.audit_log`: what every event has, and its details under its own type."""
    row = entry.row
    answer: Json = {
        "object": "organization.audit_log",
        "id": named(Kind.AUDIT_EVENT, row.id),
        "type": row.action,
        "effective_at": unix(row.occurred_at),
        "actor": _actor(entry),
        row.action: _details(entry),
        "ali_actor_kind": row.actor_kind,
        "ali_request_id": row.request_id,
    }
    if row.project_id is not None:
        answer["project"] = {"id": named(Kind.PROJECT, row.project_id), "name": entry.project_name}
    return answer


def _actor(entry: trail.Entry) -> Json | None:
    """None for the operator and the service itself, for whom OpenAI has no word."""
    row = entry.row
    if row.actor_kind == "user":
        user = {"id": maybe_named(Kind.USER, row.actor_id), "email": entry.actor_email}
        return {"type": "session", "session": {"user": user, "ip_address": row.address}}
    if row.actor_kind == "api_key":
        return {"type": "api_key", "api_key": {"id": maybe_named(Kind.API_KEY, row.actor_id)}}
    return None


def _details(entry: trail.Entry) -> Json:
    detail: dict[str, Any] = entry.row.detail
    verb = entry.row.action.rpartition(".")[2]
    under = {"created": "data", "added": "data", "sent": "data", "updated": "changes_requested"}.get(verb)
    answer: Json = {"id": entry.row.target_id}
    if under is not None:
        answer[under] = detail
    elif detail:
        answer["ali_detail"] = detail
    return answer
