"""What tests share. It imports `app`, and no test module.

Factories: instances, raw_elements, workitems, updates, query_tags, bulk_update. Clients: dicomweb, worklist, exports,
background. Environments: archive, aws, clock, faulty_engine, faults, outages, random_faults, schedule. Choice of tests:
selection.
"""
