"""PostgreSQL, an S3 server and an MLflow server on this machine, for people, tests and benchmarks."""
