"""The presets that come with metarl: one TOML file each."""
