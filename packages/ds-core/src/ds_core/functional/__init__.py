"""The mathematics without state: pairs ``name(...)`` and ``name_backward(...)``, one formula in one place."""
