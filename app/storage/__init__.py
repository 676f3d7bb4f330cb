"""The data model of the archive, written once on the ports of `table`: a table, a blob store and a queue.

Topics, each of which may import the ones after it: worklist, updates, search, index, tags, feed, records, operations,
table. May import `dicom` and `errors` from the rest of `app`.
"""
