# The prompt of a board, for a program at the other end of a terminal: micropython -m rawrepl
import _prompt

_prompt.serve()
