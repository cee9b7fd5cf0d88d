"""A look at a folder of images and masks, and the profile that describes it."""
