# Copyright 2026 The scene_geo_loc authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Command-line options generated from the fields of a pydantic model, so that each is declared only once."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from pydantic import BaseModel, ValidationError

from scene_geo_loc.core.errors import SceneGeoLocError

Command = Callable[..., Any]

Settings = TypeVar("Settings", bound=BaseModel)

_UNIT = re.compile("_(m|deg)$")


@dataclass(frozen=True)
class GivenSettings:
    """Settings that the user gave to a command that offers those of several models.

    Attributes:
        values: by the name of the field.
        options: the option of each of these fields.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    def of(self, model: type[Settings], owner: str) -> Settings:
        """Returns the settings of a model, with its defaults for what was not given.

        Raises SceneGeoLocError if a value is out of bounds, or if `owner` has no such setting.
        """
        for name in self.values:
            if name not in model.model_fields:
                raise SceneGeoLocError(f"{self.options[name]} is no setting of {owner}: leave it out.")
        return _validated(model, self.values, self.options)


def setting(settings: type[BaseModel], name: str, option: str, **shown: Any) -> Any:
    """Returns the option `option` with the description and limits of the field `name`.

    Args:
        shown: further arguments of `typer.Option`, on how it is shown.
    """
    lowest, highest = _limits(settings, name)
    help_text = f"{str(settings.model_fields[name].description).capitalize()}."
    return typer.Option(option, min=lowest, max=highest, help=help_text, **shown)


def _limits(settings: type[BaseModel], name: str) -> tuple[Any, Any]:
    """Returns the least and the largest value of a field; None where there is no such limit."""
    limits = {type(limit).__name__: limit for limit in settings.model_fields[name].metadata}
    return limits["Ge"].ge if "Ge" in limits else None, limits["Le"].le if "Le" in limits else None


def takes_settings(**options: str | None) -> Callable[[Command], Command]:
    """Gives a command an option for each field of its parameter that is a model of settings.

    An option has the name of its field without the unit. `options` gives other names, or None for fields that
    the command does not offer. The command raises SceneGeoLocError if a value is out of bounds.
    """

    def decorate(command: Command) -> Command:
        hints = get_type_hints(command)
        name, model = next(
            (name, hint)
            for name, hint in hints.items()
            if inspect.isclass(hint) and issubclass(hint, BaseModel)
        )
        types = get_type_hints(model)
        fields = {option[2:].replace("-", "_"): (field, option) for field, option in _named(model, options)}
        parameters = [
            inspect.Parameter(
                parameter,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=Annotated[types[field], setting(model, field, option)],
                default=model.model_fields[field].default,
            )
            for parameter, (field, option) in fields.items()
        ]

        def settings(values: dict[str, Any]) -> BaseModel:
            return _validated(
                model,
                {fields[parameter][0]: value for parameter, value in values.items()},
                dict(fields.values()),
            )

        return in_place_of(command, name, parameters, settings)

    return decorate


def takes_settings_of(
    models: Mapping[str, type[BaseModel]], **options: str | None
) -> Callable[[Command], Command]:
    """Gives a command an option for each field of several models, of which it will need one.

    A field that several models have is one option.  The command has one parameter `GivenSettings`.

    Args:
        models: by the titles under which help texts show their options.
        options: see `takes_settings`.
    """

    def decorate(command: Command) -> Command:
        name = next(name for name, hint in get_type_hints(command).items() if hint is GivenSettings)
        offered = {title: dict(_named(model, options)) for title, model in models.items()}
        parameters, taken = [], {}
        for title, model in models.items():
            types = get_type_hints(model)
            for field_name, option in offered[title].items():
                parameter = option[2:].replace("-", "_")
                if parameter in taken:
                    continue
                taken[parameter] = (field_name, option)
                defaults = {
                    t: models[t].model_fields[field_name].default for t in models if field_name in offered[t]
                }
                shown = setting(
                    model, field_name, option, show_default=_default_text(defaults), rich_help_panel=title
                )
                # Of the models that have the field, the widest limits: its own are checked with the others.
                lowest, highest = zip(*(_limits(models[t], field_name) for t in defaults), strict=True)
                shown.min = None if None in lowest else min(lowest)
                shown.max = None if None in highest else max(highest)
                annotation: Any = Annotated[types[field_name] | None, shown]  # type: ignore[valid-type]
                kind = inspect.Parameter.KEYWORD_ONLY
                parameters.append(inspect.Parameter(parameter, kind, annotation=annotation, default=None))

        def given(values: dict[str, Any]) -> GivenSettings:
            chosen = {taken[p][0]: value for p, value in values.items() if value is not None}
            return GivenSettings(chosen, dict(taken.values()))

        return in_place_of(command, name, parameters, given)

    return decorate


def _named(model: type[BaseModel], options: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """Returns the fields that a command offers with their options."""
    named = (
        (name, options.get(name, f"--{_UNIT.sub('', name).replace('_', '-')}")) for name in model.model_fields
    )
    return [(name, option) for name, option in named if option is not None]


def _default_text(defaults: Mapping[str, Any]) -> str | bool:
    """Returns the defaults of a field by the titles of their models, or the one that all have."""
    texts = {title: str(default) for title, default in defaults.items() if default is not None}
    if len(set(texts.values())) < 2:
        return next(iter(texts.values()), False)
    return "; ".join(f"{title.lower()}: {text}" for title, text in texts.items())


def _validated(model: type[Settings], values: Mapping[str, Any], options: Mapping[str, str]) -> Settings:
    """Returns settings. Raises SceneGeoLocError, with the option, if a value is out of bounds."""
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        raise SceneGeoLocError(
            f"{options[str(first['loc'][0])]}: {message}, not {first['input']}."
        ) from error


def in_place_of(
    command: Command,
    name: str,
    parameters: list[inspect.Parameter],
    make: Callable[[dict[str, Any]], Any],
) -> Command:
    """Returns a command with `parameters` in place of the parameter `name`, whose value `make` returns."""
    hints = get_type_hints(command, include_extras=True)
    taken: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name == name:
            taken += parameters
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            taken.append(parameter.replace(annotation=hints[parameter.name], kind=kind))

    @functools.wraps(command)
    def run(**values: Any) -> Any:
        made = make({parameter.name: values.pop(parameter.name) for parameter in parameters})
        return command(**{name: made}, **values)

    run.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in taken}
    return run
