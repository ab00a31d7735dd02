"""Who is compared: no gateway at all, nginx, Ali and LiteLLM, each started the same way and told apart by name."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.gateway import litellm, processes
from bench.gateway.children import Children, StartFailed, free_port

DIRECT, NGINX, ALI, LITELLM = "direct", "nginx", "Ali", "LiteLLM"
ORDER = (DIRECT, NGINX, ALI, LITELLM)
_PROVIDER_KEY = "sk-bench-provider"
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""Set in many containers; it would add the compiling of every module to each start measured here."""
_NEVER_HIT_PER_MINUTE = 100_000_000

_NGINX_CONFIGURATION = """\
{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 600; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


@dataclass(slots=True, kw_only=True)
class Contestant:
    """A way to the upstream, up and running."""

    name: str
    port: int
    headers: tuple[tuple[str, str], ...] = ()
    child: "subprocess.Popen[bytes] | None" = None
    start_s: float | None = None
    tree: processes.Tree = field(default_factory=lambda: processes.Tree((), ()))

    def refresh(self, cores: processes.Cores) -> processes.Tree:
        """Look again which processes belong to it, and bind each to its core: PostgreSQL's come and go."""
        if self.child:
            self.tree = processes.tree(self.child.pid)
            processes.pin(self.tree.service, {cores.service})
            processes.pin(self.tree.postgres, {cores.postgres})
        return self.tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What every contestant is started with."""

    children: Children
    folder: Path
    cores: processes.Cores
    upstream: int
    """The port of the simulated provider."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """More of Ali's environment."""


async def start_upstream(children: Children, cores: processes.Cores, *, module: str = "bench.gateway.upstream") -> int:
    """Start the simulated provider; returns its port."""
    port = free_port()
    command = [sys.executable, "-m", module, "--port", str(port)]
    child = children.start("upstream", command, cores={cores.upstream})
    await children.wait_until_ready(child, port=port, path="/v1/models", timeout_s=20)
    return port


async def direct(stage: Stage) -> Contestant:
    """The load generator talks to the upstream itself."""
    return Contestant(name=DIRECT, port=stage.upstream)


async def nginx(stage: Stage) -> Contestant:
    """Nginx with kept-alive upstream connections, one worker, no access log: what relaying costs at the least.

    Raises StartFailed where nginx is missing.
    """
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if not binary:
        raise StartFailed("nginx is not installed (Debian: apt-get install nginx-light)")
    folder, port = stage.folder / "nginx", free_port()
    folder.mkdir()
    configuration = folder / "nginx.conf"
    # Started by root, nginx would run its worker as another user, who cannot enter the benchmark's private folder.
    user = "user root;\n" if os.geteuid() == 0 else ""
    configuration.write_text(
        _NGINX_CONFIGURATION.format(user=user, folder=folder, upstream=stage.upstream, port=port), encoding="utf-8"
    )
    command = [binary, "-e", f"{folder}/nginx-error.log", "-p", str(folder), "-c", str(configuration)]
    child = stage.children.start("nginx", command, cores={stage.cores.service})
    start_s = await stage.children.wait_until_ready(child, port=port, path="/v1/models", timeout_s=20)
    return Contestant(name=NGINX, port=port, child=child, start_s=start_s)


async def ali(stage: Stage) -> Contestant:
    """Ali with everything on: authentication, a limit that is never hit, metering in PostgreSQL, metrics, a log line.

    Raises StartFailed.
    """
    binary = Path(sys.executable).with_name("ali")
    if not binary.exists():
        raise StartFailed(f"there is no `ali` beside {Path(sys.executable).name}: run it by ./run bench")
    contestant = Contestant(name=ALI, port=free_port())
    await start_ali(stage, contestant)
    key = (_ali_home(stage) / "credentials" / "owner-api-key").read_text(encoding="utf-8").strip()
    contestant.headers = (("authorization", f"Bearer {key}"),)
    return contestant


async def start_ali(stage: Stage, contestant: Contestant) -> None:
    """Start Ali, for the first time or again, in the contestant's home; sets its child and `start_s`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ALI_", "OPENAI_", "ANTHROPIC_", "OTEL_", "LANGFUSE_"))
        and name not in {"DATABASE_URL", "REDIS_URL", "PORT", _NO_BYTECODE}
    }
    environment = kept | {
        "ALI_HOME": str(_ali_home(stage)),
        "ALI_REQUESTS_PER_MINUTE": str(_NEVER_HIT_PER_MINUTE),
        "ALI_LOG_FORMAT": "json",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{stage.upstream}/v1",
        "OPENAI_API_KEY": _PROVIDER_KEY,
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{stage.upstream}",
        "ANTHROPIC_API_KEY": _PROVIDER_KEY,
        **stage.settings,
    }
    command = [str(Path(sys.executable).with_name("ali")), "serve", "--host", "127.0.0.1"]
    command += ["--port", str(contestant.port), "--workers", "1"]
    began = time.monotonic()
    contestant.child = stage.children.start("ali", command, cores={stage.cores.service}, environment=environment)
    await stage.children.wait_until_ready(
        contestant.child, port=contestant.port, path="/readyz", timeout_s=120, poll_s=0.005
    )
    contestant.start_s = time.monotonic() - began
    contestant.refresh(stage.cores)


def _ali_home(stage: Stage) -> Path:
    return stage.folder / "ali-home"


async def litellm_proxy(stage: Stage) -> Contestant:
    """LiteLLM's proxy as its production page has it, one worker, without a database: less work than Ali does.

    Raises StartFailed; the message says how to install it.
    """
    binary = litellm.installed()
    configuration = stage.folder / "litellm.yaml"
    configuration.write_text(litellm.configuration(upstream=stage.upstream), encoding="utf-8")
    port = free_port()
    command = [str(binary), "--config", str(configuration), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--num_workers", "1"]
    environment = {name: value for name, value in os.environ.items() if name != _NO_BYTECODE} | litellm.ENVIRONMENT
    child = stage.children.start("litellm", command, cores={stage.cores.service}, environment=environment)
    start_s = await stage.children.wait_until_ready(
        child, port=port, path="/health/liveliness", timeout_s=180, poll_s=0.2
    )
    headers = (("authorization", f"Bearer {litellm.MASTER_KEY}"),)
    return Contestant(name=LITELLM, port=port, headers=headers, child=child, start_s=start_s)


STARTERS = {DIRECT: direct, NGINX: nginx, ALI: ali, LITELLM: litellm_proxy}
