"""NFTs: the attempts to make them, what a mint pays beside, who holds them."""
