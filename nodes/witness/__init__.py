"""The witness process: keeper of the register of who may lead."""
