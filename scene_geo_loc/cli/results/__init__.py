"""Results of commands as tables on the terminal."""
