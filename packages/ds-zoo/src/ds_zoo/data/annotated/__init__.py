"""Images with boxes, masks and classes: from files or drawn, changed, joined to batches, measured, shown."""

from ds_zoo.data.annotated.average_precision import average_precision
from ds_zoo.data.annotated.batches import Preparation, detection_batches, prepared, targets_of
from ds_zoo.data.annotated.changes import Colour, Crop, Fit, Flip, Pad, Scale
from ds_zoo.data.annotated.coco import CocoImages
from ds_zoo.data.annotated.dataset import DatasetImages
from ds_zoo.data.annotated.drawing import draw_objects
from ds_zoo.data.annotated.image import AnnotatedImage, AnnotatedImages, Part
from ds_zoo.data.annotated.label_maps import ClassTable, DatasetPairs, FolderPairs, LabelMapImages
from ds_zoo.data.annotated.metadata import MetadataImages
from ds_zoo.data.annotated.panoptic import PanopticImages
from ds_zoo.data.annotated.source import SceneImages, open_annotated
from ds_zoo.data.annotated.voc import VocImages

__all__ = [
    "AnnotatedImage",
    "AnnotatedImages",
    "ClassTable",
    "CocoImages",
    "Colour",
    "Crop",
    "DatasetImages",
    "DatasetPairs",
    "Fit",
    "Flip",
    "FolderPairs",
    "LabelMapImages",
    "MetadataImages",
    "Pad",
    "PanopticImages",
    "Part",
    "Preparation",
    "Scale",
    "SceneImages",
    "VocImages",
    "average_precision",
    "detection_batches",
    "draw_objects",
    "open_annotated",
    "prepared",
    "targets_of",
]
