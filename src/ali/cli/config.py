"""`ali config`: the settings in force, secrets masked, and where each value came from."""

import json
import os
from dataclasses import dataclass
from typing import Annotated

import typer
from pydantic import AliasChoices, BaseModel, SecretStr

from ali.kernel.settings import Settings

MASK = "********"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingInForce:
    """One setting as this process sees it; `value` is fit to be shown."""

    variable: str
    value: str
    source: str


def variable_of(name: str) -> str:
    """The environment variable of a setting, by the field's name or by that variable itself."""
    field = Settings.model_fields.get(name)
    if field is None:
        return name
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return f"{Settings.model_config['env_prefix']}{name}".upper()


def shown(value: object) -> str:
    """A value for people: secrets masked however deep they lie."""
    match value:
        case None:
            return "(not set)"
        case SecretStr():
            return MASK
        case BaseModel() | dict() | list() | tuple():
            return json.dumps(_plain(value), ensure_ascii=False)
        case _:
            return str(value)


def _plain(value: object) -> object:
    match value:
        case SecretStr():
            return MASK
        case BaseModel():
            return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def source_of(variable: str, environment: dict[str, str]) -> str:
    """Where a value came from: the default, the environment, or the file that the environment refers to."""
    given = environment.get(variable)
    if given is None:  # names of variables are matched whatever their case
        given = next((value for name, value in environment.items() if name.upper() == variable), None)
    if given is None:
        return "default"
    return given if given.startswith("file://") else "environment"


def settings_in_force(settings: Settings, environment: dict[str, str]) -> list[SettingInForce]:
    """Every setting, in the order in which `Settings` has them."""
    return [
        SettingInForce(
            variable=variable_of(name),
            value=shown(getattr(settings, name)),
            source=source_of(variable_of(name), environment),
        )
        for name in Settings.model_fields
    ]


def config(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of variable, value and source.")] = False,
) -> None:
    """Show the settings in force, secrets masked, and where each value came from."""
    found = settings_in_force(Settings(), dict(os.environ))
    if as_json:
        print(json.dumps([{"variable": s.variable, "value": s.value, "source": s.source} for s in found], indent=2))
        return
    name_width = max(len(setting.variable) for setting in found)
    source_width = max(len(setting.source) for setting in found)
    for setting in found:
        print(f"{setting.variable:<{name_width}}  {setting.source:<{source_width}}  {setting.value}")
