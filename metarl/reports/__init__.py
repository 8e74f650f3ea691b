"""What people look at: figures, pages and videos. It trains nothing."""
