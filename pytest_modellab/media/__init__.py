"""Images and recordings: looked at before they are believed, opened for engines and reports."""
