"""Tests of the search's own data: the pages of values."""
