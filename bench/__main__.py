"""`./run bench NAME`: one subcommand a benchmark."""

import argparse
import sys

from bench import access, disk, limits, reading, tenancy
from bench.gateway import command as gateway
from bench.knowledge import command as knowledge
from bench.responses import command as responses
from bench.retrieval import command as retrieval


def main(arguments: list[str]) -> int:
    """Run the benchmark named by the arguments; returns the exit status."""
    parser = argparse.ArgumentParser(prog="./run bench", description="Benchmarks of Ali API. Linux only.")
    subcommands = parser.add_subparsers(required=True, metavar="NAME")
    for benchmark in (gateway, responses, knowledge, retrieval, reading, access, limits, tenancy, disk):
        subparser = subcommands.add_parser(benchmark.NAME, help=benchmark.SUMMARY, description=benchmark.SUMMARY)
        benchmark.add_arguments(subparser)
        subparser.set_defaults(run=benchmark.run)
    chosen = parser.parse_args(arguments)
    return int(chosen.run(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
