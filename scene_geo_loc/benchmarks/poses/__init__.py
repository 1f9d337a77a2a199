"""The pose benchmark of the BMVC 2019 paper: methods, tables and comparisons."""
