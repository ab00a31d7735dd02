"""`./run bench disk`: start a clean copy of this checkout once, in a home of its own, and count what that took."""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from bench.gateway.children import Children, StartFailed, free_port, workplace

NAME = "disk"
SUMMARY = "What a clean ./run takes of the disk: it fetches everything again, into a folder that is removed afterwards."
GOAL_BYTES = 400_000_000
_ROOT = Path(__file__).resolve().parents[1]
_RESULT = _ROOT / "bench" / "results" / "disk.json"
_KEPT_VARIABLES = (
    *("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "SSL_CERT_FILE", "TMPDIR", "LANG"),
    *("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "all_proxy", "no_proxy"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--timeout", type=int, default=900, metavar="S", help="seconds for the start (default 900)")


def run(options: argparse.Namespace) -> int:
    """Measure, print, keep; 1 where the clean start failed."""
    try:
        sizes = asyncio.run(_measure(timeout_s=options.timeout))
    except StartFailed as error:
        print(f"The clean start failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    total = sum(sizes.values())
    print("| a clean ./run | MB |\n|---|---:|")
    for part, size in sizes.items():
        print(f"| {part} | {size / 1e6:.0f} |")
    verdict = "yes" if total <= GOAL_BYTES else "no"
    print(f"| together | {total / 1e6:.0f} |\n\nGoal: at most {GOAL_BYTES / 1e6:.0f} MB. Reached: {verdict}.")
    _RESULT.parent.mkdir(parents=True, exist_ok=True)
    kept = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "total_bytes": total, "parts": sizes}
    _RESULT.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return 0


def copy_checkout(source: Path, target: Path) -> None:
    """What a clone would hold: the files that git knows or would add, and nothing that it ignores."""
    listed = subprocess.run(
        ["git", "-C", str(source), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def disk_use(parts: dict[str, Path]) -> dict[str, int]:
    """Bytes on the disk under each folder. A file with several names counts once, in the first part that has it.

    So a part within an earlier one yields what the earlier ones left out.
    """
    seen: set[tuple[int, int]] = set()
    sizes: dict[str, int] = {}
    for part, folder in parts.items():
        sizes[part] = 0
        for path in _everything_under(folder):
            status = path.lstat()
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                sizes[part] += status.st_blocks * 512
    return sizes


def _everything_under(folder: Path) -> Iterable[Path]:
    for place, folders, files in os.walk(folder):
        yield Path(place)
        yield from (Path(place, name) for name in (*folders, *files))


async def _measure(*, timeout_s: float) -> dict[str, int]:
    async with workplace() as children:
        clone, home = children.folder / "clone", children.folder / "home"
        home.mkdir(mode=0o711)
        copy_checkout(_ROOT, clone)
        await _start_once(children, clone=clone, home=home, timeout_s=timeout_s)
        return disk_use(
            {
                "virtual environment (.venv)": clone / ".venv",
                "uv and its cache (.tools)": clone / ".tools",
                "data (ALI_HOME)": home / ".local" / "share" / "ali",
                "whatever else lies in the home folder": home,
                "the checkout itself": clone,
            }
        )


async def _start_once(children: Children, *, clone: Path, home: Path, timeout_s: float) -> None:
    """`./run` as on a fresh machine: no uv on the path, nothing in the home folder; stopped at its first 200."""
    port = free_port()
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    environment |= {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    interpreter = Path(sys.base_prefix) / "bin" / "python3"
    print(f"Starting a clean copy in {clone} …", file=sys.stderr, flush=True)
    child = children.start(
        "run",
        [str(interpreter), str(clone / "run"), "--port", str(port)],
        cores=os.sched_getaffinity(0),
        environment=environment,
    )
    await children.wait_until_ready(child, port=port, path="/readyz", timeout_s=timeout_s, poll_s=0.2)
    await children.stop(child)
