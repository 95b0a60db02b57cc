"""Data of the models here: scenes of shapes."""
