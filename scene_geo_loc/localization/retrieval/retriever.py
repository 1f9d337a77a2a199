"""Finds the keyframes of a map that look most like an image (PnlP, eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.estimate import Candidate, LocalizerSettings, PosePrior
from scene_geo_loc.localization.rejection import Rejection, RejectionKind
from scene_geo_loc.localization.retrieval.image_sequence import EarlierImages, KeyframeVotes, sequence_votes
from scene_geo_loc.localization.retrieval.place_check import agreement
from scene_geo_loc.mapping.map_info import PLACE_AXES
from scene_geo_loc.mapping.place_cells import PlaceCells
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures


@dataclass(frozen=True)
class Retrieval:
    """Keyframes that look like an image.

    Attributes:
        candidates: the best, best first.
        votes: of the image alone; None where it was rejected.
        rejection: reason why none is used, or None.
    """

    candidates: list[Candidate] = field(default_factory=list)
    votes: KeyframeVotes | None = None
    rejection: Rejection | None = None


class Retriever:
    """Searches a map by global descriptor, then orders the best by layout and by the images before.

    Raises CheckpointError or MapError where the map's file of cells is damaged, or of another network.
    """

    def __init__(self, reference_map: ReferenceMap, network: InferenceNetwork) -> None:
        self._map = reference_map
        self._place_cells = place_cells_of(reference_map, network)

    def retrieve(
        self,
        features: SceneFeatures,
        settings: LocalizerSettings,
        prior: PosePrior | None,
        T_base_camera: Pose,
        earlier: EarlierImages,
    ) -> Retrieval:
        """Returns the candidates of one image.

        Args:
            prior: restricts the search to keyframes around a guessed pose.
            T_base_camera: pose of the image's camera in the base.
            earlier: images before this one, see `ImageSequence`.
        """
        assert features.global_descriptor is not None, "a map's network is fitted"
        among = None
        if prior is not None:
            away = np.linalg.norm(self._map.T_map_camera[:, :3, 3] - prior.T_map_camera[:3, 3], axis=1)
            among = np.flatnonzero(away <= prior.radius_m)
            if len(among) == 0:
                kind = RejectionKind.NO_KEYFRAME_NEAR_PRIOR
                return Retrieval(rejection=Rejection(kind, float(away.min()), prior.radius_m))
        count = max(settings.retrieved, settings.candidates)
        keyframes, similarities = self._map.index.search(
            features.global_descriptor, max(count, settings.compared), among
        )
        candidates = [Candidate(int(k), float(s)) for k, s in zip(keyframes, similarities, strict=True)]
        similarity, limit = candidates[0].similarity, settings.min_similarity
        if similarity < limit:
            return Retrieval(candidates, rejection=Rejection(RejectionKind.UNKNOWN_PLACE, similarity, limit))
        candidates = self._compared(features, candidates, settings)
        votes = KeyframeVotes.of(keyframes, np.array([candidate.score for candidate in candidates]))
        votes_before = sequence_votes(keyframes, T_base_camera, earlier(), self._map.T_map_camera)
        candidates = [
            replace(candidate, votes=float(value))
            for candidate, value in zip(candidates, votes_before, strict=True)
        ]
        ranked = sorted(candidates, key=lambda candidate: candidate.score, reverse=True)
        return Retrieval(ranked[:count], votes)

    def _compared(
        self, features: SceneFeatures, candidates: list[Candidate], settings: LocalizerSettings
    ) -> list[Candidate]:
        """Returns the candidates compared by where the cells of the late map are, in the same order.

        They are not compared where no more are retrieved than are matched in full.
        """
        compared, stored = candidates[: settings.compared], self._map.place_cells
        if self._place_cells is None or stored is None or len(compared) <= settings.candidates:
            return candidates
        cells = self._place_cells.describe(features.coarse_features)
        bits: NDArray[np.uint8] = stored[[candidate.keyframe for candidate in compared]]
        agreements = agreement(cells, bits, self._place_cells.positions)
        rated = [
            replace(candidate, agreement=float(value))
            for candidate, value in zip(compared, agreements, strict=True)
        ]
        return rated + candidates[len(compared) :]


def place_cells_of(reference_map: ReferenceMap, network: InferenceNetwork) -> PlaceCells | None:
    """Returns what describes a query's cells as those of a map's keyframes, or None where it has none.

    Raises CheckpointError or MapError where its file is damaged, or of another network.
    """
    if reference_map.place_cells is None:
        return None
    cells = PlaceCells.read(reference_map.path / PLACE_AXES, network.late_shapes()[0])
    if reference_map.place_cells.shape[1:] != cells.row_shape:
        raise MapError(
            f"The place cells of {reference_map.path} have the shape {reference_map.place_cells.shape[1:]}, "
            f"and its network gives {cells.row_shape}: copy the map again, or build it again."
        )
    return cells
