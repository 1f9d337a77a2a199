"""Errors that a user can act on.

Every message says in one sentence what was wrong, where, and what to do.  The command line prints it without
a traceback; the nodes log it.  Any other exception is a defect.
"""


class SceneGeoLocError(Exception):
    """Base class of the errors that a user can act on."""


class TraversalError(SceneGeoLocError):
    """A source of frames cannot be read."""


class MapError(SceneGeoLocError):
    """A reference map is missing, damaged, cannot be written, or does not fit the request."""


class CheckpointError(SceneGeoLocError):
    """A checkpoint of a network is missing, damaged, or of another architecture."""


class InferenceError(SceneGeoLocError):
    """A network cannot be run on an image, or gives outputs that cannot be used."""
