"""Sweeps: Ray Tune and Optuna run trials of the trainer; MLflow tracks them."""
