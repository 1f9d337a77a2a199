"""Errors, files written safely, and work spread over cores: what every other folder may use."""
