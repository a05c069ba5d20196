"""Which storage SOP classes and transfer syntaxes are taken, and which of them hold radiographs."""

from pydicom import uid
from pynetdicom import AllStoragePresentationContexts

COMPUTED_RADIOGRAPHY = str(uid.ComputedRadiographyImageStorage)
DIGITAL_XRAY_FOR_PRESENTATION = str(uid.DigitalXRayImageStorageForPresentation)
DIGITAL_XRAY_FOR_PROCESSING = str(uid.DigitalXRayImageStorageForProcessing)

RADIOGRAPH_SOP_CLASSES: tuple[str, ...] = (
    COMPUTED_RADIOGRAPHY,
    DIGITAL_XRAY_FOR_PRESENTATION,
    DIGITAL_XRAY_FOR_PROCESSING,
)
"""SOP classes that are analysed."""

REPORT_SOP_CLASSES: frozenset[str] = frozenset(
    {
        str(uid.BasicTextSRStorage),
        str(uid.EnhancedSRStorage),
        str(uid.ComprehensiveSRStorage),
        str(uid.Comprehensive3DSRStorage),
        str(uid.ExtensibleSRStorage),
        str(uid.EncapsulatedPDFStorage),
        str(uid.EncapsulatedCDAStorage),
    }
)
"""SOP classes that a radiologist's report may be of; not those of doses and of other programs."""
REPORT_MODALITIES: frozenset[str] = frozenset({"SR", "DOC"})
"""Modality (0008,0060) of such a series; doses are SR, too."""

_EVERY_STORAGE_CLASS = tuple(
    str(context.abstract_syntax) for context in AllStoragePresentationContexts
)

STORAGE_SOP_CLASSES: tuple[str, ...] = tuple(
    dict.fromkeys((*RADIOGRAPH_SOP_CLASSES, *_EVERY_STORAGE_CLASS))
)
"""SOP classes that are stored: all of them, so that no sender is refused in surprise."""

TRANSFER_SYNTAXES: tuple[str, ...] = (
    str(uid.ExplicitVRLittleEndian),
    str(uid.ImplicitVRLittleEndian),
    str(uid.RLELossless),
    str(uid.JPEGBaseline8Bit),
    str(uid.JPEGExtended12Bit),
    str(uid.JPEGLossless),
    str(uid.JPEGLosslessSV1),
    str(uid.JPEGLSLossless),
    str(uid.JPEGLSNearLossless),
    str(uid.JPEG2000Lossless),
    str(uid.JPEG2000),
    str(uid.HTJ2KLossless),
    str(uid.HTJ2KLosslessRPCL),
    str(uid.HTJ2K),
)
"""No Deflated (a bomb: 1 MB inflates to 1 GiB before anything can be checked), no big endian."""
