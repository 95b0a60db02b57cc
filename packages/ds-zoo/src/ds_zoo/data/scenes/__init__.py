"""Scenes of shapes: one endless source of pictures with classes, captions, boxes and masks."""

from ds_zoo.data.scenes.captions import attribute_captions, captions
from ds_zoo.data.scenes.files import write_scenes
from ds_zoo.data.scenes.scene import TEXTURES, Scene
from ds_zoo.data.scenes.shapes import COLOURS, KINDS, SIZES, Shape
from ds_zoo.data.scenes.source import ALL_PAIRS, COLUMNS, Scenes, hold_out

__all__ = [
    "ALL_PAIRS",
    "COLOURS",
    "COLUMNS",
    "KINDS",
    "SIZES",
    "TEXTURES",
    "Scene",
    "Scenes",
    "Shape",
    "attribute_captions",
    "captions",
    "hold_out",
    "write_scenes",
]
