"""How well queries were localized: numbers, and pictures to look at."""
