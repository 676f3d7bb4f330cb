"""Store: `service` stores instances, `examination` checks them, `report` is the answer, `spool` receives bodies.

May import other services, `storage`, `dicom` and `errors`.
"""
