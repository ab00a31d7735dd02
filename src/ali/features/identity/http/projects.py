"""`/v1/organization/projects`: list, create, retrieve, modify, archive."""

from typing import Annotated

from fastapi import APIRouter, Query

from ali.features.identity import projects
from ali.features.identity.authority import Authority
from ali.features.identity.http.access import Transaction, requires
from ali.features.identity.http.answers import Json, listing, project
from ali.features.identity.http.authority import in_project, over_organization
from ali.features.identity.http.inputs import Body, Name, place_of
from ali.features.identity.naming import Kind
from ali.features.identity.paging import Place
from ali.features.identity.principal import Principal
from ali.features.identity.reach import Reached, projects_within
from ali.features.identity.roles import Permission

router = APIRouter(prefix="/v1/organization/projects", tags=["administration"])

Reader = Annotated[Principal, requires(Permission.PROJECTS_READ)]


class NamedProject(Body):
    """A project to be made or renamed."""

    name: Name


@router.get("", summary="List projects")
async def list_projects(
    reader: Reader,
    transaction: Transaction,
    place: Annotated[Place, place_of(Kind.PROJECT)],
    include_archived: Annotated[bool, Query()] = False,  # noqa: FBT002 - a query parameter
) -> Json:
    """The projects that the caller reaches."""
    within = await projects_within(transaction, reader)
    page = await projects.listed(transaction, within=within, include_archived=include_archived, place=place)
    return listing(page, project)


@router.post("", summary="Create a project")
async def create_project(
    keeper: Annotated[Authority, over_organization(Permission.PROJECTS_WRITE)],
    transaction: Transaction,
    body: NamedProject,
) -> Json:
    """A new, empty project."""
    return project(await projects.create(transaction, keeper, name=body.name))


@router.get("/{project_id}", summary="Retrieve a project")  # noqa: FAST003 - `in_project` takes it
async def retrieve_project(reached: Annotated[Reached, in_project(Permission.PROJECTS_READ)]) -> Json:
    """One project, archived or not."""
    return project(reached.project)


@router.post("/{project_id}", summary="Modify a project")  # noqa: FAST003 - `in_project` takes it
async def modify_project(
    reached: Annotated[Reached, in_project(Permission.PROJECTS_WRITE)], transaction: Transaction, body: NamedProject
) -> Json:
    """The project under another name."""
    return project(await projects.rename(transaction, reached, name=body.name))


@router.post("/{project_id}/archive", summary="Archive a project")  # noqa: FAST003 - `in_project` takes it
async def archive_project(
    reached: Annotated[Reached, in_project(Permission.PROJECTS_WRITE)], transaction: Transaction
) -> Json:
    """The project, archived for good. Its keys stop within a second; its usage stays."""
    return project(await projects.archive(transaction, reached))
