"""`ali doctor`: look at what usually goes wrong in an installation, and say how to mend it."""

import http.client
import os
import shutil
import socket
import stat
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from pydantic import SecretStr

from ali.cli.doctor_edge import edge
from ali.cli.doctor_index import search_index
from ali.cli.doctor_ingestion import ingestion
from ali.cli.doctor_mcp import mcp_servers, mcp_servers_online
from ali.cli.doctor_objects import objects
from ali.cli.doctor_recognition import recognition
from ali.cli.doctor_search import pgvector, search_models
from ali.cli.doctor_sign_in import sign_in
from ali.kernel.checks import Check, CheckResult, CheckStatus, failed, passed, run_checks, warned, worst
from ali.kernel.settings import Settings
from ali.ops import bootstrap, database

_SCARCE_MB = 1024
_TOO_LITTLE_MB = 200
_ONLINE_TIMEOUT_S = 10
_REDIS_TIMEOUT_S = 2


def doctor(
    *,
    online: Annotated[
        bool,
        typer.Option(
            "--online", help="Ask each provider and MCP server too whether it can be reached and takes the key."
        ),
    ] = False,
) -> None:
    """Check this installation and say what to mend. Exits with 1 if something failed."""
    results = []
    for result in run_checks(checks(Settings(), online=online)):
        results.append(result)
        print(f"{result.status:<4}  {result.name}: {result.detail}")
        if result.hint:
            print(f"      {result.hint}")
    if worst(results) is CheckStatus.FAIL:
        raise typer.Exit(1)


def checks(settings: Settings, *, online: bool) -> list[Check]:
    """What is looked at, in this order. Nothing leaves the machine (database and Redis aside) unless `online`."""
    listed: dict[str, Callable[[], Iterator[CheckResult]]] = {
        "home folder": lambda: _home(settings.home),
        "credentials": lambda: _credentials(settings.credentials),
        "disk": lambda: _disk(settings.home),
        "port": lambda: _port(settings.host, settings.port),
        "database": lambda: _database(settings),
        "key of API keys": lambda: _hmac_secret(settings),
        "object store": lambda: objects(settings),
        "text recognition": recognition,
        "rate limits": lambda: _rate_limits(settings),
        "providers": lambda: _providers(settings),
        "edge": lambda: edge(settings),
        "model prices": lambda: _model_prices(settings),
        "sign-in": lambda: sign_in(settings),
        "MCP servers": lambda: mcp_servers(settings),
        "pgvector": lambda: pgvector(settings),
        "search models": lambda: search_models(settings),
        "files of vector stores": lambda: ingestion(settings),
        "search index": lambda: search_index(settings),
    }
    if online:
        listed["MCP servers, online"] = lambda: mcp_servers_online(settings)
        listed["providers, online"] = lambda: _providers_online(settings)
    return [Check(name=name, run=run) for name, run in listed.items()]


