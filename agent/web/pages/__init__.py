"""What all pages share: letting people in, forms, templates, files, charts."""
