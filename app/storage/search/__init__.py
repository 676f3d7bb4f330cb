"""The search of studies, series and instances: candidates from posting lists, verified on the index rows.

May import: storage/index, storage/records, storage/table, app/dicom, app/errors.
storage/worklist uses `candidates` too.
"""
