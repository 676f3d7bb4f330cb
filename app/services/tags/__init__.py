"""Extended query tags: `service` has the calls, `rules` the checks of a new tag, `tasks` the background work.

May import other services, `storage`, `dicom` and `errors`.
"""
