"""Search: `service` answers searches, `newest` finds the instances whose metadata completes the matches,
`latest` the studies of several partitions that were stored last.

`computed` has the attributes that are counted or collected. May import other services, `storage`, `dicom` and `errors`.
"""
