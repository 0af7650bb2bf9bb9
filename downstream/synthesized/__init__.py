"""What is written of synthesised series: tables, images, figures, a page."""
