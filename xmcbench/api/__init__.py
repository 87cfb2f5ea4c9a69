"""The functions of `import xmcbench as xb`; the commands call them, too. Heavy imports are inside functions."""
