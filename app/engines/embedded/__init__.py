"""The engine for one machine: the table in one SQLite file, the blobs in files, the queue in the table.

It may import the ports of `storage` and app.errors.
"""
