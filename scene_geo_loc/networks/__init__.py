"""Networks: encoders, poolings, descriptor systems, the scene network built from them, and its checkpoint.

Each part is a plug-in: a small class under one base, chosen by name in a config, that declares what it has
and needs.  A new one is one file and one entry in the list of its kind: `ENCODERS`, `DECODERS`,
`DESCRIPTORS`, `POOLINGS`, `LOCAL_FEATURES`, `COLOURINGS`, `DEPTH_SCALES` or `FUSIONS`.
"""
