"""What every command that goes through the running service takes, and how it stops."""

import sys
from typing import Annotated, NoReturn

import typer

from ali.cli.service_client import Service
from ali.kernel.setting_values import checked_base_url

FAILED, BAD_INPUT = 1, 2
DEFAULT_URL = "http://127.0.0.1:8000"

UrlOption = Annotated[str, typer.Option(envvar="ALI_URL", help="Where the service is.")]
KeyOption = Annotated[
    str | None,
    typer.Option(
        envvar="ALI_API_KEY",
        help="Key for the service; default: the owner's, from the home folder.",
        show_envvar=True,
        show_default=False,
    ),
]


def service_at(url: str, api_key: str | None, *, command: str) -> Service:
    """The service that a command was pointed at; stops the command where the address is none."""
    try:
        return Service(base_url=checked_base_url(url), api_key=api_key)
    except ValueError as error:
        stop(f"--url {url}: {error}", command=command, code=BAD_INPUT)


def stop(message: str, *, command: str, code: int) -> NoReturn:
    """End the command with a line on standard error."""
    print(f"ali {command}: {printable(message)}", file=sys.stderr)
    raise typer.Exit(code)


def printable(text: str) -> str:
    """Text without control characters: a document must not drive the terminal."""
    return "".join(char for char in text if char in "\n\t" or char.isprintable() or (char.isspace() and char > "\x9f"))
