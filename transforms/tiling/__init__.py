"""Windows: images of any size are computed piece by piece, and put together without seams."""
