"""The engine for one machine: the table and the queue in one SQLite file, the blobs in files.

It may import the ports of `storage` and app.errors.
"""
