"""Label trees of linear classifiers, with Parabel, Bonsai and XR-Linear as presets."""

from xmcbench.methods.tree.method import Bonsai, Parabel, Tree, XrLinear

__all__ = ["Bonsai", "Parabel", "Tree", "XrLinear"]
