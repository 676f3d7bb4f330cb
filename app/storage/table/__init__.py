"""The table: its port and those of blobs and queue, all keys, the record codec, batch writer, retry, layout version.

Also counters, partitions and clock. May import `dicom` (types only) and `errors`.
"""
