"""LiteLLM's proxy: a pinned release in a virtual environment of its own, fetched by this benchmark alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.gateway.children import StartFailed
from bench.gateway.upstream import MODEL

VERSION = "1.106.2"
"""The newest release whose own pinned requirements could all be had when this was written."""
MASTER_KEY = "sk-bench-litellm"
ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_MASTER_KEY": MASTER_KEY,
    "DISABLE_ADMIN_UI": "True",
    "NO_PROXY": "127.0.0.1",
}
"""Source: its "Production Best Practices" (docs.litellm.ai/docs/proxy/prod); nothing is asked of the network."""

_CONFIGURATION = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: sk-bench-provider
general_settings:
  master_key: {master_key}
litellm_settings:
  request_timeout: 600
  set_verbose: false
  json_logs: true
  telemetry: false
"""


def configuration(*, upstream: int) -> str:
    """Its configuration file: one model, a master key, no database, no callbacks."""
    return _CONFIGURATION.format(model=MODEL, upstream=upstream, master_key=MASTER_KEY)


def version() -> str:
    """The release to compare with: `ALI_BENCH_LITELLM_VERSION`, or the pinned one."""
    return os.environ.get("ALI_BENCH_LITELLM_VERSION", VERSION)


def installed() -> Path:
    """The `litellm` program, installed into the cache folder if it is not there. Raises StartFailed.

    Costs about 600 MB of disk; `ALI_BENCH_CACHE` names another folder than `~/.cache/ali-bench`.
    """
    cache = Path(os.environ.get("ALI_BENCH_CACHE") or Path.home() / ".cache" / "ali-bench")
    environment = cache / f"litellm-{version()}"
    binary, complete = environment / "bin" / "litellm", environment / "complete"
    if complete.exists():
        return binary
    print(f"Fetching LiteLLM {version()} into {environment} (once) …", flush=True)
    shutil.rmtree(environment, ignore_errors=True)
    requirements = [f"litellm[proxy]=={version()}", "opentelemetry-sdk"]
    uv = shutil.which("uv")
    if uv:
        steps = [
            [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(environment)],
            [
                *(uv, "pip", "install", "--quiet", "--compile-bytecode"),
                *("--python", str(environment / "bin" / "python"), *requirements),
            ],
        ]
    else:
        steps = [
            [sys.executable, "-m", "venv", str(environment)],
            [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements],
        ]
    cache.mkdir(parents=True, exist_ok=True)
    for step in steps:
        try:
            subprocess.run(step, check=True, timeout=900, capture_output=True, text=True, cwd=cache)
        except subprocess.CalledProcessError as error:
            last = " | ".join(error.stderr.strip().splitlines()[-3:])
            raise StartFailed(f"LiteLLM {version()} could not be installed: {last}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StartFailed(f"LiteLLM {version()} could not be installed: {error}") from error
    complete.touch()
    return binary
