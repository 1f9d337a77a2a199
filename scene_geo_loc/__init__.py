"""Tells a vehicle where it is from its camera.

The rooms, from the ground up: `geometry`, `traversals`, `depth`, `networks`, `mapping`,
`localization`, `evaluation`; `simulation` makes traversals where there are none; `ros` and
`cli` stand on top and hold no algorithm.
"""

__version__ = "0.1.0"
