"""PASCAL VOC 2012 with trainaug."""
