"""The descriptor benchmark of the ICRA 2019 paper: systems, recall and comparisons."""
