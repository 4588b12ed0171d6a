"""SLURM jobs and Ray nodes on them."""
