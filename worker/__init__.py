"""The trunk: from received instances to delivered results, and the command line.

Imports the leaves `dicom_node`, `models` and `db`; nothing imports it but the tests.
"""
