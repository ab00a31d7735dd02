"""What `ali doctor` finds dangerous in the settings of the edge: each opens a door that is closed by default."""

from collections.abc import Iterator
from typing import Final

from ali.kernel.checks import CheckResult, failed, passed, warned
from ali.kernel.settings import Settings

_WIDEST_V4: Final = 8
_WIDEST_V6: Final = 16
_METADATA: Final = ("169.254.", "100.100.100.200:", "168.63.129.16:", "192.0.0.192:", "[fd00:ec2:", "metadata.")


def edge(settings: Settings) -> Iterator[CheckResult]:
    """The settings that let somebody in, one finding for each kind."""
    yield _origins(settings)
    yield _proxies(settings)
    yield _hosts(settings)
    yield _outbound(settings)


def _origins(settings: Settings) -> CheckResult:
    name, origins = "origins", settings.cors_origins
    if "*" in origins:
        hint = "Name the origins of your pages in ALI_CORS_ORIGINS, or unset it if no page calls from a browser."
        return warned(name, "any page may call from a browser", hint=hint)
    plain = [origin for origin in origins if origin.startswith("http://") and not _is_local(origin)]
    if plain:
        hint = "Serve the page over https: whoever sits on the network between can change it and use its keys."
        return warned(name, f"{plain[0]} is not https", hint=hint)
    return passed(name, f"{len(origins)} may call from a browser" if origins else "closed")


def _is_local(origin: str) -> bool:
    return origin.partition("://")[2].startswith(("localhost", "127.", "[::1]"))


def _proxies(settings: Settings) -> CheckResult:
    name, networks = "proxies", settings.trusted_proxies
    wide = [each for each in networks if each.prefixlen < (_WIDEST_V4 if each.version == 4 else _WIDEST_V6)]
    if wide:
        hint = "Name only the networks of your own proxies in ALI_TRUSTED_PROXIES: others can claim any address."
        return failed(name, f"{wide[0]} trusts whole parts of the internet", hint=hint)
    return passed(name, f"{len(networks)} networks are trusted" if networks else "none is trusted")


def _hosts(settings: Settings) -> CheckResult:
    name, hosts = "hosts", settings.trusted_hosts
    local = {"127.0.0.1", "::1", "localhost"}
    if hosts and settings.host in local and not local & {host.strip("[]") for host in hosts}:
        hint = "Right behind a proxy that passes the Host header on; this machine's own addresses are not answered."
        return warned(name, f"only {', '.join(hosts)}", hint=hint)
    return passed(name, f"only {', '.join(hosts)}" if hosts else "any, and nothing depends on it")


def _outbound(settings: Settings) -> CheckResult:
    name, allowed = "outbound exceptions", settings.outbound_allowed_hosts
    wrong = [entry for entry in allowed if entry.lower().startswith(_METADATA)]
    if wrong:
        hint = "Take it out of ALI_OUTBOUND_ALLOWED_HOSTS: a caller could fetch this machine's cloud credentials."
        return failed(name, f"{wrong[0]} is a metadata service", hint=hint)
    return passed(name, ", ".join(allowed) or "none")
