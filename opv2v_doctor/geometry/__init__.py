"""OPV2V poses, the cameras that look through them, and what a rig of cameras can see."""
