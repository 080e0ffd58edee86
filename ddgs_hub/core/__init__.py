"""What every room stands on, and what is known of none of them: text, JSON and rows of strangers."""
