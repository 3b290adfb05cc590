"""Study in, study out: the stages of the method, and the process that runs them."""
