"""Tests of the store: how bodies are received."""
