"""Find what is nearest, and show it: exact search over features, a contact sheet, a page."""
