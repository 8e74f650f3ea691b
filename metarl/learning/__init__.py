"""Tensors in, tensors out: the mathematics. It knows no process, no file and no configuration of a
run.
"""
