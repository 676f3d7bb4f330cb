"""The change feed over all partitions: its entries, how they are written, which of them are final, how they are read.

May import `records`, `operations` and `table` of `storage`, and `errors`.
"""
