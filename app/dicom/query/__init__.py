"""Queries: from parameters to conditions, and from values to their canonical forms (PS3.4 §C.2.2.2, PS3.18 §8.3.4).

May import `json`, `validation`, `encoding` and `errors`.
"""
