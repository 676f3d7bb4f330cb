"""Search: `service` answers searches, `newest` finds the instance whose metadata completes a match.

Imports from storage, dicom, and from `parallel`, `policy` and `links` of services.
"""
