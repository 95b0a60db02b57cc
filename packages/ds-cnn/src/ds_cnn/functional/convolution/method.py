"""What an algorithm for convolution has to say, so that one driver can run them all."""

from __future__ import annotations

from torch import Tensor

from ds_cnn.functional.convolution.geometry import Geometry


class Method:
    """One fast way to convolve, on images with pixels last: ``(n, H, W, C)``, a block of a batch at a time.

    Last, because then the channels of a pixel lie side by side, a row of a matrix: rows times weights is all
    that a convolution is.
    """

    def supports(self, geometry: Geometry) -> bool:
        """Says whether this method can do convolutions of this geometry."""
        return True

    def numbers_per_image(self, geometry: Geometry, channels: int, size: tuple[int, int]) -> int:
        """Returns how many numbers the method lays out for one image; 0 if it works in place."""
        raise NotImplementedError

    def kernel(self, weight: Tensor, geometry: Geometry) -> Tensor:
        """Returns the weights ``(O, C / groups, *kernel)`` in the form that :meth:`forward` needs."""
        raise NotImplementedError

    def forward(self, x: Tensor, kernel: Tensor, geometry: Geometry) -> Tensor:
        """Returns ``(n, height, width, O)``."""
        raise NotImplementedError

    def input_kernel(self, weight: Tensor, geometry: Geometry) -> Tensor:
        """Returns the weights in the form that :meth:`backward_input` needs."""
        return self.kernel(weight, geometry)

    def backward_input(
        self, grad: Tensor, kernel: Tensor, geometry: Geometry, size: tuple[int, int]
    ) -> Tensor:
        """Returns dL/dx ``(n, *size, C)`` from dL/dy ``(n, height, width, O)``."""
        raise NotImplementedError

    def backward_kernel(self, grad: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        """Returns the block's share of the gradient of :meth:`kernel`'s result."""
        raise NotImplementedError

    def kernel_backward(self, kernel_grad: Tensor, geometry: Geometry) -> Tensor:
        """Returns the gradient of the weights from that of :meth:`kernel`'s result."""
        raise NotImplementedError