def _home(home: Path) -> Iterator[CheckResult]:
    name = "home folder"
    if not home.exists():
        parent = next(folder for folder in home.absolute().parents if folder.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            yield passed(name, f"{home} will be made at the first start")
        else:
            yield failed(name, f"{home} cannot be made", hint=f"Set ALI_HOME, or give this user {parent}.")
    elif not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        yield failed(name, f"{home} is not writable", hint="Set ALI_HOME, or change its owner to this user.")
    elif home.stat().st_mode & stat.S_IWOTH:
        yield failed(name, f"{home} is writable by everybody", hint=f"chmod o-w {home}")
    else:
        yield passed(name, f"{home} is writable")


def _credentials(folder: Path) -> Iterator[CheckResult]:
    name = "credentials"
    if not folder.exists():
        yield passed(name, "none yet")
        return
    loose = [path for path in (folder, *sorted(folder.iterdir())) if path.stat().st_mode & 0o077]
    for path in loose:
        yield failed(name, f"{path} is open to other users", hint=f"chmod go= {path}")
    if not loose:
        yield passed(name, "closed to other users")


def _disk(home: Path) -> Iterator[CheckResult]:
    name = "disk"
    folder = next(path for path in (home, *home.absolute().parents) if path.exists())
    free_mb = shutil.disk_usage(folder).free >> 20
    detail = f"{free_mb} MB free at {folder}"
    if free_mb < _TOO_LITTLE_MB:
        yield failed(name, detail, hint="Free some space: PostgreSQL stops when the disk is full.")
    elif free_mb < _SCARCE_MB:
        yield warned(name, detail, hint="Free some space before it runs out.")
    else:
        yield passed(name, detail)


def _port(host: str, port: int) -> Iterator[CheckResult]:
    name = "port"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        hint = "Right if the service runs already. Otherwise set PORT and ALI_HOST to a free port of this machine."
        yield warned(name, f"{host}:{port} cannot be bound now: {error.strerror or error}", hint=hint)
    else:
        yield passed(name, f"{host}:{port} is free")


def _database(settings: Settings) -> Iterator[CheckResult]:
    name = "database"
    try:
        found = database.status(settings.database_dsn())
    except FileNotFoundError:
        yield passed(name, "the embedded PostgreSQL will be made at the first start")
    except database.DatabaseUnreachable as error:
        if settings.embedded:
            yield warned(name, "the embedded PostgreSQL is not running", hint="`ali serve` starts it.")
        else:
            yield failed(name, error.message, hint="Check DATABASE_URL, the server, and the network between.")
    else:
        yield passed(name, f"PostgreSQL {found.server_version}, {found.size_bytes >> 20} MB")
        if found.current:
            yield passed("schema", f"at {found.head}")
            yield _tenancy(settings)
        else:
            detail = f"at {found.revision or 'nothing'}, and {found.head} is needed"
            yield failed("schema", detail, hint="`ali database migrate`, which `ali serve` does by itself.")


def _tenancy(settings: Settings) -> CheckResult:
    name = "tenancy"
    try:
        database.require_bound_role(settings.service_dsn())
    except database.DatabaseUnreachable as error:
        hint = "Check DATABASE_URL; its role, or with one URL for both ali_service, must be one that it may take."
        return failed(name, error.message, hint=hint)
    except database.DatabaseUnsuitable as error:
        return failed(name, "row-level security does not bind the service's role", hint=error.message)
    if not settings.embedded and settings.database_owner_url is None:
        hint = "Give the service a login of its own, and the owner's URL in ALI_DATABASE_OWNER_URL: docs/how-to/run.md."
        return warned(name, "the service takes the role ali_service from the owner's login", hint=hint)
    return passed(name, "row-level security binds the service's role")


def _hmac_secret(settings: Settings) -> Iterator[CheckResult]:
    name = "key of API keys"
    if settings.embedded and settings.api_key_hmac_secret is None:
        made = (settings.credentials / bootstrap.HMAC_SECRET).exists()
        yield passed(name, "kept in the home folder" if made else "will be made at the first start")
        return
    try:
        bootstrap.api_key_hmac_secret(settings)
    except bootstrap.SecretMissing as error:
        yield failed(name, "not usable", hint=error.message)
    else:
        yield passed(name, "given")


def _rate_limits(settings: Settings) -> Iterator[CheckResult]:
    name = "rate limits"
    store = settings.limits_counted_in
    if store == "process" and (settings.workers > 1 or not settings.embedded):
        hint = "Set ALI_LIMITER_STORE=auto, unless this is the installation's only process."
        yield warned(name, "each process counts for itself, so limits multiply", hint=hint)
    elif store == "redis" and settings.redis_url is not None:
        yield _redis(name, settings.redis_url.get_secret_value())
    else:
        yield passed(name, f"counted in {'PostgreSQL' if store == 'postgres' else 'the one process'}")


def _redis(name: str, url: str) -> CheckResult:
    try:
        import redis  # noqa: PLC0415 - an extra that may be absent
    except ImportError:
        return failed(name, "REDIS_URL is set, and the client is not installed", hint="Install ali-api[redis].")
    try:
        client = redis.Redis.from_url(url, socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S)
        with client:
            version = client.info("server")["redis_version"]
    except (redis.RedisError, ValueError) as error:
        hint = "Check REDIS_URL, the server, and the network between; PostgreSQL counts meanwhile."
        return warned(name, f"Redis does not answer ({type(error).__name__})", hint=hint)
    return passed(name, f"counted in Redis {version}")


def _configured(settings: Settings) -> Iterator[tuple[str, str, SecretStr | None, str]]:
    """Name, base URL, key and the variable of the key, of each provider."""
    yield "openai", settings.openai_base_url, settings.openai_api_key, "OPENAI_API_KEY"
    yield "anthropic", settings.anthropic_base_url, settings.anthropic_api_key, "ANTHROPIC_API_KEY"
    for server in settings.compatible_providers:
        yield server.name, server.base_url, server.api_key, "ALI_COMPATIBLE_PROVIDERS"


def _providers(settings: Settings) -> Iterator[CheckResult]:
    for provider, base_url, key, variable in _configured(settings):
        name = f"provider {provider}"
        parts = urlsplit(base_url)
        if key is None and provider in {"openai", "anthropic"}:
            hint = f"Set {variable} to use it; ali-extractive answers without any provider."
            yield warned(name, "no key", hint=hint)
        elif key is not None and key.get_secret_value() != key.get_secret_value().strip():
            yield failed(name, "the key has spaces or line breaks around it", hint=f"Set {variable} without them.")
        elif parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"} and key is not None:
            hint = "Use https, unless the network between is yours alone."
            yield warned(name, f"the key goes to {parts.netloc} unencrypted", hint=hint)
        elif provider == "anthropic" and parts.path.endswith("/v1"):
            yield failed(name, f"{base_url} ends in /v1", hint="Set ANTHROPIC_BASE_URL without /v1.")
        elif provider == "openai" and not parts.path:
            yield warned(name, f"{base_url} has no path", hint="OPENAI_BASE_URL usually ends in /v1.")
        else:
            yield passed(name, f"{base_url}, {'with' if key else 'without'} a key")


def _model_prices(settings: Settings) -> Iterator[CheckResult]:
    """Compatible servers' models without a price, and prices that no model will be found under."""
    name = "model prices"
    prices = settings.model_prices
    unpriced = [
        model
        for server in settings.compatible_providers
        for model in server.models
        if model not in prices and f"{server.name}/{model}" not in prices
    ]
    if unpriced:
        hint = "Set ALI_MODEL_PRICES: they count as free, and hard budgets refuse them. A price of 0 says free."
        yield warned(name, f"none for {', '.join(unpriced[:5])}{' and others' if unpriced[5:] else ''}", hint=hint)
    for alias in sorted(settings.aliases.keys() & prices.keys()):
        yield warned(name, f"{alias} is an alias", hint="Price the models behind it in ALI_MODEL_PRICES instead.")
    if not unpriced and not settings.aliases.keys() & prices.keys():
        yield passed(name, "none is missing")


def _providers_online(settings: Settings) -> Iterator[CheckResult]:
    for provider, base_url, key, variable in _configured(settings):
        if key is None and provider in {"openai", "anthropic"}:
            continue
        name, headers, path = f"provider {provider}, online", {"user-agent": "ali-doctor"}, "/models"
        if provider == "anthropic":
            path = "/v1/models"
            headers["anthropic-version"] = "2023-06-01"
            headers["x-api-key"] = key.get_secret_value() if key else ""
        elif key is not None:
            headers["authorization"] = f"Bearer {key.get_secret_value()}"
        try:
            status = _status_of(base_url + path, headers)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            hint = "Check the network, a proxy and the base URL."
            yield failed(name, f"cannot be reached ({type(reason).__name__})", hint=hint)
            continue
        if status in {401, 403}:
            yield failed(name, f"refuses the key (HTTP {status})", hint=f"Set {variable} to a valid key.")
        elif status >= 300:
            yield warned(name, f"answered HTTP {status}", hint="Check the base URL, or try again later.")
        else:
            yield passed(name, "reached, and it takes the key")


def _status_of(url: str, headers: dict[str, str]) -> int:
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=_ONLINE_TIMEOUT_S) as answer:  # noqa: S310 - the operator's own base URL, checked to be http(s)
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key goes where the operator said, and nowhere that an answer names."""

    def redirect_request(self, *_arguments: object) -> None:
        """Follow nothing: the redirect's own status is the answer."""
