"""Other people's programs under the same contract: omikuji, napkinXC, PECOS. Nothing else needs any of them."""
