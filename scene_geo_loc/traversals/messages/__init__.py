"""Decodes sensor messages of running nodes and of recordings by the same code."""
