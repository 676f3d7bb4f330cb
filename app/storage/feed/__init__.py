"""The log of commits, and the change feed over all partitions: its entries, their numbers and times, and its readers.

May import `records`, `operations` and `table` of `storage`, and `errors`.
"""
