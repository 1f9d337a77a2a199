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

"""Completes a map when all of its keyframes are known: descriptors, index, fitted matcher, refined depth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc import __version__
from scene_geo_loc.core.parallel import ReadAhead
from scene_geo_loc.core.progress import ProgressCallback
from scene_geo_loc.mapping.keyframe_depth.multi_view_depth import refine_depth
from scene_geo_loc.mapping.keyframe_table import write_large_tables
from scene_geo_loc.mapping.map_info import (
    CO_SIMILARITY,
    CODES,
    DESCRIPTOR,
    FILES,
    FORMAT,
    OPTIONAL_FILES,
    PAIR_MATCHER,
    VOCABULARY,
    WITH_OTHER_FEATURES,
    WITH_USER_NETWORKS,
    WITHOUT_USER_NETWORKS,
    WORD_INDEX,
    FileRecord,
    GeoTags,
    LookAlikes,
    MapAccuracy,
    MapInfo,
    VocabularyRecord,
    sha256_of,
    write_info,
)
from scene_geo_loc.mapping.partial_map import PartialMap
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.search.co_similarity import CoSimilarity
from scene_geo_loc.mapping.search.stored_index import write_index
from scene_geo_loc.mapping.search.vector_index import VectorIndex
from scene_geo_loc.mapping.settings import WITHOUT_DEPTH
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.pair_network import PairNetworkMatcher
from scene_geo_loc.matchers.storage import FittedStorage
from scene_geo_loc.networks.checkpoint import save_network
from scene_geo_loc.networks.runtime.extractor import FIT_IMAGES, Extractor, evenly_spread
from scene_geo_loc.visual_words.image_descriptor import VisualWords
from scene_geo_loc.visual_words.inverted_file import InvertedFile

MeasureMap = Callable[[ReferenceMap, Extractor], tuple[MapAccuracy | None, LookAlikes | None]]
"""Measures how well the keyframes of a map agree, and which look alike; the extractor is of its network."""

FIT_MATCHER_KEYFRAMES = 100
"""Most keyframes that a matcher is fitted on."""
_BLOCK_ROWS = 10_000
"""Descriptors that are read at a time."""


def complete_map(
    partial: PartialMap,
    extractor: Extractor,
    matcher: Matcher,
    provenance: Mapping[str, Any],
    on_progress: ProgressCallback,
    vocabulary_file: str | None = None,
    **description: Any,
) -> int | None:
    """Writes the files of a partial map that need all keyframes, `map.json` last.

    Args:
        partial: the map, with at least one keyframe.
        extractor: its network, which is fitted on the keyframes unless it is already.
        matcher: its matcher, which is fitted on the keyframes if its storage needs that.
        provenance: where the network comes from.
        on_progress: receives the steps done and their total.
        vocabulary_file: name of the file that visual words were read from; None where they are fitted here.
        description: `map_frame`, `source`, `sources`, `settings`, `skipped`, `user_networks` and
            `georeference` of `MapInfo`.

    Returns:
        The number of keyframes without depth, or None where depth was not refined.
    """
    folder, count = partial.folder, len(partial.records)
    total = count * (2 if partial.refines_depth else 1)
    if not extractor.is_fitted:
        provenance = {**provenance, "fitted_on": description["source"]}
    words = extractor.descriptor if isinstance(extractor.descriptor, VisualWords) else None
    if words is None:
        descriptors = _describe(partial, extractor, lambda done: on_progress(done, total))
        index: VectorIndex = write_index(folder, descriptors, extractor.descriptor_size, count)
    else:
        descriptions = _describe_by_words(
            partial, words, description["source"], lambda done: on_progress(done, total)
        )
        index = inverted = InvertedFile.build(descriptions, words.size)
        inverted.write(folder / WORD_INDEX)
    CoSimilarity.of(index, np.stack([record.T_map_camera for record in partial.records])).save(
        folder / CO_SIMILARITY
    )
    save_network(extractor.network, folder / "network.safetensors", dict(provenance))
    if extractor.descriptor is not None:
        extractor.descriptor.save(folder / (DESCRIPTOR if words is None else VOCABULARY))
    if isinstance(matcher, PairNetworkMatcher):
        matcher.pair_network.save_copy(folder / PAIR_MATCHER)
    if isinstance(matcher.storage, FittedStorage):
        partial.fit_features(matcher.storage, evenly_spread(count, FIT_MATCHER_KEYFRAMES))
    matcher.save(folder / "matcher.safetensors")
    without_depth = None
    if partial.refines_depth:
        without_depth = refine_depth(partial, matcher, lambda done: on_progress(count + done, total))
    if isinstance(matcher.storage, FittedStorage):
        partial.write_features(matcher.storage)
    cameras = partial.write_keyframes()
    if (folder / CODES).exists():
        write_large_tables(folder)
    partial.close_files()
    info = MapInfo(
        format=FORMAT.name,
        format_version=_version(partial, description),
        geo_tags=_geo_tags(partial),
        **description,
        vocabulary=None if words is None else VocabularyRecord.of(words.fitted, vocabulary_file),
        keyframes=count,
        cameras=[camera.to_dict() for camera in cameras],
        network_digest=extractor.network.digest,
        matcher=matcher.name,
        built=datetime.now(timezone.utc),
        package_version=__version__,
        files=_records([folder / name for name in (*FILES, *OPTIONAL_FILES) if (folder / name).exists()]),
    )
    write_info(folder, info)
    return without_depth


def _version(partial: PartialMap, description: Mapping[str, Any]) -> int:
    """Returns the lowest version of the format that a map can be written as."""
    if (partial.folder / CODES).exists():
        return FORMAT.version
    without_depth = description["settings"].get("depth") in WITHOUT_DEPTH
    if partial.has_geo_tags or without_depth or (partial.folder / WORD_INDEX).exists():
        return WITH_OTHER_FEATURES
    return WITH_USER_NETWORKS if description["user_networks"] else WITHOUT_USER_NETWORKS


def _geo_tags(partial: PartialMap) -> GeoTags | None:
    """Returns the geo-tags of a map's keyframes; None where they have none."""
    tags = {record.geo_tag: record for record in partial.records if record.geo_tag}
    if not tags:
        return None

    def typical(values: Iterable[float | None]) -> float | None:
        stated = [value for value in values if value is not None]
        return float(np.sqrt(np.mean(np.square(stated)))) if stated else None

    return GeoTags(
        tags=len(tags),
        position_std_m=typical(record.position_std_m for record in tags.values()),
        heading_std_deg=typical(record.heading_std_deg for record in tags.values()),
    )


