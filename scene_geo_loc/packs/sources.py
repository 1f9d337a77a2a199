"""The packs of what descriptors are trained and tested with: triplets, and views of known place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.packs.chunks import Picture, Reader
from scene_geo_loc.packs.image_pack import ImagePack
from scene_geo_loc.packs.packing import make_pack
from scene_geo_loc.places.triplets import Triplets
from scene_geo_loc.places.views import View, open_cameras


def pack_triplets(
    triplets: Triplets,
    folder: Path,
    *,
    workers: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> ImagePack:
    """The pack of all images of triplets and their depth maps, named as `Sample.image`.

    See `make_pack` for arguments and errors.
    """
    samples = list(triplets.images.values())
    root = triplets.root
    pictures = [Picture(s.image, root / s.image, root / s.depth if s.depth else None) for s in samples]

    def readers() -> list[Reader]:
        readers = {}
        for run in {sample.run for sample in samples}:
            for name, traversal in open_cameras(root, run).items():
                camera = traversal.frame_files[0].camera
                readers[run, name] = Reader(camera.height, camera.width, traversal.read_image)
        return [readers[sample.run, sample.camera] for sample in samples]

    return make_pack(
        folder, pictures, readers, source=f"triplets of {root.name}", workers=workers, on_progress=on_progress
    )


def pack_views(
    views: Sequence[View],
    folder: Path,
    *,
    workers: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> ImagePack:
    """The pack of views to test with, squashed, named as `view_name` says.

    See `make_pack` for arguments and errors.
    """
    by_reader: dict[tuple[str, str], Reader] = {}
    for view in views:
        camera = view.files.camera
        by_reader.setdefault(
            (view.run, view.camera), Reader(camera.height, camera.width, view.traversal.read_image)
        )
    return make_pack(
        folder,
        [Picture(view_name(view), view.files.image) for view in views],
        lambda: [by_reader[view.run, view.camera] for view in views],
        source=f"views of {', '.join(sorted({view.run for view in views}))}",
        squashed=True,
        workers=workers,
        on_progress=on_progress,
    )


def view_name(view: View) -> str:
    """What a view is called in a pack."""
    return f"{view.run}/{view.camera}/{view.files.stamp_ns}"
