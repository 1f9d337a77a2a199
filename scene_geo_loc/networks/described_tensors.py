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

"""Files of tensors with a description: what the maps of learned localizers hold, in safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import CheckpointError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.core.versioned import FileFormat

Made = TypeVar("Made")


def write_described(path: Path, key: str, description: BaseModel, tensors: Mapping[str, NDArray]) -> None:
    """Writes tensors with a description below a key of the metadata; the file is replaced atomically.

    Raises SceneGeoLocError if it cannot be written.
    """
    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    write_aside(path, save(arrays, {key: description.model_dump_json()}))


def read_described(
    path: Path,
    key: str,
    format: FileFormat,
    kind: str,
    make: Callable[[Any, dict[str, NDArray]], Made],
) -> Made:
    """Returns what `make` makes of the description, as read from JSON, and of the tensors of a file.

    Args:
        kind: name of what the file holds, for messages.

    Raises CheckpointError where the file is missing, damaged or of a newer format.
    """
    try:
        with safe_open(str(regular(path)), framework="numpy") as file:
            values = json.loads((file.metadata() or {}).get(key, "null"))
            format.check(values, path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return make(values, tensors)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no {kind} at {path}: name an existing file.") from error
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, ValidationError) as error:
        raise CheckpointError(f"{path} is damaged ({reason_of(error)}): {format.again}.") from error
