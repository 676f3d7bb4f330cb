"""`bulkhead doctor`: checks the settings, the machine and the archive, and says what to mend. It changes nothing.

Each module has the checks of one topic. May import everything in app but app.engines.
"""
