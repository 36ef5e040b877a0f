"""Side by side: races, claims and reports."""
