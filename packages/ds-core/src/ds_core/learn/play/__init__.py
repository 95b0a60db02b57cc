"""The playground: a network of dense layers that learns in two dimensions before one's eyes."""

from ds_core.learn.play.server import Playground, play

__all__ = ["Playground", "play"]
