"""Training: the loop, what it records, what may happen besides, and checkpoints to go on from."""

from ds_core.training.average_weights import AverageWeights, MovingAverage
from ds_core.training.callbacks import BestCheckpoint, Callback, CSVLog, EarlyStopping
from ds_core.training.checkpoint import (
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_weights,
)
from ds_core.training.files import CheckpointError, load_tensors, save_tensors
from ds_core.training.game_trainer import GameTrainer
from ds_core.training.history import History
from ds_core.training.run_folder import RunFolder, described, to_resume
from ds_core.training.tensorboard import TensorBoard
from ds_core.training.trainer import Trainer

__all__ = [
    "AverageWeights",
    "BestCheckpoint",
    "CSVLog",
    "Callback",
    "CheckpointError",
    "EarlyStopping",
    "GameTrainer",
    "History",
    "MovingAverage",
    "RunFolder",
    "TensorBoard",
    "Trainer",
    "described",
    "load_checkpoint",
    "load_tensors",
    "load_weights",
    "save_checkpoint",
    "save_tensors",
    "save_weights",
    "to_resume",
]
