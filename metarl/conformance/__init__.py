"""The checks of the conformance kit (`metarl.testing`), one function each.

A check plays episodes, explains in words what it saw, or raises `Failure` with what is wrong.
"""
