"""Data of the models here: what a data word means, texts, and scenes of shapes."""
