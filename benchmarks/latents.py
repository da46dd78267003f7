"""Do the latents mean what they should? Is h_p where the degradation is, and x' nearer to clean features than F?

    python benchmarks/latents.py FOLDER_OF_CLEAN_PHOTOS [MODEL]

Photos are degraded here, then the network sees the degraded and the clean one, with the ingredients that its routers
find in the degraded one: nothing differs but the photo. Prints a Markdown table, means over photos, for each
degradation and meta-prior block (scipy comes with scikit-image):

- Pearson correlation, over the pixels of the block's level, of |h_p| (root mean square over channels) with
  |degraded - clean| (mean of the three colours, area-averaged to that level); the same of h_p less its mean over the
  photo, and of F, for comparison; and Spearman's of |h_p|.
- |x' - F_clean| / |F - F_clean|, and, as blocks change the features of clean photos too,
  |x' - x'_clean| / |x'_clean| divided by |F - F_clean| / |F_clean|. Below 1: the block brought the features nearer.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from idrestore.data.degrade import mix, to_8_bit
from idrestore.data.layouts import list_photos
from idrestore.data.pairs import read_8_bit
from idrestore.model import checkpoint
from idrestore.model.config import PLACEMENTS
from idrestore.model.network import RestorationNetwork
from idrestore.model.prior_block import Latents

STRENGTH, NUM_PHOTOS = 0.5, 10


def main(folder: Path, model: str = "fast") -> None:
    """Print the table."""
    network = checkpoint.load(model).network
    cells = "h_p | h_p - mean | F | h_p, Spearman | x' to F_clean | x' to x'_clean"
    print(f"| degradation | block | {cells} |\n|---|---|---|---|---|---|---|---|")
    for kind in (name for name in network.config.degradations if name != "clean"):
        photos = enumerate(list_photos(folder)[:NUM_PHOTOS])
        means = np.mean([look(network, path, kind, seed) for seed, path in photos], axis=0)
        for level, row in zip(PLACEMENTS[network.config.placement], means, strict=True):
            print(f"| {kind} | {level} | {' | '.join(f'{value:.2f}' for value in row)} |", flush=True)


@torch.inference_mode()
def look(network: RestorationNetwork, path: Path, kind: str, seed: int) -> list[list[float]]:
    """Return a photo's numbers, six for each block."""
    clean = torch.from_numpy(read_8_bit(path)).permute(2, 0, 1)[None] / 255
    height, width = (side - side % network.config.size_multiple for side in clean.shape[2:])
    clean = clean[..., :height, :width]
    degraded = to_8_bit(mix(clean[0], {kind: STRENGTH}, seed))[None]
    output = network(degraded)
    of_clean = network(clean, output.logits.softmax(dim=2)).latents
    error = (degraded - clean).abs().mean(dim=1, keepdim=True)
    return [compare(*both, error) for both in zip(output.latents, of_clean, strict=True)]


def compare(block: Latents, of_clean: Latents, error: Tensor) -> list[float]:
    """Return the numbers of one block, six."""
    wrong = F.interpolate(error, block.features.shape[-2:], mode="area").flatten()
    h_p = block.degradation
    planes = (h_p, h_p - h_p.mean(dim=(2, 3), keepdim=True), block.features)
    strengths = [each.square().mean(dim=1).sqrt().flatten() for each in planes]
    correlations = [pearsonr(each, wrong).statistic for each in strengths]
    correlations.append(spearmanr(strengths[0], wrong).statistic)
    before = (block.features - of_clean.features).norm()
    nearer = (block.pseudo_clean - of_clean.features).norm() / before
    relative = (block.pseudo_clean - of_clean.pseudo_clean).norm() / of_clean.pseudo_clean.norm()
    return [*correlations, float(nearer), float(relative / (before / of_clean.features.norm()))]


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
