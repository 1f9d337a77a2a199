"""Options that several commands share, and progress on the terminal."""
