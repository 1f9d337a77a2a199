"""HTML reports of localization runs."""
