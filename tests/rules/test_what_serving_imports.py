"""What only some requests or commands need is not in the memory of every process that serves.

Each of these crept in once, or would weigh megabytes if it did. The benchmark says how much memory there is
(`./run bench gateway --only 5`); this says who brought it.
"""

import subprocess
import sys
from typing import Final

ABSENT: Final = {
    "alembic": "a first start's",
    "cryptography": "imported when something is sealed: ali.kernel.aead",
    "obstore": "imported when a file is stored: ali.kernel.objects",
    "pygments": "rich's",
    "pypdfium2": "the process's that reads documents",
    "rich": "`ali ask`'s",
    "structlog": "it imports rich: ali.kernel.log",
    "websockets": "imported when a socket is opened",
    "zxcvbn": "imported when a password is set",
}


def test_a_process_that_serves_imports_nothing_that_only_few_requests_need() -> None:
    program = "import ali.cli.serve, ali.app.edge, ali.cli.server, sys; print(*sys.modules)"
    imported = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout.split()
    assert "ali.app.edge" in imported
    assert {name: ABSENT[name] for name in ABSENT if name in imported} == {}
