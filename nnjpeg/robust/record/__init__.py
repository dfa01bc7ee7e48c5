"""What a run leaves behind: its folder, its results as they come, its checkpoints, and the processes that share it."""
