"""The ledger: what was received, screened, concluded and delivered, in a database.

Holds no patient data (UIDs only) and no pixels; knows nothing of DICOM files, models or brokers.
"""
