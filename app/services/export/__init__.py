"""Export: `service` starts one, `destinations` checks where to, `source` reads what to copy, `task` copies it.

May import other services, `storage`, `dicom` and `errors`.
"""
