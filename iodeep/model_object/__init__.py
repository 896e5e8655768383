"""Card and payloads <-> DICOM instances; the only room that knows the private block."""
