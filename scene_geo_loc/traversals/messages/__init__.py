"""Decodes sensor messages, live and recorded alike."""
