"""Networks, preprocessing, inference, explanation and bundles: arrays in, numbers out.

No DICOM, no database, no broker: those live in `dicom_node`, `db` and `worker`.
"""