def keep_measurements(folder: Path, extractor: Extractor, measure: MeasureMap) -> None:
    """Measures a complete map, and adds what was found to its `map.json`."""
    opened = ReferenceMap.open(folder)
    accuracy, look_alikes = measure(opened, extractor)
    write_info(folder, opened.info.model_copy(update={"accuracy": accuracy, "look_alikes": look_alikes}))


def _records(files: Sequence[Path]) -> dict[str, FileRecord]:
    """Returns the sizes and checksums of files, by their names."""
    with ReadAhead() as ahead:
        sums = list(ahead.map(sha256_of, files))
    return {
        file.name: FileRecord(bytes=file.stat().st_size, sha256=sha256)
        for file, sha256 in zip(files, sums, strict=True)
    }


def _describe(
    partial: PartialMap, extractor: Extractor, on_keyframes: Callable[[int], None]
) -> Iterator[NDArray[np.floating]]:
    """Yields the keyframes' global descriptors in blocks; fits the network on them unless it is fitted."""
    count = len(partial.records)
    if extractor.is_fitted:
        on_keyframes(count)
        rows = partial.descriptor_rows()
        yield from (rows[start : start + _BLOCK_ROWS] for start in range(0, count, _BLOCK_ROWS))
        return
    maps_of = partial.pooled_rows()
    extractor.fit([maps[i] for maps in maps_of] for i in evenly_spread(count, FIT_IMAGES))

    def describe(keyframe: int) -> NDArray[np.float32]:
        return extractor.network.describe([maps[keyframe].astype(np.float32) for maps in maps_of])

    with ReadAhead() as ahead:
        for i, descriptor in enumerate(ahead.map(describe, range(count))):
            on_keyframes(i + 1)
            yield descriptor[None]


def _describe_by_words(
    partial: PartialMap, words: VisualWords, source: str, on_keyframes: Callable[[int], None]
) -> Iterator[NDArray[np.float32]]:
    """Yields the keyframes' descriptors (D,) by visual words; fits these to the keyframes if they are not."""
    count, rows = len(partial.records), partial.descriptor_rows()
    if words.is_fitted:
        on_keyframes(count)
        yield from rows
        return
    words.fit((rows[i] for i in evenly_spread(count, FIT_IMAGES)), source)
    with ReadAhead() as ahead:
        for i, descriptor in enumerate(ahead.map(lambda i: words.describe_features(rows[i]), range(count))):
            on_keyframes(i + 1)
            yield descriptor
