"""Problems, checks and the conformance suite: shipped, so that outside couplers and regions are examined too."""
