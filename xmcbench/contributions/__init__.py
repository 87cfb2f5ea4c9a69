"""Records that are sent to the leaderboards: written by whoever made them, checked by whoever takes them."""
