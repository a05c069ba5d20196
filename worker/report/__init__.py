"""The report of a study as PDF: `content` reads the header, `document` renders, `text` prints."""
