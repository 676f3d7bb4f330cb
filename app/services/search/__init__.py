"""Search: `service` answers searches, `newest` finds the instances whose metadata completes the matches.

`computed` has the attributes that are counted or collected. May import other services, `storage`, `dicom` and `errors`.
"""
