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
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer
from pydantic import BaseModel, ValidationError

from scene_geo_loc.core.errors import SceneGeoLocError

Command = Callable[..., Any]

_UNIT = re.compile("_(m|deg)$")


def setting(settings: type[BaseModel], name: str, option: str) -> Any:
    """Returns the option `option` with the description and limits of the field `name`."""
    field = settings.model_fields[name]
    limits = {type(limit).__name__: limit for limit in field.metadata}
    lowest = limits["Ge"].ge if "Ge" in limits else None
    highest = limits["Le"].le if "Le" in limits else None
    return typer.Option(option, min=lowest, max=highest, help=f"{str(field.description).capitalize()}.")


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
        fields, types = {}, get_type_hints(model)
        for field in model.model_fields:
            option = options.get(field, f"--{_UNIT.sub('', field).replace('_', '-')}")
            if option is not None:
                fields[option[2:].replace("-", "_")] = (field, option)
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
            try:
                return model(**{fields[parameter][0]: value for parameter, value in values.items()})
            except ValidationError as error:
                first = error.errors()[0]
                field = first["loc"][0]
                option = next(option for its_field, option in fields.values() if its_field == field)
                message = first["msg"].removeprefix("Value error, ")
                raise SceneGeoLocError(f"{option}: {message}, not {first['input']}.") from error

        return in_place_of(command, name, parameters, settings)

    return decorate


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
