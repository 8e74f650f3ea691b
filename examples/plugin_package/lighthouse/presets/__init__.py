"""Presets of the lighthouse."""
