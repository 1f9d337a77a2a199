"""Numbers printed in the papers."""
