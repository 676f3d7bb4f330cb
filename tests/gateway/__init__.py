"""Tests of app/gateway: a peer of the DICOM network, the gateway and a server, all in this process."""
