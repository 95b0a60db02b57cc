"""The exercises of ds-core."""

from ds_core.learn.exercises.gradients import CHAPTERS as GRADIENTS
from ds_core.learn.exercises.tools import CHAPTERS as TOOLS
from ds_core.learn.exercises.training import CHAPTERS as TRAINING

CHAPTERS = [*GRADIENTS, *TRAINING, *TOOLS]
