"""What stays on disk of a run, and a run that is going on. It draws nothing."""
