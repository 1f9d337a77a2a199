"""Common base of all other folders: errors, safely written files and folders, work spread over cores."""
