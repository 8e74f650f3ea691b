"""The front door: what `import metarl` offers. It knows all rooms but the command line."""
