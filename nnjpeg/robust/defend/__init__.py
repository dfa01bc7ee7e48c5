"""What protects a model, or claims to: transforms of its images, and ensembles."""
