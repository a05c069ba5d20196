"""Body Part Examined (0018,0015): what PS3.16 Annex L says of its terms, as far as we need it."""

UNPAIRED = frozenset(
    {
        *("ABDOMEN", "ABDOMENPELVIS", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "COCCYX"),
        *("CSPINE", "CTSPINE", "HEAD", "HEADNECK", "JAW", "LSPINE", "LSSPINE", "MAXILLA"),
        *("NECK", "NECKCHEST", "NOSE", "PELVIS", "SACRUM", "SKULL", "SPINE", "SSPINE"),
        *("STERNUM", "TLSPINE", "TSPINE", "WHOLEBODY"),
    }
)
"""Terms of radiography for parts that have no side: Laterality (0020,0060) must be absent."""

ANATOMIC_REGIONS: dict[str, tuple[str, str]] = {
    "ANKLE": ("70258002", "Ankle joint"),
    "ARM": ("40983000", "Upper arm"),
    "CALCANEUS": ("80144004", "Calcaneus"),
    "CHEST": ("816094009", "Chest"),
    "CLAVICLE": ("51299004", "Clavicle"),
    "CSPINE": ("122494005", "Cervical spine"),
    "ELBOW": ("16953009", "Elbow joint"),
    "EXTREMITY": ("66019005", "Extremity"),
    "FEMUR": ("71341001", "Femur"),
    "FINGER": ("7569003", "Finger"),
    "FOOT": ("56459004", "Foot"),
    "FOREARM": ("14975008", "Forearm"),
    "HAND": ("85562004", "Hand"),
    "HIP": ("24136001", "Hip joint"),
    "HUMERUS": ("85050009", "Humerus"),
    "KNEE": ("72696002", "Knee"),
    "LEG": ("30021000", "Lower leg"),
    "LOWERLIMB": ("61685007", "Lower limb"),
    "LSPINE": ("122496007", "Lumbar spine"),
    "PATELLA": ("64234005", "Patella"),
    "PELVIS": ("816092008", "Pelvis"),
    "RIB": ("113197003", "Rib"),
    "SCAPULA": ("79601000", "Scapula"),
    "SHOULDER": ("16982005", "Shoulder"),
    "SKULL": ("89546000", "Skull"),
    "THIGH": ("68367000", "Thigh"),
    "THUMB": ("76505004", "Thumb"),
    "TOE": ("29707007", "Toe"),
    "TSPINE": ("122495006", "Thoracic spine"),
    "UPPERLIMB": ("53120007", "Upper limb"),
    "WRIST": ("74670003", "Wrist joint"),
}
"""Term: (SNOMED CT code, meaning) of CID 4031, for Anatomic Region Sequence (0008,2218)."""
