"""The published APIs of the original packages over tuwen: old scripts change their imports and nothing else."""
