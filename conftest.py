"""Settings of every test run."""

import os

# Before anything imports torch: several test workers share the cores, so each computes on one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
