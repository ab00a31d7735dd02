"""`ali roles`: what each role may do."""

import json
from typing import Annotated

import typer

from ali.features.identity.cli.terminal import print_table
from ali.features.identity.roles import MEANINGS, ROLE_MEANINGS, ROLES, Permission


def roles(*, as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False) -> None:
    """Show the roles, and which permissions each carries."""
    if as_json:
        table = {
            role: {"meaning": ROLE_MEANINGS[role], "permissions": [p.value for p in Permission if p in carried]}
            for role, carried in ROLES.items()
        }
        meanings = {permission.value: MEANINGS[permission] for permission in Permission}
        print(json.dumps({"roles": table, "permissions": meanings}, indent=2))
        return
    print_table([[role, meaning] for role, meaning in ROLE_MEANINGS.items()])
    print()
    print_table(
        [
            ["", *ROLES, ""],
            *(
                [permission.value, *("x" if permission in ROLES[role] else "" for role in ROLES), MEANINGS[permission]]
                for permission in Permission
            ),
        ]
    )
