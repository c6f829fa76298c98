"""Networks as exporters write them, small and with random weights."""

from networks import detectors, oddities, sequences, tensorflow, torch
from networks.net import NETWORKS, Network

__all__ = ["NETWORKS", "Network", "detectors", "oddities", "sequences", "tensorflow", "torch"]
