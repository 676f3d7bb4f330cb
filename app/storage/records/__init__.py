"""The rows of studies, series and instances: their form, their postings and documents, and the rule of visibility.

May import `storage.operations`, `storage.table`, `app.dicom` and `app.errors`.
"""
