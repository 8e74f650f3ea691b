"""What everyone stands on: errors, seeds, files written whole, clocks. It knows nothing of this
project.
"""
