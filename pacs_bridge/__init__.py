"""Every way to a PACS; the only place that knows pynetdicom and DICOMweb."""
