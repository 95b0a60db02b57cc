"""The engine room: fast forms of the formulas in ``functional/``, each in the file of the same name."""
