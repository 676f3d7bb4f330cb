"""Export: `service` starts one, `destinations` checks where to, `source` reads what to copy, `task` copies it.

Imports from storage, dicom, and from `parallel` and `operations` of services.
"""
