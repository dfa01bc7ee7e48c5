"""4:2:0 and its kin beside Pillow, OpenCV, torchvision and albumentations; by the thousand with same_bits.py."""

import pytest

same_bits = pytest.importorskip("same_bits", reason="albumentations, OpenCV or torchvision is not installed")

# torchvision 0.29 deprecates what its own JPEG calls.
pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision")


@pytest.mark.parametrize("peer", same_bits.PEERS, ids=lambda peer: f"{peer.name}-{peer.subsampling}")
def test_same_bits(peer):
    compared, differing, _ = same_bits.compare(peer, images=200, seed=1)
    assert compared >= 200
    assert differing == 0


def test_a_wrong_sample_would_be_seen(monkeypatch):
    right = same_bits.ours

    def wrong(case):
        result = right(case)
        result[-1, -1, -1] ^= 1
        return result

    monkeypatch.setattr(same_bits, "ours", wrong)
    compared, differing, _ = same_bits.compare(same_bits.PEERS[0], images=3)
    assert differing == compared
