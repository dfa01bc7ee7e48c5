"""Section 3.4: objectives, the engine of all trainings, and the chain of models."""
