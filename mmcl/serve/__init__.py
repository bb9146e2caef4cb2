"""A server: upload a video or name its address, get scores, events and a page."""
