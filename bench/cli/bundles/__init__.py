"""Published studies: the verbs publish and verify, and bundles as sources of other verbs."""
