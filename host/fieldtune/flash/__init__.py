"""Puts an image on a board and proves that it runs."""
