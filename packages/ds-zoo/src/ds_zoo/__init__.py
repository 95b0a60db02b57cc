"""ds_zoo: models people know, each forward and backward written by hand, and a command line to train them."""

from typing import TYPE_CHECKING

from ds_core.lazy import lazy

__version__ = "0.2.0"

if TYPE_CHECKING:
    from ds_zoo.bert import *
    from ds_zoo.clip import *
    from ds_zoo.detr import *
    from ds_zoo.gan import *
    from ds_zoo.gpt import *
    from ds_zoo.maskformer import *
    from ds_zoo.vit import *
else:
    lazy(
        __name__,
        {
            "bert": (
                "fill_mask mask_tokens MiniBERT MiniBERTConfig MiniBERTForMaskedLM "
                "MiniBERTForNextSentencePrediction MiniBERTForQuestionAnswering "
                "MiniBERTForSequenceClassification MiniBERTForTokenClassification SentenceEncoder"
            ),
            "clip": (
                "CLIPPairs ContrastiveLoss MiniCLIP MiniCLIPConfig MiniCLIPTextConfig "
                "MiniCLIPTextModelWithProjection MiniCLIPVisionConfig MiniCLIPVisionModelWithProjection "
                "Similarity UnitLength"
            ),
            "detr": "DETRLoss MiniDETR MiniDETRConfig Target",
            "gan": (
                "AdversarialLoss DCDiscriminator DCGenerator Discriminator frechet_distance Game GANConfig "
                "Generator interpolate MiniDCGAN MiniGAN precision_recall"
            ),
            "gpt": "MiniGPT MiniGPTConfig MiniGPTOutput Perplexity perplexity",
            "maskformer": "DecoderConfig MaskFormerLoss MiniMaskFormer MiniMaskFormerConfig PixelDecoder",
            "vit": "at_size MiniViT MiniViTConfig MiniViTForImageClassification",
        },
    )
