"""Benchmarks of the running service. They are not tests: `make bench` runs them and prints figures."""
