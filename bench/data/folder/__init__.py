"""Images and masks of the user's own, in folders or in files of Hugging Face's form."""
