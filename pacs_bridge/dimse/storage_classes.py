"""What we offer to receive by C-GET: at most 127 presentation contexts, so common classes and syntaxes go first.

A class or syntax that is missing here comes by C-MOVE, whose receiver takes every one.
"""

from __future__ import annotations

from pydicom import uid

from pacs_bridge.dimse.negotiation import Proposal
from pacs_bridge.part10 import UNCOMPRESSED

_OURS = (uid.RawDataStorage, uid.SegmentationStorage, uid.Comprehensive3DSRStorage)
"""Each uncompressed syntax apart: the archive then needs not rewrite what it holds."""

_IMAGES = (
    uid.CTImageStorage,
    uid.MRImageStorage,
    uid.EnhancedCTImageStorage,
    uid.EnhancedMRImageStorage,
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalMammographyXRayImageStorageForPresentation,
    uid.UltrasoundImageStorage,
    uid.XRayAngiographicImageStorage,
    uid.SecondaryCaptureImageStorage,
)
_COMPRESSED = (
    uid.JPEGLosslessSV1,
    uid.JPEG2000Lossless,
    uid.JPEGLSLossless,
    uid.RLELossless,
    uid.JPEGBaseline8Bit,
    uid.JPEG2000,
    uid.JPEGLossless,
)
_OTHERS = (
    uid.PositronEmissionTomographyImageStorage,
    uid.EnhancedPETImageStorage,
    uid.LegacyConvertedEnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedMRImageStorage,
    uid.LegacyConvertedEnhancedPETImageStorage,
    uid.NuclearMedicineImageStorage,
    uid.UltrasoundMultiFrameImageStorage,
    uid.DigitalXRayImageStorageForProcessing,
    uid.DigitalMammographyXRayImageStorageForProcessing,
    uid.BreastTomosynthesisImageStorage,
    uid.XRayRadiofluoroscopicImageStorage,
    uid.EnhancedXAImageStorage,
    uid.XRay3DAngiographicImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    uid.MRSpectroscopyStorage,
    uid.ParametricMapStorage,
    uid.UID("1.2.840.10008.5.1.4.1.1.66.7"),  # Label Map Segmentation, newer than this pydicom
    uid.SurfaceSegmentationStorage,
    uid.RTStructureSetStorage,
    uid.RTDoseStorage,
    uid.RTPlanStorage,
    uid.RTImageStorage,
    uid.SpatialRegistrationStorage,
    uid.DeformableSpatialRegistrationStorage,
    uid.SpatialFiducialsStorage,
    uid.RealWorldValueMappingStorage,
    uid.BasicTextSRStorage,
    uid.EnhancedSRStorage,
    uid.ComprehensiveSRStorage,
    uid.KeyObjectSelectionDocumentStorage,
    uid.GrayscaleSoftcopyPresentationStateStorage,
    uid.ColorSoftcopyPresentationStateStorage,
    uid.EncapsulatedPDFStorage,
    uid.EncapsulatedSTLStorage,
    uid.VLPhotographicImageStorage,
    uid.OphthalmicPhotography8BitImageStorage,
)

RECEIVED = (
    *(Proposal(str(sop_class), (syntax,), receive=True) for sop_class in _OURS for syntax in UNCOMPRESSED),
    *(Proposal(str(sop_class), UNCOMPRESSED, receive=True) for sop_class in (*_IMAGES, *_OTHERS)),
    *(Proposal(str(sop_class), (str(syntax),), receive=True) for sop_class in _IMAGES for syntax in _COMPRESSED),
)
"""In the order in which they are proposed."""
