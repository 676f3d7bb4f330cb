"""The change feed over all partitions: its entries, how they are written, which of them are final, how they are read.

May import `storage.records`, `storage.operations` and `storage.table`.
"""
