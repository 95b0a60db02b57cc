"""Pictures of what recurrent networks do."""

from ds_rnn.visualize.attention_map import attention_map
from ds_rnn.visualize.gradient_norms import gradient_norms, plot_gradient_norms

__all__ = ["attention_map", "gradient_norms", "plot_gradient_norms"]
