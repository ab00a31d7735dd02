"""`python -m ali.ops.simulator`: the same as `ali simulate-provider`, without the command line's imports."""

import argparse
import sys

from ali.ops.simulator.command import DEFAULT_PORT, SimulationOptions, faults_table, run
from ali.ops.simulator.faults import Fault


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m ali.ops.simulator", description="Simulated OpenAI and Anthropic.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 picks a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="before the head of each answer")
    parser.add_argument("--tokens-per-second", type=float, default=0.0, help="0 sends streams at once")
    parser.add_argument("--tokens", type=int, default=16, help="length of the default answer")
    parser.add_argument("--fault", type=Fault.named, metavar="FAULT", help="of every answer")
    parser.add_argument("--fault-limit-s", type=float, default=30.0, help="ends faults that would not end")
    parser.add_argument("--api-key", default="", help="the only key taken; any, if left out")
    parser.add_argument("--model", action="append", default=[], help="a further model name to take; may be repeated")
    parser.add_argument("--list-faults", action="store_true", help="print the faults and stop")
    given = parser.parse_args()
    if given.list_faults:
        sys.stdout.write(faults_table() + "\n")
        return
    options = SimulationOptions(
        port=given.port,
        latency_ms=given.latency_ms,
        tokens_per_second=given.tokens_per_second,
        tokens=given.tokens,
        fault=given.fault,
        fault_limit_s=given.fault_limit_s,
        api_key=given.api_key,
        models=tuple(given.model),
    )
    try:
        run(options)
    except OSError as error:
        parser.exit(1, f"Cannot listen on port {given.port}: {error.strerror or error}. Choose another with --port.\n")


if __name__ == "__main__":
    main()
