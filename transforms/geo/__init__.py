"""Where pixels lie on the earth, and how much of it they are."""
