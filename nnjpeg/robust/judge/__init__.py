"""How a defence is judged: which images it labels right, with what error, and whether to believe it."""
