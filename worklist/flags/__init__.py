"""Messages to systems that take no DICOM: HL7 results and webhooks. Findings, never an order."""
