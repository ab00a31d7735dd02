"""`ali simulate-provider`: try the service with no account."""

from typing import Annotated

import typer

from ali.ops.simulator.command import DEFAULT_PORT, SimulationOptions, faults_table, run
from ali.ops.simulator.faults import Fault


def simulate_provider(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 picks a free one.")] = DEFAULT_PORT,
    latency_ms: Annotated[float, typer.Option(min=0, help="Time before the head of each answer.")] = 0.0,
    tokens_per_second: Annotated[float, typer.Option(min=0, help="Pace of streams; 0 sends them at once.")] = 0.0,
    tokens: Annotated[int, typer.Option(min=0, help="Length of the default answer, an echo.")] = 16,
    fault: Annotated[
        Fault | None, typer.Option(metavar="FAULT", help="What is wrong with every answer; see --list-faults.")
    ] = None,
    fault_limit_s: Annotated[float, typer.Option(min=0.1, help="Ends the faults that would not end.")] = 30.0,
    api_key: Annotated[str, typer.Option(help="The only key taken; any, if left out.")] = "",
    model: Annotated[list[str] | None, typer.Option(help="A further model name to take; may be repeated.")] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Print the faults and stop.")] = False,
) -> None:
    """Simulate OpenAI and Anthropic on a loopback port, in health and with every fault."""
    if list_faults:
        typer.echo(faults_table())
        return
    options = SimulationOptions(
        port=port,
        latency_ms=latency_ms,
        tokens_per_second=tokens_per_second,
        tokens=tokens,
        fault=fault,
        fault_limit_s=fault_limit_s,
        api_key=api_key,
        models=tuple(model or ()),
    )
    try:
        run(options)
    except OSError as error:
        typer.echo(f"Cannot listen on port {port}: {error.strerror or error}. Choose another with --port.", err=True)
        raise typer.Exit(1) from error
