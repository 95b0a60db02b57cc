"""ds_transformer: attention and all that is built from it, with every gradient written by hand."""

from typing import TYPE_CHECKING

from ds_core.lazy import lazy

__version__ = "0.2.0"

if TYPE_CHECKING:
    from ds_transformer.cache import *
    from ds_transformer.layers import *
    from ds_transformer.masks import *
    from ds_transformer.models import *
    from ds_transformer.positions import *
    from ds_transformer.visualize.watching import attention_maps as attention_maps
else:
    lazy(
        __name__,
        {
            "cache": "GrowingCache KeyValueCache StaticCache",
            "layers": (
                "AttentionGradients DecoderCache MultiheadAttention scaled_dot_product_attention "
                "scaled_dot_product_attention_backward Transformer TransformerDecoder "
                "TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer"
            ),
            "masks": "causal_mask padding_mask prefix_mask sliding_window_mask",
            "models": "TransformerTranslator TransformerTranslatorConfig TranslatorAttention",
            "positions": (
                "ALiBi alibi_slopes LearnedPositions relative_position_bucket RelativePositionBias "
                "RotaryPositions Sine2DPositions sinusoidal_table SinusoidalPositions"
            ),
            "visualize.watching": "attention_maps",
        },
    )
