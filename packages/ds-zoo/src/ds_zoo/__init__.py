"""ds_zoo: models people know, each forward and backward written by hand, and a command line to train them."""

from ds_zoo import bert, clip, gpt, vit
from ds_zoo.bert import *
from ds_zoo.clip import *
from ds_zoo.gpt import *
from ds_zoo.vit import *

__version__ = "0.2.0"

__all__ = [*bert.__all__, *clip.__all__, *gpt.__all__, *vit.__all__]
