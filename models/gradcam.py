"""Grad-CAM, Grad-CAM++ and HiResCAM in closed form, and the way from a map to a SaliencyMap.

Between the last convolution's features A (h, w, K) and the score S there is only global average
pooling and a dense head (dropout does nothing when a network serves), so dS/dA is the same at every
position, and Grad-CAM++ explains it; a fracture map adds a term that is known per cell, which
HiResCAM keeps and the others average away. So no backward pass is needed and any
engine that returns A can explain itself. S is the
log-odds of fracture: the one logit, or the fracture's minus the other. The functions also take full
gradients (h, w, K), so that a test can compare them with automatic differentiation.
"""

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from models.prediction import FloatArray, SaliencyMap
from models.preprocessing import Letterbox, Shape

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DenseHead:
    """Weights of pooled (K) → dense ReLU (H) → score: kernels (K, H) and (H, 1), bias (H)."""

    method: ClassVar[str] = "Grad-CAM++"
    hidden_kernel: FloatArray
    hidden_bias: FloatArray
    logit_kernel: FloatArray

    def gradient(self, features: FloatArray) -> Float64Array:
        """dS/dA at any one position, shape (K), for features (h, w, K).

        dS/dpooled = W₁ · (1[z > 0] ⊙ w₂), and pooling spreads it evenly: divided by h·w.
        """
        height, width, _ = features.shape
        pooled = features.mean(axis=(0, 1), dtype=np.float64)
        active = pooled @ self.hidden_kernel.astype(np.float64) + self.hidden_bias > 0
        weights = np.where(active, self.logit_kernel[:, 0].astype(np.float64), 0.0)
        gradient: Float64Array = self.hidden_kernel.astype(np.float64) @ weights
        gradient /= height * width
        return gradient

    def explain(self, features: FloatArray) -> Float64Array:
        """Where in the features the score comes from, (h, w), ≥ 0, not normalised."""
        return grad_cam_plus_plus(features, self.gradient(features))


@dataclass(frozen=True, slots=True, eq=False)
class MapHead:
    """A dense head, and a fracture map's peak that adds to the score.

    The map is m = A · u + d per cell; its peak P = Σ p·m with p = softmax(m) over all cells; the
    score is S = S_dense + w · P.
    """

    method: ClassVar[str] = "HiResCAM"
    dense: DenseHead
    map_kernel: FloatArray
    """u, (K)."""
    map_bias: float
    peak_weight: float

    def gradient(self, features: FloatArray) -> Float64Array:
        """dS/dA, (h, w, K), for features (h, w, K): dP/dm = p · (1 + m − P)."""
        kernel = self.map_kernel.astype(np.float64)
        cells = features.astype(np.float64) @ kernel + self.map_bias
        shares = np.exp(cells - cells.max())
        shares /= shares.sum()
        of_cells = self.peak_weight * shares * (1.0 + cells - (shares * cells).sum())
        gradient: Float64Array = of_cells[..., np.newaxis] * kernel + self.dense.gradient(features)
        return gradient

    def explain(self, features: FloatArray) -> Float64Array:
        """Where in the features the score comes from, (h, w), ≥ 0, not normalised."""
        return hires_cam(features, self.gradient(features))


Head = DenseHead | MapHead


def grad_cam(features: FloatArray, gradients: Float64Array) -> Float64Array:
    """Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2): relu(Σ mean(dS/dA_k) · A_k).

    Args:
        features: (h, w, K), activations of the last convolution.
        gradients: (K) or (h, w, K), dS/dA.

    Returns:
        (h, w), ≥ 0, not normalised.
    """
    full = np.broadcast_to(gradients, features.shape)
    return _positive_sum(features.astype(np.float64), full.mean(axis=(0, 1)))


def grad_cam_plus_plus(features: FloatArray, gradients: Float64Array) -> Float64Array:
    """Grad-CAM++ (Chattopadhay et al. 2018, eq. 10, 11 and 19, with the score exp(S)).

    α = g² / (2g² + ΣA·g³), w = Σ α·relu(g), map = relu(Σ w_k·A_k). α is 0 where its denominator is.
    Arguments and result as `grad_cam`.
    """
    activations = features.astype(np.float64)
    full = np.broadcast_to(gradients, features.shape)
    squared = full**2
    denominator = 2.0 * squared + activations.sum(axis=(0, 1)) * full * squared
    safe = np.abs(denominator) > np.finfo(np.float64).tiny
    alpha = np.divide(squared, denominator, out=np.zeros_like(squared), where=safe)
    weights = (alpha * np.maximum(full, 0.0)).sum(axis=(0, 1))
    return _positive_sum(activations, weights)


def hires_cam(features: FloatArray, gradients: Float64Array) -> Float64Array:
    """HiResCAM (Draelos and Carin 2020): relu(Σ dS/dA_k ⊙ A_k), the gradient of each cell its own.

    Where the gradient is the same in all cells, this is Grad-CAM. Arguments and result as
    `grad_cam`.
    """
    full = np.broadcast_to(gradients, features.shape)
    summed: Float64Array = np.maximum((full * features).sum(axis=-1), 0.0)
    return summed


def to_saliency_map(
    activation_map: Float64Array, box: Letterbox, shape: Shape, *, method: str, target_layer: str
) -> SaliencyMap:
    """Scale an (h, w) map by its maximum and put it where it lies in the radiograph.

    Args:
        box: where the radiograph lies in the input of `shape`.

    The result covers the whole radiograph in input pixels, bilinear between the cells, and is 0
    where the network saw nothing of it.
    """
    square = cv2.resize(activation_map, shape[::-1], interpolation=cv2.INTER_LINEAR)
    values = box.frame.spread(box.crop(square.astype(np.float32)))
    peak = float(values.max())
    scaled = values / peak if peak > 0 else np.zeros_like(values)
    return SaliencyMap(scaled, method, target_layer)


def _positive_sum(activations: Float64Array, weights: Float64Array) -> Float64Array:
    """relu(Σ w_k · A_k), (h, w)."""
    summed: Float64Array = np.maximum(activations @ weights, 0.0)
    return summed
