"""Certificates of a small site: made once with a CA of its own, and looked at before they run out."""

from iodeep.service.tls.checking import CertificateCheck, check_certificates
from iodeep.service.tls.making import MadeCertificates, make_certificates

__all__ = ["CertificateCheck", "MadeCertificates", "check_certificates", "make_certificates"]
