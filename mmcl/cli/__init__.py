"""The command line."""

import os

# Threads that wait asleep: on a machine that other programs use too, spinning ones make a step of small tensors take
# up to thirty times as long. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
