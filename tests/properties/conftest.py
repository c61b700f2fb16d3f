"""Profiles of hypothesis: the suite's is the same every time; ``NEURENIX_EXAMPLES=500`` draws anew, so many examples a property, and shrinks what fails."""

import os

from hypothesis import HealthCheck, Phase, settings

COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("suite", derandomize=True, database=None, max_examples=8, print_blob=False, phases=[Phase.generate], **COMMON)
EXAMPLES = os.environ.get("NEURENIX_EXAMPLES")
if EXAMPLES:
    settings.register_profile("search", max_examples=int(EXAMPLES), print_blob=True, database=None, **COMMON)
settings.load_profile("search" if EXAMPLES else "suite")
