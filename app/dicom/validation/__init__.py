"""The table of searchable attributes, and the rules for values and for instances (PS3.5 §6.2).

May import `encoding` and `errors`.
"""
