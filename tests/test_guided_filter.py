import numpy as np
import torch

from idrestore.guided_filter import fit, window_mean


def looped(plane, side):
    """Return the means of a plane in windows, one by one."""
    half = side // 2
    height, width = plane.shape
    rows = [slice(max(0, y - half), y + half + 1) for y in range(height)]
    columns = [slice(max(0, x - half), x + half + 1) for x in range(width)]
    return np.array([[plane[row, column].mean() for column in columns] for row in rows])


def test_windows_are_cut_at_the_borders():
    planes = torch.rand(2, 3, 7, 9, dtype=torch.float64)
    means = window_mean(planes, 5)
    for mean, plane in zip(means.flatten(0, 1), planes.flatten(0, 1), strict=True):
        np.testing.assert_allclose(mean, looped(plane.numpy(), 5))


def test_a_fit_is_a_regression_in_each_window():
    """As He, Sun and Tang have it: covariance by variance, and the mean of what the windows about a place say."""
    guide, target = torch.rand(2, 1, 1, 8, 11, dtype=torch.float64)
    slope, offset = fit(guide, target, 3, 0.01, (8, 11))
    x, y = guide[0, 0].numpy(), target[0, 0].numpy()
    mean, wanted = looped(x, 3), looped(y, 3)
    expected = (looped(x * y, 3) - mean * wanted) / (looped(x * x, 3) - mean**2 + 0.01)
    np.testing.assert_allclose(slope[0, 0], looped(expected, 3))
    np.testing.assert_allclose(offset[0, 0], looped(wanted - expected * mean, 3))


def test_an_affine_map_is_found_and_brought_to_a_larger_size():
    guide = torch.rand(1, 3, 12, 16, dtype=torch.float64)
    slope, offset = fit(guide, 2.5 * guide - 0.3, 5, 1e-9, (48, 60))
    assert slope.shape == offset.shape == (1, 3, 48, 60)
    torch.testing.assert_close(slope, torch.full_like(slope, 2.5), atol=1e-5, rtol=0)
    torch.testing.assert_close(offset, torch.full_like(offset, -0.3), atol=1e-5, rtol=0)
