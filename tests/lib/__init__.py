"""What the black-box tests share: the daemon under test, functions to put into it, the host around it."""
