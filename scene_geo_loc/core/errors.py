"""The errors a user can act on.

Every message is one sentence that says what was wrong, where, and what to do.  The command line
prints it without a traceback; the nodes log it.  Anything else that is raised is a defect.
"""


class SceneGeoLocError(Exception):
    """Base of all errors that a user can act on."""


class TraversalError(SceneGeoLocError):
    """A source of frames cannot be read."""


class MapError(SceneGeoLocError):
    """A reference map is missing, damaged, or does not fit what is asked of it."""


class CheckpointError(SceneGeoLocError):
    """A network's checkpoint is missing, damaged, or of another architecture."""
