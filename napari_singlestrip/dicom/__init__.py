"""DICOM: listing series, converting them to scans, and writing masks as DICOM SEG."""
