"""Images larger than memory: predicted from file to file, in parts, and resumed where they stopped."""

from neurenix.slides.job import Settings as Settings, predict_file as predict_file
from neurenix.slides.planning import plan as plan
from neurenix.slides.stage import Part as Part
from neurenix.slides.tile_plan import TilePlan as TilePlan
