"""How the scenes of bench/scenes.py are drawn: canvas, backdrop, objects, finished scene."""
