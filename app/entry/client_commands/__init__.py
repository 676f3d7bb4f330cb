"""The commands that call a server over HTTP: one module for each command.

May import app.client, app.gateway, app.dicom, app.errors and app.settings.client.
"""
