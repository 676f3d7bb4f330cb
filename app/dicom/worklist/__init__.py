"""Workitems: rules for their attributes, their states, and the values by which searches find them (PS3.4 Annex CC).

May import `query`, `json`, `validation`, `encoding` and `errors`.
"""
