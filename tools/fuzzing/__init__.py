"""Targets of ``tools/fuzz.py``: what strangers give to mmcl, broken in seeded ways."""
