"""ds_rnn: recurrent networks and what reads and writes with them, every gradient written by hand."""

from ds_rnn import attention, cells, layers, models
from ds_rnn.attention import *
from ds_rnn.cells import *
from ds_rnn.layers import *
from ds_rnn.models import *

__version__ = "0.2.0"

__all__: list[str] = []
__all__ += attention.__all__
__all__ += cells.__all__
__all__ += layers.__all__
__all__ += models.__all__
