"""DICOM series <-> volume with geometry; doubt ends in a refusal."""
