"""Sweep files: data only, one YAML file a sweep."""
