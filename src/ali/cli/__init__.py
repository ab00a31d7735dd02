"""The command line: parse, call, print. A command's module is imported when that command is called, and not before.

Exit codes: 0 done, 1 failed, 2 called or configured wrongly, 130 interrupted.
"""

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command to be: where its function or its own group of commands is, and its line in the help."""

    module: str
    attribute: str
    help: str


COMMANDS = {
    "serve": Command(module="ali.cli.serve", attribute="serve", help="Prepare what is missing and start the service."),
    "worker": Command(
        module="ali.cli.worker", attribute="worker", help="Run batches, beside processes that serve and do not."
    ),
    "ask": Command(module="ali.cli.ask", attribute="ask", help="Ask a question about files or a vector store."),
    "knowledge": Command(
        module="ali.cli.knowledge", attribute="app", help="Import documents into vector stores, search and list them."
    ),
    "keys": Command(
        module="ali.features.keys.cli.keys", attribute="app", help="Issue, list, show, change and revoke API keys."
    ),
    "service-accounts": Command(
        module="ali.features.keys.cli.service_accounts",
        attribute="app",
        help="List, create and delete service accounts.",
    ),
    "organizations": Command(
        module="ali.features.identity.cli.organizations",
        attribute="app",
        help="List, create and show organizations.",
    ),
    "projects": Command(
        module="ali.features.identity.cli.projects", attribute="app", help="Look after projects and their members."
    ),
    "users": Command(
        module="ali.features.identity.cli.users", attribute="app", help="Invite, list, change and remove people."
    ),
    "roles": Command(
        module="ali.features.identity.cli.roles",
        attribute="roles",
        help="Show the roles, and which permissions each carries.",
    ),
    "usage": Command(
        module="ali.features.metering.cli",
        attribute="usage",
        help="Show requests and tokens by day, of all operations.",
    ),
    "costs": Command(
        module="ali.features.metering.cli",
        attribute="costs",
        help="Show what was spent by day, in US dollars, and the sum of it.",
    ),
    "audit": Command(module="ali.features.identity.cli.audit", attribute="app", help="Read the audit record."),
    "budgets": Command(module="ali.features.metering.budgets.cli", attribute="app", help="Set and show budgets."),
    "limits": Command(module="ali.features.metering.limiting.cli", attribute="app", help="Set and show rate limits."),
    "files": Command(module="ali.features.files.cli", attribute="app", help="List, upload, download and delete files."),
    "conversations": Command(
        module="ali.features.conversations.cli", attribute="app", help="List, show and delete conversations."
    ),
    "responses": Command(module="ali.features.responses.cli", attribute="app", help="List, show and delete responses."),
    "auth": Command(module="ali.cli.auth", attribute="app", help="Look after people's sign-in and its keys."),
    "database": Command(module="ali.cli.database", attribute="app", help="Look after the database's schema."),
    "config": Command(module="ali.cli.config", attribute="config", help="Show the settings in force."),
    "doctor": Command(
        module="ali.cli.doctor", attribute="doctor", help="Check this installation and say what to mend."
    ),
    "simulate-provider": Command(
        module="ali.cli.simulate", attribute="simulate_provider", help="Run a simulated OpenAI or Anthropic."
    ),
}

_TYPER: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,  # plain help: rich would cost each start 0.1 s
    "pretty_exceptions_enable": False,
}


class LazyGroup(TyperGroup):
    """The top level. Its help is written from `COMMANDS`, without importing any of them."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override] # noqa: ARG002 - typer names the type otherwise
        """In the order of `COMMANDS`, the most used first."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override] # noqa: ANN401, ARG002 - typer keeps its command type private
        """The command's parser, its module imported now; None where there is no such command."""
        command = COMMANDS.get(cmd_name)
        return None if command is None else parser_of(command, name=cmd_name)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override] # noqa: ANN401, ARG002 - as above
        """The list of commands in the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])


def parser_of(command: Command, *, name: str) -> Any:  # noqa: ANN401 - typer keeps its command type private
    """Import a command and make its parser."""
    with importing():
        found: typer.Typer | Callable[..., object] = getattr(import_module(command.module), command.attribute)
    # Under a group of ours, so that a slice's commands look like all others whatever their own group says.
    group = typer.Typer(**_TYPER)
    if isinstance(found, typer.Typer):
        group.add_typer(found, name=name)
    else:
        group.command(name)(found)
    return typer.main.get_group(group).commands[name]


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Around many imports: what they make is not searched for garbage, now or ever.

    The collector would go through all classes and functions again and again as they come: 0.2 s of a start's 1.1 s
    (measured), and the same at each full collection later.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, **_TYPER)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's signature for an option's callback
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - 20 ms that no other command needs

        print(f"ali {version('ali-api')}")
        raise typer.Exit


@app.callback()
def _top(
    _version: Annotated[  # noqa: FBT002 - typer reads an option from an argument
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The AI assistant API that an organisation runs itself."""


def main() -> None:
    """Run the command line on the process's arguments, and exit."""
    with fail_explained():
        typer.main.get_command(app)(prog_name="ali")


@contextlib.contextmanager
def fail_explained() -> Iterator[None]:
    """An expected failure becomes lines on standard error and an exit code; a bug keeps its traceback."""
    try:
        yield
    except Exception as error:
        lines = explained(error)
        if not lines:
            raise
        for line in lines:
            print(f"ali: {line}", file=sys.stderr)
        sys.exit(_exit_code(error))


def explained(error: Exception) -> list[str]:
    """What to tell a person about an expected failure; nothing for a bug, which deserves its traceback."""
    from pydantic import ValidationError  # noqa: PLC0415 - on the way out only
    from pydantic_settings import SettingsError  # noqa: PLC0415 - as above

    from ali.kernel.errors import AliError  # noqa: PLC0415 - as above

    if isinstance(error, AliError):
        return [error.message]
    if isinstance(error, SettingsError):
        return [f"{error}. Give it as JSON; docs/reference/settings.md has the forms."]
    if isinstance(error, ValidationError) and error.title == "Settings":
        from ali.cli.config import variable_of  # noqa: PLC0415 - as above

        # Without the value: it may be a secret.
        return [
            ".".join([variable_of(str(problem["loc"][0])), *map(str, problem["loc"][1:])]) + f": {problem['msg']}"
            for problem in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    return []


def _exit_code(error: Exception) -> int:
    from ali.kernel.errors import AliError  # noqa: PLC0415 - on the way out only

    return 1 if isinstance(error, AliError) else 2
