"""Options of commands that are fields of settings, with their descriptions and limits declared there."""

from __future__ import annotations

from typing import Any

import typer
from pydantic import BaseModel


def setting(settings: type[BaseModel], name: str, option: str) -> Any:
    """An option `option` with the description and limits of the field `name`."""
    field = settings.model_fields[name]
    limits = {type(limit).__name__: limit for limit in field.metadata}
    lowest = limits["Ge"].ge if "Ge" in limits else None
    highest = limits["Le"].le if "Le" in limits else None
    return typer.Option(option, min=lowest, max=highest, help=f"{str(field.description).capitalize()}.")
