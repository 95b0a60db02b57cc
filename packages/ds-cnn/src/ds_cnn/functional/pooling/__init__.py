"""Pooling: every window of an image summed up in one number. ``loop`` is the definition; read it first."""
