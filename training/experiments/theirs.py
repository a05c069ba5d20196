"""What the two papers printed, by their own table numbers; the words are ours.

Paper A: Salman and Abu-Naser, "Comparative Analysis of Deep Learning Architectures for Bone
Fracture Detection: MobileNetV2 vs. ResNet50". Paper B: Alabi, Yusuff, Abdulsalam, Akuji and
Ajiboye, "An Explainable ResNet-101 Framework for Hand Fracture Classification in X-ray Images".
"""

from collections.abc import Mapping

PAPER_A = (
    "Salman and Abu-Naser: Comparative Analysis of Deep Learning Architectures for Bone Fracture "
    "Detection: MobileNetV2 vs. ResNet50"
)
PAPER_B = (
    "Alabi, Yusuff, Abdulsalam, Akuji and Ajiboye: An Explainable ResNet-101 Framework for Hand "
    "Fracture Classification in X-ray Images"
)

PAPER_A_TABLES_4_AND_6: Mapping[str, tuple[str, str]] = {
    "training accuracy": ("100 %", "100 %"),
    "validation accuracy": ("99 %", "94.1 to 94.5 %"),
    "test accuracy": ("0.99", "0.94"),
    "recall, fractured": ("1.00", "1.00"),
    "recall, not fractured": ("0.84", "0.00"),
    "precision": ("0.99", "0.89"),
    "macro F1": ("0.95", "0.48"),
    "training loss": ("0.0016", "–"),
    "validation loss": ("0.0563", "–"),
    "seconds per image": ("0.0174 (GPU)", "–"),
}
"""Figure → MobileNetV2's, ResNet50's, on 425 images that are validation and test in one. The paper
does not say how its one precision is averaged."""

PAPER_B_VARIANTS = ("raw", "balanced", "tuned")
PAPER_B_TABLE_8: Mapping[str, tuple[str, str, str]] = {
    "accuracy": ("74 % (its matrix: 78.4 %)", "76.5 %", "79.7 %"),
    "recall, fractured": ("34.1 % (57/167)", "47.3 % (79/167)", "42.5 % (71/167)"),
    "specificity": ("95.6 % (414/434)", "87.8 % (381/434)", "94.0 % (408/434)"),
    "AUC": ("0.263 (or 1 − 0.737)", "0.767", "0.751"),
    "precision, fractured": ("–", "0.599", "0.732"),
    "F1, fractured": ("–", "0.528", "0.538"),
    "precision, not fractured": ("–", "0.812", "0.810"),
    "F1, not fractured": ("–", "0.844", "0.870"),
}
"""Figure → raw, balanced, balanced and tuned, on 601 test images of MURA's hands."""
PAPER_B_POINTS: Mapping[str, tuple[float, float]] = {
    "raw": (57 / 167, 414 / 434),
    "balanced": (79 / 167, 381 / 434),
    "tuned": (71 / 167, 408 / 434),
}
"""Recall and specificity by its confusion matrices."""
PAPER_B_TABLES_4_AND_7: Mapping[str, str] = {
    "dropout": "0.30",
    "hidden units": "512",
    "learning rate": "0.000552",
}
"""The best of the paper's ten trials."""
