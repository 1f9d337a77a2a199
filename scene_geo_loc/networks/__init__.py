"""Networks: encoders, poolings, the scene network made of them, and its checkpoint.

An encoder or a pooling is one small class under one base, chosen by name in a config; a new one
is a file and a line in `ENCODERS` (encoders/) or `POOLINGS` (pooling.py).
"""
