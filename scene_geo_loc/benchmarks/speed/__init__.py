"""Time and memory of queries, map building and the live node."""
