"""What every other folder may use: errors, safely written files and folders, work spread over cores."""
