"""Policies that come meta-trained, each a run folder: its configuration and its last checkpoint.

`scripts/reproduce_paper.py --ship` puts them here; the whole runs are in `results/paper`.
"""
