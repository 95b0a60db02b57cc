"""ds_core: layers, losses, optimizers and training, with every gradient written by hand."""

from typing import TYPE_CHECKING

from ds_core.lazy import lazy

__version__ = "0.2.0"

if TYPE_CHECKING:
    from ds_core.activations import *
    from ds_core.clipping import clip_grad_norm_ as clip_grad_norm_
    from ds_core.clipping import clip_grad_value_ as clip_grad_value_
    from ds_core.containers import *
    from ds_core.engines import engine as engine
    from ds_core.engines import keep_for_second as keep_for_second
    from ds_core.finetuning import *
    from ds_core.layers import *
    from ds_core.losses import *
    from ds_core.module import InputGrad as InputGrad
    from ds_core.module import Module as Module
    from ds_core.module import Parameter as Parameter
    from ds_core.module import evaluating as evaluating
    from ds_core.optimizers import *
    from ds_core.precision import precision as precision
    from ds_core.recompute import Recompute as Recompute
    from ds_core.schedulers import *
    from ds_core.training import *
    from ds_core.xray import summary as summary
    from ds_core.xray import xray as xray
else:
    lazy(
        __name__,
        {
            "activations": (
                "Activation CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU "
                "LogSigmoid LogSoftmax Mish PReLU ReLU ReLU6 SELU Sigmoid SiLU Softmax Softmin Softplus "
                "Softshrink Softsign Tanh Tanhshrink Threshold"
            ),
            "clipping": "clip_grad_norm_ clip_grad_value_",
            "containers": (
                "Concatenate FirstOutput ModuleDict ModuleList ParameterDict ParameterList Residual "
                "Sequential Sum"
            ),
            "engines": "engine keep_for_second",
            "finetuning": "add_lora freeze layer_groups load_lora merge_lora save_lora",
            "layers": (
                "AlphaDropout BatchNorm1d Bilinear CosineSimilarity Dense Dropout DropPath Embedding "
                "FeatureAlphaDropout Flatten GroupNorm Identity LayerNorm Linear LoRADense LoRAWeight "
                "Neuron PairwiseDistance Perceptron RMSNorm SpectralNorm Unflatten"
            ),
            "losses": (
                "BCELoss BCEWithLogitsLoss ClassLoss CosineEmbeddingLoss CrossEntropyLoss CTCLoss DiceLoss "
                "FocalLoss GaussianNLLLoss HuberLoss KLDivLoss L1Loss Loss LOSSES MarginLoss "
                "MarginRankingLoss MSELoss NLLLoss PointwiseLoss PoissonNLLLoss SmoothL1Loss "
                "TripletMarginLoss"
            ),
            "module": "evaluating InputGrad Module Parameter",
            "optimizers": (
                "Adadelta Adagrad Adam AdamW ChainedOptimizer Lion Muon NAdam Optimizer OPTIMIZERS RAdam "
                "RMSprop SGD"
            ),
            "precision": "precision",
            "recompute": "Recompute",
            "schedulers": (
                "ConstantLR CosineAnnealingLR CosineAnnealingWarmRestarts CyclicLR ExponentialLR "
                "InverseSquareRootLR LambdaLR LinearLR MultiStepLR OneCycleLR PolynomialLR "
                "ReduceLROnPlateau Scheduler SCHEDULERS SequentialLR StepLR WarmupCosine"
            ),
            "training": (
                "AverageWeights BestCheckpoint Callback CheckpointError CSVLog described EarlyStopping "
                "GameTrainer History load_checkpoint load_tensors load_weights MovingAverage RunFolder "
                "save_checkpoint save_tensors save_weights TensorBoard to_resume Trainer"
            ),
            "xray": "summary xray",
        },
    )
