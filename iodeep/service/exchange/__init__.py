"""Models between hospitals: out as DICOM media, in after everything was checked, from archive to archive, and as a catalogue.

Nothing is sent, stored or shown as arrived whose digests were not just checked against the model's manifest.
"""
