"""Pictures of what attention may see, what it is told about places, and where it looks.

Each function returns a matplotlib figure, which a notebook shows, and writes it where ``path`` says.
"""

from ds_transformer.visualize.attention import draw_attention
from ds_transformer.visualize.masks import draw_mask, draw_masks
from ds_transformer.visualize.positions import draw_positions

__all__ = ["draw_attention", "draw_mask", "draw_masks", "draw_positions"]
