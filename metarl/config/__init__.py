"""What an experiment is, as plain values: configurations, settings, presets, plug-ins. It knows no
torch.
"""
