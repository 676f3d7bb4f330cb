"""The search of studies, series and instances: candidates from posting lists, verified on the index rows.

May import `index`, `tags`, `feed`, `records`, `operations` and `table` of `storage`, `dicom` and `errors`. The search
of a worklist uses `candidates` too.
"""
