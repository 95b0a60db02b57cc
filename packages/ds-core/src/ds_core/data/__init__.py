"""Data: loading, splitting, scaling and batching, with torch tensors as the currency."""

from ds_core.data.csv import load_csv, read_csv
from ds_core.data.dataset import Dataset
from ds_core.data.frame import load_frame
from ds_core.data.hugging_face import HuggingFaceImages, load_hugging_face
from ds_core.data.idx import load_idx, read_idx
from ds_core.data.image_folder import ImageFolder, load_image_folder
from ds_core.data.load import load
from ds_core.data.loader import DataLoader
from ds_core.data.one_hot import one_hot
from ds_core.data.scale import MinMaxScaler, StandardScaler
from ds_core.data.scikit_learn import load_sklearn
from ds_core.data.split import train_test_split
from ds_core.data.synthetic import make_housing, make_moons, make_spirals

__all__ = [
    "DataLoader",
    "Dataset",
    "HuggingFaceImages",
    "ImageFolder",
    "MinMaxScaler",
    "StandardScaler",
    "load",
    "load_csv",
    "load_frame",
    "load_hugging_face",
    "load_idx",
    "load_image_folder",
    "load_sklearn",
    "make_housing",
    "make_moons",
    "make_spirals",
    "one_hot",
    "read_csv",
    "read_idx",
    "train_test_split",
]
