"""Settings for the property tests."""

from hypothesis import settings

settings.register_profile("ledgerfill", deadline=None)  # a busy machine is no defect
settings.load_profile("ledgerfill")
