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

"""Index of global descriptors in a LanceDB database, which many robots can ask."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scene_geo_loc.core.errors import MapError, SearchError, reason_of
from scene_geo_loc.core.regular_file import regular

BLOCK_ROWS = 1024
"""Rows that are written at a time, and read at a time where single descriptors are asked for."""
MORE = 16
"""Rows that are asked for beyond the number wanted: the database computes in half precision, and they are
ordered here in single precision."""
_MOST_RUNS = 200
"""Runs of consecutive keyframes that a search is restricted by as such; more are named one by one."""
_KEYFRAME, _VECTOR = "keyframe", "vector"


class DatabaseTable(BaseModel):
    """The table of a map's descriptors, as the file in the map's folder names it.

    Attributes:
        database: folder, or address of an object store such as s3://bucket/folder; it holds no credentials.
        table: name of the table.
        keyframes: number of rows.
        size: length of a descriptor.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: str
    table: str
    keyframes: int = Field(ge=1)
    size: int = Field(ge=1)


class DatabaseIndex:
    """Exact search by cosine similarity over unit descriptors in half precision, in a database.

    The answers are those of `DescriptorIndex`: an approximate index that somebody makes in the database is
    not used.  Only the answers are in this process's memory.

    Attributes:
        table: the table.
    """

    def __init__(self, opened: Any, table: DatabaseTable) -> None:
        """Use `write` or `open`."""
        self.table = table
        self._opened = opened
        self._block: tuple[int, NDArray[np.float32]] | None = None

    @classmethod
    def write(
        cls, database: str, name: str, rows: Iterable[NDArray[np.floating]], size: int, count: int
    ) -> DatabaseIndex:
        """Writes a table of descriptors, unless the database has it, and opens it.

        The table is there when all its rows are.

        Args:
            database: folder or address; folders are named by their absolute path in the map.
            name: name of the table, which must differ for other descriptors.
            rows: unit descriptors in blocks (B, D), one after the other.
            size: their length D.
            count: their number.

        Raises MapError where LanceDB is not installed, or where the table cannot be written.
        """
        if "://" not in database:
            database = str(Path(database).absolute())
        table = DatabaseTable(database=database, table=name, keyframes=count, size=size)
        vector = pa.list_(pa.float16(), size)
        schema = pa.schema([(_KEYFRAME, pa.int64()), (_VECTOR, vector)])

        def batches() -> Iterator[pa.RecordBatch]:
            first = 0
            for block in rows:
                half = np.ascontiguousarray(block, np.float16)
                numbers = pa.array(np.arange(first, first + len(half), dtype=np.int64))
                vectors = pa.FixedSizeListArray.from_arrays(pa.array(half.ravel()), size)
                yield pa.record_batch([numbers, vectors], schema=schema)
                first += len(half)

        connection = _connect(table)
        with suppress(MapError):
            return cls(_table(connection, table), table)
        from lancedb.index import BTree

        try:
            reader = pa.RecordBatchReader.from_batches(schema, batches())
            opened = connection.create_table(name, reader, mode="overwrite")
            # Searches that are restricted to some keyframes need not look at all rows.
            opened.create_index(_KEYFRAME, config=BTree())
        except Exception as error:  # of many classes, by the kind of store
            raise MapError(
                f"The table {name} cannot be written to the database {database} ({reason_of(error)}): check "
                "its address, your credentials there and its free space."
            ) from error
        return cls(_table(connection, table), table)

    @classmethod
    def open(cls, file: Path) -> DatabaseIndex:
        """Opens the table that a file of a map names.

        Raises MapError where the file is damaged, where LanceDB is not installed, or where the database lacks
        the table.
        """
        try:
            table = DatabaseTable.model_validate_json(regular(file).read_bytes())
        except (OSError, ValidationError) as error:
            raise MapError(
                f"{file} names no table of descriptors: copy the map again, or write its index again."
            ) from error
        return cls(_table(_connect(table), table), table)

    def __len__(self) -> int:
        return self.table.keyframes

    @property
    def size(self) -> int:
        """Length of a descriptor."""
        return self.table.size

    def descriptor(self, keyframe: int) -> NDArray[np.float32]:
        """Returns the stored descriptor (D,) of a keyframe, to half precision.

        Raises SearchError where the database does not answer.
        """
        first = keyframe - keyframe % BLOCK_ROWS
        if self._block is None or self._block[0] != first:
            end = min(first + BLOCK_ROWS, len(self))
            query = self._opened.search().where(f"{_KEYFRAME} >= {first} AND {_KEYFRAME} < {end}")
            keyframes, vectors = self._answer(query.select([_KEYFRAME, _VECTOR]).limit(end - first))
            if len(keyframes) != end - first:
                raise SearchError(
                    f"The table {self.table.table} of {self.table.database} has {len(keyframes)} of the "
                    f"{end - first} keyframes from {first} on: write the index of the map again."
                )
            self._block = (first, vectors[np.argsort(keyframes)])
        return self._block[1][keyframe - first]

    def search(
        self, descriptor: NDArray[np.float32], count: int, among: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Returns the keyframes nearest to a descriptor, best first, and their cosine similarities.

        Args:
            descriptor: (D,) of unit length.
            count: number of keyframes to return; all where there are fewer.
            among: restricts the search to these keyframes.

        Raises SearchError where the database does not answer.
        """
        found = min(count + MORE, len(self) if among is None else len(among))
        if found == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        query = self._opened.search(descriptor, vector_column_name=_VECTOR).distance_type("dot")
        query = query.bypass_vector_index().select([_KEYFRAME, _VECTOR, "_distance"]).limit(found)
        if among is not None:
            query = query.where(condition_of(among), prefilter=True)
        keyframes, vectors = self._answer(query)
        similarities = vectors @ descriptor
        best = np.lexsort((keyframes, -similarities))[:count]
        return keyframes[best], similarities[best]

    def _answer(self, query: Any) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Returns the keyframes (K,) and descriptors (K, D) of a query."""
        try:
            answer = query.to_arrow()
        except Exception as error:  # of many classes, by the kind of store
            raise SearchError(
                f"The database {self.table.database} does not answer ({reason_of(error)}): check the "
                "network, or give the map an index of its own."
            ) from error
        vectors = answer[_VECTOR].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return (
            answer[_KEYFRAME].to_numpy().astype(np.int64, copy=False),
            vectors.reshape(-1, self.table.size).astype(np.float32),
        )


def condition_of(keyframes: NDArray[np.int64]) -> str:
    """Returns the condition in SQL that a row is of one of some keyframes, at least one."""
    ordered = np.unique(keyframes)
    cuts = np.flatnonzero(np.diff(ordered) > 1)
    firsts = ordered[np.concatenate([[0], cuts + 1])]
    lasts = ordered[np.concatenate([cuts, [len(ordered) - 1]])]
    if len(firsts) > _MOST_RUNS:
        return f"{_KEYFRAME} IN ({', '.join(map(str, ordered.tolist()))})"
    runs = zip(firsts.tolist(), lasts.tolist(), strict=True)
    return " OR ".join(f"({_KEYFRAME} >= {first} AND {_KEYFRAME} <= {last})" for first, last in runs)


def _connect(table: DatabaseTable) -> Any:
    """Returns the connection to a database."""
    os.environ.setdefault("LANCEDB_LOG", "error")  # read when it is imported; a new table is no warning
    try:
        import lancedb
    except ModuleNotFoundError as error:
        raise MapError(
            f"The index of the map is in the database {table.database}, and LanceDB is not installed: "
            "`pip install 'scene_geo_loc[database]'`, or give the map an index of its own."
        ) from error
    try:
        return lancedb.connect(table.database)
    except Exception as error:  # of many classes, by the kind of store
        raise MapError(
            f"The database {table.database} cannot be opened ({reason_of(error)}): check its address."
        ) from error


def _table(connection: Any, table: DatabaseTable) -> Any:
    """Returns the opened table. Raises MapError where there is none, or one of other descriptors."""
    try:
        opened = connection.open_table(table.table)
        count, vector = opened.count_rows(), opened.schema.field(_VECTOR).type
    except Exception as error:  # of many classes, by the kind of store
        raise MapError(
            f"The database {table.database} has no table {table.table} that can be read "
            f"({reason_of(error)}): write the index of the map there again."
        ) from error
    if count != table.keyframes or vector != pa.list_(pa.float16(), table.size):
        raise MapError(
            f"The table {table.table} of {table.database} has {count} rows of {vector}, and the map has "
            f"{table.keyframes} keyframes with descriptors of {table.size} half floats: write the index of "
            "the map there again."
        )
    return opened
