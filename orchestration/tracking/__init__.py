"""Tracking: a sweep is a run, each of its trials a run below it. Nothing else imports mlflow."""
