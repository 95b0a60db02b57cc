"""Positions: what tells attention where things are, for attention itself does not know."""

from ds_transformer.positions.alibi import ALiBi, alibi_slopes
from ds_transformer.positions.learned import LearnedPositions
from ds_transformer.positions.relative import RelativePositionBias, relative_position_bucket
from ds_transformer.positions.rotary import RotaryPositions
from ds_transformer.positions.sine2d import Sine2DPositions
from ds_transformer.positions.sinusoidal import SinusoidalPositions, sinusoidal_table

__all__ = [
    "ALiBi",
    "LearnedPositions",
    "RelativePositionBias",
    "RotaryPositions",
    "Sine2DPositions",
    "SinusoidalPositions",
    "alibi_slopes",
    "relative_position_bucket",
    "sinusoidal_table",
]
