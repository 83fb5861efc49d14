"""From a plan to a live workbook, and functions for spreadsheets that call Python."""
