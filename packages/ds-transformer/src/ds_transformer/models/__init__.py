"""Models: what is built from the layers, from token ids to scores."""

from ds_transformer.models.transformer_translator import (
    TransformerTranslator,
    TransformerTranslatorConfig,
    TranslatorAttention,
)

__all__ = ["TransformerTranslator", "TransformerTranslatorConfig", "TranslatorAttention"]
