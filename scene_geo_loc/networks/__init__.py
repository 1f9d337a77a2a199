"""Networks: encoders, poolings, descriptor systems, the scene network made of them, and its checkpoint.

Each of them is one small class under one base, chosen by name in a config; a new one is a file and a
line in `ENCODERS` (encoders/), `POOLINGS` (pooling.py) or `DESCRIPTORS` (descriptors/).
"""
