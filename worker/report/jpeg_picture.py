"""A picture on a page, as JPEG: stored as it was encoded, never decoded again."""

import hashlib
from io import BytesIO

import cv2
import numpy as np
import numpy.typing as npt
from reportlab.platypus import Flowable

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90]


class JpegPicture(Flowable):
    """An 8-bit picture, grey (rows, columns) or RGB (rows, columns, 3), of a size in points.

    reportlab's own Image decodes every JPEG to tell equal ones by their pixels.
    """

    def __init__(self, picture: npt.NDArray[np.uint8], width: float, height: float) -> None:
        """Encode the picture. Raises ValueError where it cannot be."""
        super().__init__()
        self.width, self.height = width, height
        self._jpeg = _Jpeg(_encode(picture))

    def wrap(self, available_width: float, available_height: float) -> tuple[float, float]:
        """Return its size, whatever is available."""
        return self.width, self.height

    def draw(self) -> None:
        """Draw it on the canvas that reportlab has set."""
        self.canv.drawImage(self._jpeg, 0, 0, self.width, self.height)


class _Jpeg:
    """What reportlab needs of an image: a name, here its digest, and the JPEG file."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __str__(self) -> str:
        return hashlib.sha256(self._content).hexdigest()

    def jpeg_fh(self) -> BytesIO:
        return BytesIO(self._content)


def _encode(picture: npt.NDArray[np.uint8]) -> bytes:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    encoded, jpeg = cv2.imencode(".jpg", bgr, _QUALITY)
    if not encoded:
        raise ValueError(f"a picture of shape {picture.shape} could not be encoded as JPEG")
    return jpeg.tobytes()
